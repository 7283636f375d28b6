"""A turn as it is kept: what it added to its conversation, and that as JSON text and back.

In `core`, because the database (`state`) and the rules about it (`policy`) both speak of it, and see nothing else
that both could. The JSON is the neutral vocabulary itself, each part with its kind, so that a conversation can be
read on every wire and by people.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from .request import (
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
)

# What a part of an earlier request has instead of a path into this one.
HISTORY: Final = "session history"


class KeptTurn(Struct, frozen=True, kw_only=True):
    """One whole turn: a client's new messages and the model's answer, which is the last of them.

    id      its name, unique among all turns of the database
    at      seconds since the epoch
    model   as the client asked for it
    system  the system prompt from this turn on; None: as before
    note    whatever its door wants to have back with it, such as the answer as its client saw it
    """

    id: str
    at: float
    model: str
    messages: tuple[Message, ...]
    system: tuple[TextPart, ...] | None = None
    note: bytes = b""


class _Body(Struct, omit_defaults=True):
    messages: list[_Said]
    system: list[str] | None = None


class _Said(Struct):
    role: Role
    parts: list[tuple[str, Raw]]


class _Result(Struct, omit_defaults=True):
    """A tool's result; its parts are written as those of a message are."""

    call_id: str
    parts: list[tuple[str, Raw]] = []
    is_error: bool = False


_KINDS: Final[dict[str, type[Part]]] = {
    "text": TextPart,
    "image": ImagePart,
    "document": DocumentPart,
    "thought": ThoughtPart,
    "sealed": SealedPart,
    "call": ToolCall,
    "result": ToolResult,
    "opaque": OpaquePart,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_READERS: Final = {
    name: msgspec.json.Decoder(kind) for name, kind in _KINDS.items() if kind is not ToolResult
}
_result: Final = msgspec.json.Decoder(_Result)
_body: Final = msgspec.json.Decoder(_Body)
_encode: Final = msgspec.json.Encoder().encode


def pack(turn: KeptTurn) -> bytes:
    """The messages and the system prompt of a turn as JSON."""
    said = [_Said(message.role, _packed(message.parts)) for message in turn.messages]
    system = None if turn.system is None else [part.text for part in turn.system]
    return _encode(_Body(said, system))


def unpack(body: bytes) -> tuple[tuple[Message, ...], tuple[TextPart, ...] | None]:
    """The messages and the system prompt of a packed turn. Raises msgspec.MsgspecError for what is none."""
    found = _body.decode(body)
    messages = tuple([Message(said.role, _unpacked(said.parts)) for said in found.messages])
    return messages, None if found.system is None else tuple(map(TextPart, found.system))


def _packed(parts: tuple[Part, ...]) -> list[tuple[str, Raw]]:
    return [(_NAMES[type(part)], Raw(_encode(_plain(part)))) for part in parts]


def _plain(part: Part) -> Part | _Result:
    """The part without what belonged to its request alone: cache marks and paths."""
    match part:
        case TextPart(cache=True):
            return TextPart(part.text)
        case ImagePart() | DocumentPart() | OpaquePart():
            return replace(part, path=HISTORY)
        case ToolResult():
            return _Result(part.call_id, _packed(part.parts), part.is_error)
        case _:
            return part


def _unpacked(parts: list[tuple[str, Raw]]) -> tuple[Part, ...]:
    return tuple([_part(name, raw) for name, raw in parts])


def _part(name: str, raw: Raw) -> Part:
    if name == "result":
        found = _result.decode(raw)
        return ToolResult(found.call_id, _unpacked(found.parts), found.is_error)
    reader = _READERS.get(name)
    if reader is None:
        raise msgspec.ValidationError(f"{name!r} is not a kind of part")
    return reader.decode(raw)
