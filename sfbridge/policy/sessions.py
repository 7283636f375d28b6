"""How a request goes on from the turns that its session has kept.

One rule with three outcomes, by content and not by who asks:

- *resent*: the messages begin with the conversation up to one of its answers. The client keeps the history itself,
  so the request goes out as it is, and what follows that answer is new. Where it is an earlier answer than the last
  one, the client went back (it edited or repeated a turn), and the conversation goes on from there.
- *window*: the messages begin with the end of the conversation. The client keeps its last turns only; what it
  forgot is put before them.
- *continued*: anything else is new, and all that was said is put before it.

What clients change when they give back what they were told does not count: cache marks, thoughts, white space, ids
of calls, how arguments are printed, where one message ends and the next of the same speaker begins.

A request without a system prompt has that of the session; one with its own changes it from this turn on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sfbridge.core.kept import KeptTurn
from sfbridge.core.request import (
    ChatRequest,
    DocumentPart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    Role,
    SealedPart,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
    text_of,
)

_json: Final = msgspec.json.Decoder()


class Continuation(Struct, frozen=True, kw_only=True):
    """A request within its session.

    request  with the history that it needs
    added    which of its messages are new
    system   its system prompt where that is new, else None
    after    the turn that it follows, empty for the first one
    """

    request: ChatRequest
    added: tuple[Message, ...]
    system: tuple[TextPart, ...] | None
    after: str


def begin(request: ChatRequest) -> Continuation:
    """The request as the first turn of its session."""
    return Continuation(
        request=request, added=request.messages, system=request.system or None, after=""
    )


class _Run(Struct):
    """Neighbouring messages of one speaker, as far as they count; `end` is where the next run begins."""

    role: Role
    text: str
    things: list[tuple[Any, ...]]
    end: int

    def like(self, other: _Run) -> bool:
        return (self.role, self.text, self.things) == (other.role, other.text, other.things)


def continue_from(turns: Sequence[KeptTurn], request: ChatRequest) -> Continuation:
    """The request as the next turn after these, which are one path through the session, at least one, the
    first turn first."""
    place, start = _known(turns, request.messages)
    if place is not None:
        path, messages = turns[: place + 1], request.messages
    else:
        path, messages = turns, (*history(turns, request.model), *request.messages[start:])
    prompt = next((turn.system for turn in reversed(path) if turn.system is not None), ())
    changed = bool(request.system) and _texts(request.system) != _texts(prompt)
    return Continuation(
        request=replace(request, messages=messages, system=request.system or prompt),
        added=request.messages[start:],
        system=request.system if changed else None,
        after=path[-1].id,
    )


def _known(turns: Sequence[KeptTurn], messages: Sequence[Message]) -> tuple[int | None, int]:
    """How many of the messages were said before, and the turn up to which they are all that was said."""
    if all(message.role != "assistant" for message in messages):
        return None, 0  # as nearly always: the client sends what is new
    stored = _runs([message for turn in turns for message in turn.messages])
    sent = _runs(messages)
    return _resent(turns, stored, sent) or (None, _overlap(stored, sent))


def _resent(
    turns: Sequence[KeptTurn], stored: list[_Run], sent: list[_Run]
) -> tuple[int, int] | None:
    """The last turn up to whose answer everything was sent again, and how many messages that were."""
    common = 0
    for mine, given in zip(stored, sent, strict=False):
        if not mine.like(given):
            break
        common += 1
    places = {run.end: number for number, run in enumerate(stored[:common])}
    ends = list(accumulate(len(turn.messages) for turn in turns))
    for turn in range(len(turns) - 1, -1, -1):
        number = places.get(ends[turn])
        if number is not None and stored[number].role == "assistant":
            return turn, sent[number].end
    return None


def _overlap(stored: list[_Run], sent: list[_Run]) -> int:
    """How many messages at the start repeat the end of the conversation, its last answer included."""
    if not stored or stored[-1].role != "assistant":
        return 0
    for count in range(min(len(stored), len(sent)), 0, -1):
        if all(a.like(b) for a, b in zip(stored[-count:], sent, strict=False)):
            return sent[count - 1].end
    return 0


def history(turns: Iterable[KeptTurn], model: str) -> list[Message]:
    """All that was said. Thoughts belong to the model that had them and are left out for another."""
    said: list[Message] = []
    for turn in turns:
        said += turn.messages if turn.model == model else _thoughtless(turn.messages)
    return said


def _thoughtless(messages: Iterable[Message]) -> list[Message]:
    kept: list[Message] = []
    for message in messages:
        parts = tuple([p for p in message.parts if not isinstance(p, ThoughtPart | SealedPart)])
        if parts:
            kept.append(Message(message.role, parts))
    return kept


def _texts(system: tuple[TextPart, ...]) -> str:
    return "\n".join([part.text for part in system])


# ---- what counts


def _runs(messages: Sequence[Message]) -> list[_Run]:
    runs: list[_Run] = []
    for end, message in enumerate(messages, 1):
        text = _letters(message.parts)
        things = [thing for part in message.parts for thing in _thing(part)]
        if runs and (runs[-1].role == message.role or not (text or things)):
            last = runs[-1]
            last.text += text
            last.things += things
            last.end = end
        elif text or things:
            runs.append(_Run(message.role, text, things, end))
    return runs


def _letters(parts: tuple[Part, ...]) -> str:
    """The text without any white space."""
    return "".join([word for p in parts if isinstance(p, TextPart) for word in p.text.split()])


def _thing(part: Part) -> Iterable[tuple[Any, ...]]:
    match part:
        case TextPart() | ThoughtPart() | SealedPart():
            return ()
        case ToolCall():
            return (("call", part.name, _value(part.arguments)),)
        case ToolResult():
            inner = [thing for p in part.parts for thing in _thing(p)]
            return (("result", "".join(text_of(part.parts).split()), inner),)
        case ImagePart():
            return (("image", part.media_type, part.data, part.address),)
        case DocumentPart():
            return (("document", part.media_type, part.data, part.text),)
        case OpaquePart():
            return (("opaque", part.kind, _value(bytes(part.raw))),)


def _value(text: str | bytes) -> Any:
    """What JSON says, however it is printed."""
    try:
        return _json.decode(text)
    except msgspec.DecodeError:
        return text
