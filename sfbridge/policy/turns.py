"""Whose turn it is: system messages in mid-conversation, strict alternation, first and last speaker.

Every rule looks backwards only and leaves things in their place, so the turns of a conversation stay the
same, byte for byte, when it grows; a provider's prompt cache lives on that.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final

from msgspec.structs import replace

from sfbridge.core.model import Capabilities
from sfbridge.core.request import Message, Part, TextPart, ToolResult

# A conversation that was cut at its front begins with the model's words. Dropping them would lose what
# the user refers to, so the missing turn is stood in for instead.
OPENING: Final = Message("user", (TextPart("(continued)"),))
# Newer Claude models refuse a request that ends with the assistant's own words (prefill).
CLOSING: Final = Message("user", (TextPart("Continue."),))


def take_turns(messages: tuple[Message, ...], can: Capabilities) -> tuple[Message, ...]:
    """The messages in an order of speakers that the model accepts; empty when nobody said anything.

    With `alternation`, blank texts go, neighbours of one role become one turn with a blank line between
    their texts, and the user speaks first and last. System messages that may stay where they are do
    not count as turns. The very same tuple comes back when nothing had to be done.
    """
    if _in_turn(messages):
        return messages
    if not can.system_midway:
        messages = tuple([_as_user(m) if m.role == "system" else m for m in messages])
    if not can.alternation:
        return tuple([message for message in messages if message.parts])
    turns = _merged(messages)
    speakers = [index for index, turn in enumerate(turns) if turn.role != "system"]
    if not speakers:
        return ()
    if turns[speakers[-1]].role == "assistant":
        turns.append(CLOSING)
    if turns[speakers[0]].role == "assistant":
        turns.insert(speakers[0], OPENING)
    return tuple(turns)


def joined(run: Iterable[Message]) -> tuple[Part, ...]:
    """The parts of neighbouring messages as those of one, with a blank line where text meets text."""
    parts: list[Part] = []
    for message in run:
        start = len(parts)
        parts += message.parts
        if 0 < start < len(parts):
            head = parts[start]
            if isinstance(head, TextPart) and isinstance(parts[start - 1], TextPart):
                # The border between two messages must survive renderers that glue texts together.
                parts[start] = replace(head, text="\n\n" + head.text)
    return tuple(parts)


def _in_turn(messages: tuple[Message, ...]) -> bool:
    """Whether nothing is to be changed for anybody, as nearly always; one pass, nothing built."""
    user_next = True
    for message in messages:
        if message.role != ("user" if user_next else "assistant") or not message.parts:
            return False
        for part in message.parts:
            if _has_blanks(part):
                return False
        user_next = not user_next
    return not user_next


def _as_user(message: Message) -> Message:
    """A system message as a marked user text, where it stands."""
    texts = [part for part in message.parts if isinstance(part, TextPart) and part.text]
    others = tuple([part for part in message.parts if not isinstance(part, TextPart)])
    if not texts:
        return Message("user", others)
    body = "\n".join(part.text for part in texts)
    marked = TextPart(f"<system>\n{body}\n</system>", any(part.cache for part in texts))
    return Message("user", (marked, *others))


def _merged(messages: Iterable[Message]) -> list[Message]:
    turns: list[Message] = []
    spoken = [said for message in messages if (said := _without_blanks(message)).parts]
    for role, group in groupby(spoken, lambda message: message.role):
        run = list(group)
        turns.append(run[0] if len(run) == 1 else Message(role, joined(run)))
    return turns


def _without_blanks(message: Message) -> Message:
    """The message without texts of nothing but white space, which Anthropic's models refuse."""
    if not any(_has_blanks(part) for part in message.parts):
        return message
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            if _has_blanks(part):
                part = replace(part, parts=tuple([p for p in part.parts if not _blank(p)]))
            parts.append(part)
        elif not _blank(part):
            parts.append(part)
    return Message(message.role, tuple(parts))


def _has_blanks(part: Part) -> bool:
    if isinstance(part, ToolResult):
        return any(_blank(inner) for inner in part.parts)
    return _blank(part)


def _blank(part: Part) -> bool:
    return isinstance(part, TextPart) and (not part.text or part.text.isspace())
