"""Calls and results put in pairs, whatever a client sent.

Apart from fitting because it holds for every upstream: each call gets exactly one result, in the message
directly after the turn that made it, in call order. Nothing outside an exchange (one assistant turn and
what follows it up to the next) is looked at, so an exchange once repaired never changes when the
conversation grows, and ids that a client uses again in a later turn cannot be confused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from msgspec.structs import replace

from sfbridge.core.request import (
    DocumentPart,
    ImagePart,
    Message,
    Part,
    TextPart,
    ToolCall,
    ToolResult,
)

from .turns import joined

INTERRUPTED: Final = "The tool call was interrupted; there is no result."
LEFT_OUT: Final = "[An image was left out here.]"


def pair_calls(messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], dict[str, int]]:
    """The messages with every call answered once, and how often each repair was made.

    Calls are expected in assistant turns and results in user messages, which is what the wires decode
    to. The repairs, by their name in the counts:

    orphan_result     a result without a call in its exchange becomes labelled user text
    orphan_call       a call without a result gets one that says it was interrupted
    duplicate_result  of several results of one call the last one stays
    repeated_id       a call whose id is empty or was used before gets a fresh one, its result too

    Results out of place are moved without being counted. The very same tuple comes back when nothing
    had to be done.
    """
    if _in_order(messages):
        return messages, {}
    counts: dict[str, int] = {}
    used: set[str] = set()
    whole: list[Message] = []
    turn: list[Message] = []
    for assistant, group in groupby(messages, lambda message: message.role == "assistant"):
        if assistant:
            turn = list(group)
        else:
            whole += _exchange(turn, list(group), used, counts)
            turn = []
    whole += _exchange(turn, [], used, counts)
    return tuple(whole), counts


def _in_order(messages: tuple[Message, ...]) -> bool:
    """Whether nothing needs repair; one pass, nothing built."""
    waiting: list[str] = []
    used: set[str] = set()
    for message in messages:
        if message.role == "assistant":
            if waiting:
                return False
            for part in message.parts:
                kind = type(part)
                if kind is ToolResult:
                    return False
                if kind is ToolCall:
                    call_id: str = part.id  # type: ignore[union-attr]
                    if not call_id or call_id in used:
                        return False
                    used.add(call_id)
                    waiting.append(call_id)
        else:
            if waiting and message.role != "user":
                return False
            found = [part.call_id for part in message.parts if isinstance(part, ToolResult)]
            if found != waiting:
                return False
            if waiting:
                if not all(type(part) is ToolResult for part in message.parts[: len(waiting)]):
                    return False
                waiting = []
    return not waiting


def _exchange(
    turn: list[Message], replies: list[Message], used: set[str], counts: dict[str, int]
) -> list[Message]:
    """One assistant turn and the messages up to the next one, repaired."""
    spoken = [_plain(message, counts) for message in turn]
    asked = [part for message in spoken for part in message.parts if isinstance(part, ToolCall)]
    if not asked:
        return spoken + [_plain(message, counts) for message in replies]
    fresh = [_fresh(call, used, counts) for call in asked]
    given, rest = _taken({call.id for call in asked}, replies, counts)
    answers = _answers(asked, fresh, given, counts)
    if rest and rest[0].role == "user":
        rest[0] = Message("user", (*answers, *rest[0].parts))
    else:
        rest.insert(0, Message("user", answers))
    return [_one_turn(spoken, fresh), *(message for message in rest if message.parts)]


def _one_turn(turn: list[Message], calls: Sequence[ToolCall]) -> Message:
    """A run of assistant messages as one, since results follow the run and not each message of it."""
    parts = turn[0].parts if len(turn) == 1 else joined(turn)
    renamed = iter(calls)
    return Message(
        "assistant",
        tuple([next(renamed) if isinstance(part, ToolCall) else part for part in parts]),
    )


def _fresh(call: ToolCall, used: set[str], counts: dict[str, int]) -> ToolCall:
    """The call under an id that no earlier call of the conversation has."""
    call_id = call.id
    if not call_id or call_id in used:
        _count(counts, "repeated_id")
        stem = call_id or "call"
        number = 2
        while (call_id := f"{stem}_{number}") in used:
            number += 1
        call = replace(call, id=call_id)
    used.add(call_id)
    return call


def _taken(
    ids: set[str], replies: list[Message], counts: dict[str, int]
) -> tuple[dict[str, list[ToolResult]], list[Message]]:
    """The results for `ids`, and the replies without them."""
    given: dict[str, list[ToolResult]] = {}
    rest: list[Message] = []
    for message in replies:
        kept: list[Part] = []
        for part in message.parts:
            if isinstance(part, ToolResult) and part.call_id in ids and message.role == "user":
                given.setdefault(part.call_id, []).append(part)
            else:
                kept.append(part)
        rest.append(_plain(Message(message.role, tuple(kept)), counts))
    return given, rest


def _answers(
    asked: list[ToolCall],
    fresh: list[ToolCall],
    given: dict[str, list[ToolResult]],
    counts: dict[str, int],
) -> tuple[ToolResult, ...]:
    """One result per call, in call order. Calls that share an id take their results in turn."""
    left: dict[str, int] = {}
    for call in asked:
        left[call.id] = left.get(call.id, 0) + 1
    answers: list[ToolResult] = []
    for old, new in zip(asked, fresh, strict=True):
        left[old.id] -= 1
        results = given.get(old.id, [])
        if not results:
            _count(counts, "orphan_call")
            answers.append(ToolResult(new.id, (TextPart(INTERRUPTED),), is_error=True))
            continue
        if left[old.id] == 0:
            _count(counts, "duplicate_result", len(results) - 1)
            result = results[-1]
        else:
            result = results.pop(0)
        answers.append(result if old is new else replace(result, call_id=new.id))
    return tuple(answers)


def _plain(message: Message, counts: dict[str, int]) -> Message:
    """The message with every result in it turned into labelled text."""
    if not any(type(part) is ToolResult for part in message.parts):
        return message
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            _count(counts, "orphan_result")
            parts.append(_labelled(part))
        else:
            parts.append(part)
    return Message(message.role, tuple(parts))


def _labelled(result: ToolResult) -> TextPart:
    kind = "Error" if result.is_error else "Result"
    lines = [
        f"[{kind} of a tool call that is not part of this conversation, id {result.call_id!r}]"
    ]
    for part in result.parts:
        match part:
            case TextPart() | DocumentPart() if part.text:
                lines.append(part.text)
            case ImagePart():
                lines.append(LEFT_OUT)
    return TextPart("\n".join(lines))


def _count(counts: dict[str, int], name: str, times: int = 1) -> None:
    if times:
        counts[name] = counts.get(name, 0) + times
