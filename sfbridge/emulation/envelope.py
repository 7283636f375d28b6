"""The inside of one marked call: its head, its JSON part and its raw blocks.

Apart from the scanner, which only finds where a call ends: here the whole body is known at once.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from .dialect import Tags
from .repair import object_end

_NAME: Final = re.compile(r"""\bname\s*=\s*(?:"([^"]*)"|'([^']*)'|([\w.:-]+))""")
_CLOSER: Final = re.compile(r"\s*+(?:`{3,}+|~{3,}+)?\s*+</tool_call>")
_FENCE_LINE: Final = re.compile(r"\s*+(?:(?:`{3,}+|~{3,}+)[^`\n{]*+\s*+)?")
_RAW_END: Final = "</raw>"
_CALL_END: Final = "</tool_call>"


class Malformed(Exception):
    """The body of a call cannot be taken apart; the message is for the model."""


class Body(NamedTuple):
    """One call taken apart.

    given  the JSON part, perhaps empty
    raws   name and text of each raw block
    rest   prose behind a closing tag that lacked the mark
    names  which deviations were seen
    """

    given: str
    raws: list[tuple[str, str]]
    rest: str
    names: list[str]


def head_name(head: str) -> str:
    """The tool's name in an opening tag, empty when there is none."""
    found = _NAME.search(head)
    return next((group for group in found.groups() if group is not None), "") if found else ""


def take_apart(text: str, tags: Tags, line_params: frozenset[str], *, closed: bool) -> Body:
    """The parts of the text between head and closer. Raises Malformed.

    closed  whether a marked closer ended it; otherwise the closer may lack its mark or be missing
    """
    openers = list(tags.raw_open.finditer(text))
    if text.count(tags.raw) != len(openers):
        raise Malformed('a raw block must begin with <raw MARK name="PARAMETER">')
    parts: list[str] = []
    raws: list[tuple[str, str]] = []
    names: list[str] = []
    at = 0
    for index, opener in enumerate(openers):
        parts.append(text[at : opener.start()])
        until = openers[index + 1].start() if index + 1 < len(openers) else len(text)
        name = opener[1] if opener[1] is not None else opener[2]
        end = text.find(tags.raw_end, opener.end(), until)
        if end >= 0:
            at = end + len(tags.raw_end)
        else:
            end = _unmarked(text, name, opener.end(), until, closed)
            at = end + len(_RAW_END)
            names.append("rawnonce")
        value = text[opener.end() : end]
        raws.append((name, framed(value, lines=name.rpartition("/")[2] in line_params)))
    last, rest = text[at:], ""
    if not closed:
        last, rest, name = _open_end(last)
        if name == "noclose" and names:
            raise Malformed("the call and its raw block are not closed")
        names.append(name)
    given = [part for part in (*parts, last) if part.strip()]
    if len(given) > 1:
        raise Malformed("there is text between the raw blocks that is not the one JSON object")
    return Body(given[0] if given else "", raws, rest, names)


def framed(value: str, *, lines: bool) -> str:
    """The value of a raw block without the line breaks that belong to its tags."""
    end = "\r\n" if value.startswith("\r\n") else "\n"
    value = value.removeprefix(end)
    return value if lines else value.removesuffix(end)


def _unmarked(text: str, name: str, start: int, until: int, closed: bool) -> int:
    """Where a raw block ends whose closing tag lacks the mark: at the last one before the next block."""
    end = text.rfind(_RAW_END, start, until)
    if end < 0:
        raise Malformed(f"the raw block {name} is not closed")
    if not closed and text.count(_RAW_END, start, until) > 1:
        raise Malformed(f"it is unclear where the raw block {name} ends")
    return end


def _open_end(text: str) -> tuple[str, str, str]:
    """JSON part, prose behind it, and which slip it was, at the end of a call without a marked closer."""
    start = _FENCE_LINE.match(text)
    begin = start.end() if start else 0
    if text.startswith("{", begin):
        end = object_end(text, begin)
    else:
        end = begin if not text[begin:].strip() or text.startswith(_CALL_END, begin) else -1
    if end < 0:
        if text.count(_CALL_END) == 1:
            given, _, rest = text.partition(_CALL_END)
            return given, rest, "closer"
        return text, "", "noclose"
    closer = _CLOSER.match(text, end)
    if closer:
        return text[: closer.end() - len(_CALL_END)], text[closer.end() :], "closer"
    return text, "", "noclose"
