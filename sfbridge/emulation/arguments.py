"""The arguments of one call: JSON part and raw parts to the JSON text that is delivered, or to what is wrong.

Nothing is filled in, renamed or guessed. Text that needed no correction is delivered in the model's own
characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sfbridge.core.request import Tool

from .coercion import Coercion, Verbatim
from .jsontext import NotJson, Number, Refused, has_surrogate, read, write
from .repair import mend
from .schema import BrokenSchema, Checker, compiled
from .words import shown

_WRAPPERS: Final = ("arguments", "args", "parameters", "input")


class Unfit(Exception):
    """The arguments cannot be delivered; `problems` are lines for the model."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def settle(tool: Tool, given: str, raws: Sequence[tuple[str, str]] = ()) -> tuple[str, list[str]]:
    """The JSON text of the arguments and the names of the corrections. Raises Unfit.

    given  the JSON part as written, empty when there was none
    raws   name or JSON Pointer, and text, of each raw block
    """
    value, names = _object(given)
    checker = compiled(bytes(tool.schema))
    known = _known(checker)
    inner = _inner(value, tool.name, known if not _free(checker) else {})
    if inner is not None:
        value = inner
        names.append("inner")
    for name, text in raws:
        _place(value, name, text, known)
    text = write(value) if names or raws else given.strip(" \t\r\n") or "{}"
    text, done = _checked(checker, value, text)
    if known and _open(checker) and not known.keys() >= value.keys():
        done.append("unknown_parameter")
    return text, names + done


def settle_values(tool: Tool, values: dict[str, Any]) -> tuple[str, list[str]]:
    """The same for arguments that a tag dialect gave one by one. Raises Unfit."""
    for name, value in values.items():
        _sendable(name, value if isinstance(value, str) else "")
    return _checked(compiled(bytes(tool.schema)), values, write(values))


def parameters(tool: Tool) -> dict[str, Any]:
    """The declared parameters of a tool and their schemas."""
    return _known(compiled(bytes(tool.schema)))


def _object(given: str) -> tuple[dict[str, Any], list[str]]:
    if not given.strip(" \t\r\n"):
        return {}, []
    try:
        value, names = mend(given)
        if isinstance(value, str):
            value = read(value)
            names.append("doubled")
    except (NotJson, Refused) as error:
        raise Unfit(str(error)) from None
    if not isinstance(value, dict):
        raise Unfit(f"the arguments must be one JSON object, got {shown(value)}")
    return value, names


def _known(checker: Checker) -> dict[str, Any]:
    found = (checker.schema or {}).get("properties")
    return found if isinstance(found, dict) else {}


def _open(checker: Checker) -> bool:
    return (checker.schema or {}).get("additionalProperties") in (None, True)


def _free(checker: Checker) -> bool:
    """Whether keys that are no parameters have a meaning of their own, as in a map."""
    schema = checker.schema or {}
    return "patternProperties" in schema or isinstance(schema.get("additionalProperties"), dict)


def _inner(value: dict[str, Any], tool: str, known: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments inside a repeated name-and-arguments object, or inside a wrapper that is no parameter."""
    if not 1 <= len(value) <= 2:
        return None
    name = value.get("name") if "name" not in known else None
    named = len(value) == 2 and isinstance(name, str) and name.lower() == tool.lower()
    for word in _WRAPPERS:
        if word in value and word not in known and (named or (len(value) == 1 and known)):
            inner = value[word]
            if isinstance(inner, str):
                try:
                    inner = read(inner)
                except (NotJson, Refused):
                    return None
            return inner if isinstance(inner, dict) else None
    return None


def _place(value: dict[str, Any], name: str, text: str, known: dict[str, Any]) -> None:
    """Put the text of a raw block where its name says."""
    _sendable(name, text)
    if not name.startswith("/") or name in known:
        if name in value:
            raise Unfit(
                f"{name} is given twice: in the JSON and in a raw block, or in two raw blocks"
            )
        value[name] = Verbatim(text)
        return
    steps = [step.replace("~1", "/").replace("~0", "~") for step in name[1:].split("/")]
    parent: Any = value
    for step in steps[:-1]:
        parent = _child(parent, step, name)
    last = steps[-1]
    match parent:
        case dict():
            if parent.get(last, "") != "" or isinstance(parent.get(last), Verbatim):
                raise Unfit(f"{name} is given twice: in the JSON and in a raw block")
            parent[last] = Verbatim(text)
        case list() if last.isdecimal() and int(last) == len(parent):
            parent.append(Verbatim(text))
        case list() if last.isdecimal() and int(last) < len(parent) and parent[int(last)] == "":
            parent[int(last)] = Verbatim(text)
        case _:
            raise Unfit(f"{name}: there is no such place in the JSON")


def _sendable(name: str, text: str) -> None:
    if has_surrogate(name) or has_surrogate(text):
        raise Unfit("a string holds half of a surrogate pair, which is no character")


def _child(parent: Any, step: str, name: str) -> Any:
    match parent:
        case dict() if step in parent:
            return parent[step]
        case list() if step.isdecimal() and int(step) < len(parent):
            return parent[int(step)]
        case _:
            raise Unfit(f"{name}: there is no such place in the JSON")


def _checked(checker: Checker, value: Any, text: str) -> tuple[str, list[str]]:
    """The text to deliver, coerced where the schema wants it. Raises Unfit."""
    if checker.accepts(text):
        return text, []
    try:
        problems = checker.problems(value)
    except BrokenSchema:
        return text, ["broken_schema"]
    if not problems and not _has_number(value):
        return text, []
    coercion = Coercion(checker.schema or {})
    coerced = coercion.run(value, len(text))
    if not problems:
        # it fits; all that may still change is 3.0 to 3 where an integer is wanted
        if coercion.names or coerced != value:
            return text, []
        after = write(coerced)
        return (text if after == write(value) else after), []
    if coercion.names:
        problems = checker.problems(coerced)
    if problems:
        raise Unfit(*problems)
    return write(coerced), coercion.names


def _has_number(value: Any) -> bool:
    match value:
        case Number():
            return True
        case dict():
            return any(_has_number(item) for item in value.values())
        case list():
            return any(_has_number(item) for item in value)
        case _:
            return False
