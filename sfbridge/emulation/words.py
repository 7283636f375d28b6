"""A validator's errors in plain words with paths, for a model that is to correct its call."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from .jsontext import write

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

MAX_PROBLEMS: Final = 12
_MAX_SHOWN: Final = 60
_MAX_NAMES: Final = 40

_TYPES: Final = {"object": "an object", "array": "a list", "string": "text", "null": "null"}
# keyword: what the value has to be, with its limit
_BOUNDS: Final = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} entries",
    "maxProperties": "at most {} entries",
    "pattern": "text that matches {}",
}
# As `shown` writes them.
_WRITTEN: Final = re.compile(
    r'(got |the key |)(?:(?<=got |key )(text) "(?:[^"\\]|\\.)*"|(?:the |(?<=got ))number [^\s;)]+)'
)
_PLAIN: Final = {
    "uniqueItems": "the items must differ from each other",
    "contains": "no item is as demanded",
    "falseSchema": "nothing may be given here",
    "not": "has a form that is excluded",
}


def explain(errors: Iterable[ValidationError], schema: dict[str, Any]) -> tuple[str, ...]:
    """At most twelve lines, in the order of the validator, without repetitions."""
    lines: dict[str, None] = {}
    for error in islice(errors, 4 * MAX_PROBLEMS):
        if type(error.kind).__name__ in ("BacktrackLimitExceeded", "RegexEngineFailure"):
            continue  # the pattern was too costly to check: no verdict about the value
        lines[line(error, schema)] = None
    return tuple(islice(lines, MAX_PROBLEMS))


def line(error: ValidationError, schema: dict[str, Any]) -> str:
    """One error as `path: what was expected, got what`."""
    path = pointer(error.instance_path)
    kind: Any = error.kind
    match kind.name:
        case "required":
            return f"{path}/{_step(kind.property)}: missing"
        case "additionalProperties" | "unevaluatedProperties":
            return _unknown(path, kind.unexpected, _known(error, schema))
        case "type":
            wanted = " or ".join(_TYPES.get(one, one) for one in sorted(kind.types))
            return f"{_at(path)}expected {wanted}, got {shown(error.instance)}"
        case "enum":
            options = ", ".join(shown(option) for option in kind.options[:_MAX_NAMES])
            return f"{_at(path)}expected one of {options}, got {shown(error.instance)}"
        case "const":
            return f"{_at(path)}expected {shown(kind.expected_value)}, got {shown(error.instance)}"
        case "anyOf" | "oneOf":
            return _branches(path, error)
        case "propertyNames":
            return f"{_at(path)}the key {shown(kind.error.instance)} is not allowed"
        case word if word in _BOUNDS:
            limit = write(next(iter(kind.as_dict().values())))
            return f"{_at(path)}expected {_BOUNDS[word].format(limit)}, got {shown(error.instance)}"
        case word if word in _PLAIN:
            return f"{_at(path)}{_PLAIN[word]}"
        case word:
            return f"{_at(path)}breaks the rule {word}"


def pointer(path: Iterable[str | int]) -> str:
    """A JSON Pointer; empty for the whole."""
    return "".join(f"/{_step(str(step))}" for step in path)


def shown(value: Any) -> str:
    """A value as the model wrote it, shortened."""
    match value:
        case str():
            text = write(value)
            return f"text {text}" if len(text) <= _MAX_SHOWN else f'text {text[:_MAX_SHOWN]}…"'
        case dict():
            return "an object"
        case list():
            return "a list"
        case bool() | None:
            return write(value)
        case Decimal() | int() | float():
            return f"number {value}"
        case _:
            return str(value)


def without_values(problem: str) -> str:
    """A problem without the texts and numbers that the model wrote, for those who must not read them."""
    return _WRITTEN.sub(lambda found: f"{found[1]}{found[2] or 'a number'}", problem)


def names(given: Iterable[str]) -> str:
    """A list of names, cut when it is long."""
    listed = list(given)
    more = f" and {len(listed) - _MAX_NAMES} more" if len(listed) > _MAX_NAMES else ""
    return ", ".join(listed[:_MAX_NAMES]) + more


def _step(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _at(path: str) -> str:
    return f"{path}: " if path else "the arguments: "


def _unknown(path: str, unexpected: list[str], known: list[str]) -> str:
    what = "parameter" if not path else "key"
    told = f"; known: {names(known)}" if known else ""
    return f"{path + ': ' if path else ''}unknown {what} {names(unexpected)}{told}"


def _known(error: ValidationError, schema: dict[str, Any]) -> list[str]:
    """The property names beside the `additionalProperties` that refused."""
    found: Any = schema
    for step in error.schema_path[:-1]:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            return []
    properties = found.get("properties") if isinstance(found, dict) else None
    return list(properties) if isinstance(properties, dict) else []


def _branches(path: str, error: ValidationError) -> str:
    kind: Any = error.kind
    if type(kind).__name__ == "OneOfMultipleValid":
        return f"{_at(path)}fits more than one of the forms of which it must be exactly one"
    context: list[list[ValidationError]] = kind.context
    told = [line(branch[0], {}) for branch in context if branch]
    return f"{_at(path)}fits none of the allowed forms ({'; or '.join(dict.fromkeys(told[:6]))})"
