"""The foreign ways to write a call that models fall back to, each with a reader of one attempt.

A reader only says what stands there; whether it may become a call is for `salvage` to decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from .envelope import framed
from .jsontext import NotJson, Refused, read, write
from .repair import mend, object_end, unfenced


class Attempt(NamedTuple):
    """One call somebody tried to write.

    given    the JSON of the arguments
    values   parameters that were given one by one, verbatim; None when the arguments are JSON
    end      index behind it
    text     its characters, for the comparison with what others wrote
    problem  why it cannot be read, if so
    closed   its closing tag was there
    names    corrections of its JSON
    """

    name: str
    end: int
    text: str
    given: str = ""
    values: tuple[tuple[str, str], ...] | None = None
    problem: str = ""
    closed: bool = True
    names: tuple[str, ...] = ()


class Dialect(NamedTuple):
    """How a call begins, and how one is read: text, where it begins, line parameters -> attempts."""

    opens: re.Pattern[str]
    read: Callable[[str, re.Match[str], frozenset[str]], list[Attempt]]


class _Tags(NamedTuple):
    parameter: re.Pattern[str]
    parameter_end: re.Pattern[str]
    any_parameter: re.Pattern[str]
    call: re.Pattern[str]
    call_end: re.Pattern[str]
    stripped: bool  # one line break on each side of a value belongs to the tags


_UNMATCHED: Final = (
    "the opening and closing tags do not match one to one, so the values are unclear"
)
_NAME: Final = re.compile(r'"name"\s*+:\s*+"([^"\\]{1,128})"')
# A broken JSON answer is an attempted call only when it begins like one.
_BROKEN: Final = re.compile(
    r'(?:\[\s*+)?\{\s*+(?:"(?:id|type)"\s*+:\s*+"[^"]*+"\s*+,\s*+)*+'
    r'"name"\s*+:\s*+"([^"\\]{1,128})"\s*+,\s*+"(?:arguments|parameters)"'
)
_HERMES_END: Final = re.compile(r"\s*+</tool_call>")
_RAW: Final = re.compile(r"""\s*+<raw\s+name\s*=\s*(?:"([^"\n]*)"|'([^'\n]*)')\s*>""")
_RAW_ANY: Final = re.compile(r"<raw[\s>]")
_OWN_ANY: Final = re.compile(r"<tool_call[\s>]")
_ARGUMENTS: Final = ("arguments", "parameters", "args", "input")
_CARRIED: Final = frozenset({"name", "id", "type", *_ARGUMENTS})

_QWEN: Final = _Tags(
    parameter=re.compile(r"\s*+<parameter\s*=\s*([^>\n]{1,128})>"),
    parameter_end=re.compile(r"</parameter>"),
    any_parameter=re.compile(r"<parameter\s*="),
    call=re.compile(r"<function\s*="),
    call_end=re.compile(r"\s*+</function>(?:\s*+</tool_call>)?"),
    stripped=True,
)
_INVOKE: Final = _Tags(
    parameter=re.compile(r'\s*+<(?:\w{1,20}:)?parameter name="([^"\n]{1,128})"[^>\n]{0,64}>'),
    parameter_end=re.compile(r"</(?:\w{1,20}:)?parameter>"),
    any_parameter=re.compile(r"<(?:\w{1,20}:)?parameter name="),
    call=re.compile(r"<(?:\w{1,20}:)?invoke name="),
    call_end=re.compile(r"\s*+</(?:\w{1,20}:)?invoke>(?:\s*+</(?:\w{1,20}:)?function_calls>)?"),
    stripped=False,
)


def hermes(text: str, opener: re.Match[str], _: frozenset[str]) -> list[Attempt]:
    """A tag around one JSON object (or a list of them), read with its strings in mind.

    A search for the closing tag would lose calls whose strings contain it.
    """
    start = opener.end()
    end = object_end(text, start)
    if end < 0:
        name = _NAME.search(text, start)
        problem = "the JSON of the call never ends"
        return [
            Attempt(name[1] if name else "", len(text), text[start:], problem=problem, closed=False)
        ]
    closer = _HERMES_END.match(text, end)
    given = text[start:end]
    after = closer.end() if closer else end
    found = list(_from_json(given, after, _NAME, closed=closer is not None))
    if closer is None and text[end:].strip():
        return [one._replace(problem="the call is not closed", closed=True) for one in found]
    return found


def bare_json(text: str, opener: re.Match[str], _: frozenset[str]) -> list[Attempt]:
    """A JSON object, or a list of them, that is the whole answer, in a fence or not."""
    body = text.strip()
    inner = unfenced(body)
    body = body if inner is None else inner
    if opener.start() or not body.startswith(("{", "[")):
        return []
    end = object_end(body, 0)
    if 0 <= end < len(body):
        return []
    return list(_from_json(body, len(text), _BROKEN, closed=end >= 0))


def qwen(text: str, opener: re.Match[str], _: frozenset[str]) -> list[Attempt]:
    """`<function=NAME>` with `<parameter=NAME>` inside, in a wrapper or not."""
    return _tagged(text, opener, _QWEN)


def invoke(text: str, opener: re.Match[str], _: frozenset[str]) -> list[Attempt]:
    """`<invoke name="NAME">` with `<parameter name="NAME">` inside, prefixed or not."""
    return _tagged(text, opener, _INVOKE)


def unmarked(text: str, opener: re.Match[str], line_params: frozenset[str]) -> list[Attempt]:
    """Our own form without its mark, whose closing tags must then be unique."""
    name, at = opener["name"], opener.end()
    whole = text[opener.start() :]
    if opener["empty"]:
        return [Attempt(name, at, opener[0].strip(), values=None)]
    ends = "</tool_call>" in whole
    if len(_RAW_ANY.findall(whole)) != whole.count("</raw>"):
        return [Attempt(name, len(text), whole, problem=_UNMATCHED, closed=ends)]
    given, raws = "", []
    while True:
        raw = _RAW.match(text, at)
        if raw:
            end = text.find("</raw>", raw.end())
            value = text[raw.end() : end]
            if end < 0 or _RAW_ANY.search(value):
                return [Attempt(name, len(text), whole, problem=_UNMATCHED, closed=ends)]
            key = raw[1] if raw[1] is not None else raw[2]
            raws.append((key, framed(value, lines=key.rpartition("/")[2] in line_params)))
            at = end + len("</raw>")
            continue
        at += len(text[at:]) - len(text[at:].lstrip())
        end = object_end(text, at) if text.startswith("{", at) and not given else -1
        if end < 0:
            break
        given, at = text[at:end], end
    closed = text.startswith("</tool_call>", at)
    problem = ""
    if closed:
        at += len("</tool_call>")
        if len(_OWN_ANY.findall(whole)) != whole.count("</tool_call>"):
            problem = _UNMATCHED
    elif at < len(text) or raws:
        problem, at = "the call is not closed, or holds more than JSON and raw blocks", len(text)
    done = Attempt(name, at, text[opener.start() : at], given, tuple(raws), problem, closed)
    return [done]


def _from_json(given: str, end: int, broken: re.Pattern[str], *, closed: bool) -> Iterator[Attempt]:
    """The calls that a JSON text describes; one without a name when it describes something else."""
    try:
        value, names = mend(given)
    except (NotJson, Refused) as error:
        name = broken.search(given) if broken is _NAME else broken.match(given)
        if name:
            yield Attempt(name[1], end, given, problem=str(error), closed=closed)
        return
    for one in value if isinstance(value, list) else [value]:
        described = _described(one, bare=broken is _BROKEN)
        if described is None:
            yield Attempt("", end, given, closed=closed)
        else:
            tool, arguments = described
            yield Attempt(tool, end, given, arguments, closed=closed, names=tuple(names))


def _described(value: Any, *, bare: bool) -> tuple[str, str] | None:
    """Name and argument JSON of an object that describes a call and nothing else.

    bare  no tag says that it is a call: then it must name its arguments
    """
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    if isinstance(inner, dict) and value.keys() <= {"function", "id", "type"}:
        value = inner
    name = value.get("name")
    if not isinstance(name, str) or not name or not value.keys() <= _CARRIED:
        return None
    words = [word for word in _ARGUMENTS if word in value]
    if len(words) > 1 or (bare and not words):
        return None
    arguments = value[words[0]] if words else {}
    if isinstance(arguments, str):
        try:
            arguments = read(arguments)
        except (NotJson, Refused):
            return None
    return (name, write(arguments)) if isinstance(arguments, dict) else None


def _tagged(text: str, opener: re.Match[str], tags: _Tags) -> list[Attempt]:
    """A call whose parameters stand in tags of their own, verbatim.

    Without the demand that tags match one to one, calls whose values contain a closing tag come out
    silently wrong (11 and 29 of 2,408 measured files).
    """
    start, name = opener.start("call"), opener["name"]
    whole = text[start:]
    unmatched = _count(tags.any_parameter, whole) != _count(tags.parameter_end, whole)
    values: list[tuple[str, str]] = []
    at = opener.end()
    while parameter := tags.parameter.match(text, at):
        closer = tags.parameter_end.search(text, parameter.end())
        if closer is None:
            return [Attempt(name, len(text), whole, problem=_UNMATCHED, closed=False)]
        value = text[parameter.end() : closer.start()]
        unmatched = unmatched or tags.any_parameter.search(value) is not None
        values.append(
            (parameter[1].strip("\"' "), framed(value, lines=False) if tags.stripped else value)
        )
        at = closer.end()
    end = tags.call_end.match(text, at)
    problem = ""
    if unmatched or len({key for key, _ in values}) != len(values):
        problem = _UNMATCHED
    elif end is None:
        problem = "the call is not closed"
    elif _count(tags.call, whole) != whole.count(end[0].strip().split(">")[0] + ">"):
        problem = _UNMATCHED
    until = end.end() if end and not problem else len(text)
    return [Attempt(name, until, text[start:until], "", tuple(values), problem, end is not None)]


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in pattern.finditer(text))
