"""A history as units that may be cut: one assistant turn and what follows it up to the next one.

Calls and results pair up inside a unit and nowhere else (see history), so a cut that takes all calls and
results of a unit never parts a call from its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntFlag
from itertools import groupby
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sfbridge.core.request import (
    DocumentPart,
    ImagePart,
    Message,
    Part,
    SealedPart,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
    text_of,
)

from .history import LEFT_OUT
from .prefix import digest, fields_of

# Folding must win more than its own line costs, and a folded result must never be folded again.
_WORTH: Final = 200
# A fold ends at the end of a line when one is as near as this part of what is kept.
_NEAR: Final = 4


class Cut(IntFlag):
    """What has been taken from a unit."""

    NOTHING = 0
    FOLDED = 1  # its large results show their head and tail only
    TOOLS = 2  # its calls and their results are gone
    SAID = 4  # the assistant's own words are gone
    ASKED = 8  # the user's own words are gone


class Unit(Struct, frozen=True, gc=False):
    """The messages `start` to `end` (exclusive); those from `replies` on are not the assistant's."""

    start: int
    replies: int
    end: int


def units_of(messages: Sequence[Message]) -> list[Unit]:
    """The history in units; only the first may lack its assistant turn, only the last its replies."""
    units: list[Unit] = []
    start = replies = place = 0
    for assistant, run in groupby(messages, lambda message: message.role == "assistant"):
        if assistant:
            start = place
        place += sum(1 for _ in run)
        if assistant:
            replies = place
        else:
            units.append(Unit(start, replies, place))
            start = replies = place
    if start < place:
        units.append(Unit(start, place, place))
    return units


def keys_of(messages: Sequence[Message], units: Iterable[Unit]) -> list[bytes]:
    """A key per unit from its content; equal units are told apart by how many went before.

    Keys do not depend on what follows, so they stay when the conversation grows.
    """
    seen: dict[bytes, int] = {}
    keys: list[bytes] = []
    for unit in units:
        fields: list[str | bytes] = []
        for message in messages[unit.start : unit.end]:
            fields.append(message.role)
            for part in message.parts:
                fields += fields_of(part)
        key = digest(fields)
        count = seen[key] = seen.get(key, 0) + 1
        keys.append(key if count == 1 else key + b"%d" % count)
    return keys


def tail_start(units: Sequence[Unit], keep_turns: int) -> int:
    """Index of the first unit of the kept tail; a prefill at the end, which nobody answered, is none of the turns."""
    if not units:
        return 0
    unanswered = units[-1].replies == units[-1].end
    return max(0, len(units) - max(1, keep_turns) - unanswered)


def first_turn(messages: Sequence[Message], units: Sequence[Unit]) -> int:
    """Index of the unit in which the user first says something; -1 when that never happens."""
    for index, unit in enumerate(units):
        for message in messages[unit.replies : unit.end]:
            if message.role == "user" and any(
                isinstance(part, TextPart) and part.text.strip() for part in message.parts
            ):
                return index
    return -1


def part_cut(part: Part, role: str, *, calls: bool) -> Cut:
    """Which cut takes this part. `calls` says whether its unit has any; thoughts go with them."""
    match part:
        case ToolCall() | ToolResult():
            return Cut.TOOLS
        case ThoughtPart() | SealedPart() if calls:
            return Cut.TOOLS
        case _:
            return Cut.SAID if role == "assistant" else Cut.ASKED


def has_calls(messages: Iterable[Message]) -> bool:
    return any(isinstance(part, ToolCall) for message in messages for part in message.parts)


def folded(result: ToolResult, head: int, tail: int) -> ToolResult:
    """The result with the head and tail of its text, and without its pictures and binary documents.

    The very same result when folding would win nothing.
    """
    text = text_of(result.parts)
    heavy = [part for part in result.parts if _heavy(part)]
    long = len(text) > head + tail + _WORTH
    if not long and not heavy:
        return result
    parts: list[Part] = []
    if text:
        parts.append(TextPart(_head_and_tail(text, head, tail) if long else text))
    parts += [TextPart(LEFT_OUT) for _ in heavy]
    parts += [
        part for part in result.parts if not isinstance(part, TextPart | ImagePart | DocumentPart)
    ]
    return replace(result, parts=tuple(parts))


def _heavy(part: Part) -> bool:
    return isinstance(part, ImagePart) or (isinstance(part, DocumentPart) and not part.text)


def _head_and_tail(text: str, head: int, tail: int) -> str:
    start = text[:head]
    line = start.rfind("\n")
    if line >= head - head // _NEAR:
        start = start[:line]
    end = text[len(text) - tail :]
    line = end.find("\n")
    if 0 <= line <= tail // _NEAR:
        end = end[line + 1 :]
    gone = len(text) - len(start) - len(end)
    middle = f"[{gone} characters were removed here to fit the context window.]"
    return "\n".join(piece for piece in (start, middle, end) if piece)
