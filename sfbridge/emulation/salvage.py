"""Calls in foreign dialects, taken over under guard.

Turning text into calls is what lets a web page or a file give orders, so all of this must hold: no marked
call in the answer, the tool known, the arguments valid, nothing of the call quoted from the conversation.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from sfbridge.core.request import Tool

from .arguments import Unfit, parameters, settle, settle_values
from .coercion import Verbatim, takes_text
from .dialect import Fault, PlannedCall
from .grammars import Attempt, Dialect, bare_json, hermes, invoke, qwen, unmarked
from .jsontext import NotJson, Refused, has_surrogate, read
from .words import names

DIALECTS: Final[dict[str, Dialect]] = {
    "unmarked": Dialect(
        re.compile(r"""<tool_call name=["'](?P<name>[^"'\n]{1,128})["']\s*(?P<empty>/?)>"""),
        unmarked,
    ),
    "qwen3coder": Dialect(
        re.compile(r"(?:<tool_call>\s*+)?(?P<call><function\s?=\s?(?P<name>[^>\s]{1,128})>)"), qwen
    ),
    "hermes": Dialect(re.compile(r"<tool_call>\s*+(?=[{\[])"), hermes),
    "invoke": Dialect(
        re.compile(
            r"(?:<(?:\w{1,20}:)?function_calls>\s*+)?"
            r'(?P<call><(?:\w{1,20}:)?invoke name="(?P<name>[^"\n]{1,128})">)'
        ),
        invoke,
    ),
    "json": Dialect(re.compile(r"(?=\s*+(?:[`~]{3}|[{\[]))"), bare_json),
}

# How a foreign call may begin, and how an invented result does; within 48 characters.
OPENS: Final = re.compile(
    r"<tool_call(?:>| name=)|<function\s?=|<(?:\w{1,20}:)?(?:function_calls>|invoke name=)"
)
RESULTS: Final = re.compile(r"<(?:tool_result|tool_response|function_results?|function_response)\b")

_MAX_CALLS: Final = 64  # each one counts the tags behind it

# Pages inside JSON inside JSON were met; each further layer doubles what is searched.
_PACKINGS: Final = 3
_ESCAPE: Final = re.compile(r'\\(u[0-9a-fA-F]{4}|["\\/bfnrt])')
_CHARACTERS: Final = {
    '"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip

# an opener that was cut before anything of its call could be read
_STUB: Final = re.compile(
    r"(?=<)(?:<tool_call>|<(?:\w{1,20}:)?function_calls>)?\s*+(?:<[^>\n]{0,160}+)?\Z"
)
_LINE: Final = re.compile(r"^[ \t]*+(?:(?P<fence>`{3,}+|~{3,}+)[^\n]*|(?=<))", re.M)


class Salvaged(NamedTuple):
    """What became of a text that may hold calls: calls, or faults, or just `text`."""

    outcomes: list[PlannedCall | Fault]
    notes: list[str]
    text: str
    rest: str = ""


def salvage(
    text: str,
    tools: Mapping[str, Tool],
    untrusted: str,
    line_params: frozenset[str],
    *,
    cut: bool,
    alone: bool,
) -> Salvaged:
    """Judge a text that begins like a call.

    cut    the answer hit a limit: a call without its end is dropped
    alone  nothing was said before it
    """
    attempts, end = _attempts(text, line_params)
    if cut and _STUB.match(text):
        return Salvaged([], ["truncated_call"], "")
    known = [(dialect, one) for dialect, one in attempts if one.name in tools]
    if not attempts or (len(known) < len(attempts) and attempts[0][0] == "json"):
        return Salvaged([], [], text)
    if _tainted([one for _, one in attempts], untrusted):
        return Salvaged([], ["tainted"], text)
    if cut and not known and not attempts[-1][1].closed:
        return Salvaged([], ["truncated_call"], "")
    if len(known) < len(attempts):
        # Somebody may be writing about this syntax. Only an answer that is nothing else is an attempt.
        strangers = [one for _, one in attempts if one.name not in tools]
        if known or (alone and not text[end:].strip()):
            return Salvaged([_unknown(one, tools) for one in strangers], [], "", text[end:])
        return Salvaged([], [], text)
    done = Salvaged([], [], "", text[end:])
    for dialect, one in known:
        _judge(dialect, one, tools[one.name], cut, done)
    return done


def _judge(dialect: str, one: Attempt, tool: Tool, cut: bool, done: Salvaged) -> None:
    if cut and not one.closed:
        done.notes.append("truncated_call")
        return
    try:
        if one.problem:
            raise Unfit(one.problem)
        text, found = _settled(dialect, one, tool)
    except Unfit as unfit:
        done.outcomes.append(Fault(one.name, unfit.problems, one.text))
        return
    done.outcomes.append(PlannedCall(one.name, text))
    done.notes.extend([f"salvaged:{dialect}", *one.names, *found])
    if not one.closed:
        done.notes.append("noclose")


def _settled(dialect: str, one: Attempt, tool: Tool) -> tuple[str, list[str]]:
    if one.values is None or dialect == "unmarked":
        return settle(tool, one.given, one.values or ())
    known = parameters(tool)
    strange = [key for key, _ in one.values if key not in known]
    if strange:
        raise Unfit(f"unknown parameter {names(strange)}; known: {names(known)}")
    return settle_values(tool, {key: _read(value, known[key]) for key, value in one.values})


def _read(value: str, schema: object) -> object:
    """A text where the schema takes one, anything else as the JSON it is."""
    if takes_text(schema, {}):
        return Verbatim(value)
    try:
        return read(value)
    except (NotJson, Refused):
        return value.strip()


def _attempts(text: str, line_params: frozenset[str]) -> tuple[list[tuple[str, Attempt]], int]:
    """Every attempted call up to the first invented result, and where the last one ends."""
    found: list[tuple[str, Attempt]] = []
    at, end = 0, 0
    while at >= 0:
        here: list[tuple[str, Attempt]] = []
        for name, dialect in DIALECTS.items():
            opener = dialect.opens.match(text, at)
            if opener:
                here = [(name, one) for one in dialect.read(text, opener, line_params)]
                if here:
                    break
        if not here:
            break
        found += here
        end = max(end, here[-1][1].end)
        if len(found) > _MAX_CALLS:
            return [], 0
        at = _next_opener(text, end)
    return found, end


def _next_opener(text: str, start: int) -> int:
    """Where the next foreign call begins behind `start`, outside fences; -1 at a result or the end."""
    after = start + len(text[start:]) - len(text[start:].lstrip())
    if OPENS.match(text, after):
        return after
    fence = ""
    for line in _LINE.finditer(text, start):
        run = line["fence"] or ""
        if run:
            if not fence:
                fence = run
            elif run.startswith(fence):
                fence = ""
        elif not fence:
            if RESULTS.match(text, line.end()):
                return -1
            if OPENS.match(text, line.end()):
                return line.end()
    return -1


def _tainted(attempts: list[Attempt], untrusted: str) -> bool:
    """Whether any of the calls stands, but for white space, in a text that others wrote."""
    if not untrusted:
        return False
    calls = ["".join(one.text.split()) for one in attempts]
    known = ("".join(view.split()) for view in _views(untrusted))
    return any(call in text for text in known for call in calls)


def _views(text: str) -> Iterator[str]:
    """A text, and what it says where it holds JSON strings or HTML: a page inside a tool's JSON is quoted unpacked."""
    seen, views = {text}, [text]
    for _ in range(_PACKINGS + 1):
        yield from views
        unpacked = [unpack(view) for view in views for unpack in (_from_json, html.unescape)]
        views = [view for view in dict.fromkeys(unpacked) if view not in seen]
        seen.update(views)


def _from_json(text: str) -> str:
    """The text with the escapes of JSON strings read, wherever they stand."""
    read_text = _ESCAPE.sub(_character, text)
    if has_surrogate(read_text):
        return read_text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return read_text


def _character(found: re.Match[str]) -> str:
    word = found[1]
    return _CHARACTERS[word] if len(word) == 1 else chr(int(word[1:], 16))


def _unknown(one: Attempt, tools: Mapping[str, Tool]) -> Fault:
    return Fault(one.name, (f"unknown tool {one.name}; known: {names(tools)}",), one.text)
