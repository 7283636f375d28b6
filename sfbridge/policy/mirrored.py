"""Calls that an upstream made and ran by itself, shown to a client, come back in its history. They are nobody's to
answer: the upstream knows them, and a client that ran them again is not listened to."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from sfbridge.core.request import ChatRequest, Message, Part, ToolCall, ToolResult

# By these beginnings of their ids upstreams mark what they show.
_PREFIXES: Final = ("lingma_",)


def without_mirrored(request: ChatRequest) -> ChatRequest:
    """The request without such calls and without results for them; the very same one when there are none."""
    if not any(_mirrored(part) for message in request.messages for part in message.parts):
        return request
    kept: list[Message] = []
    for message in request.messages:
        parts = tuple([part for part in message.parts if not _mirrored(part)])
        if parts or not message.parts:
            kept.append(Message(message.role, parts))
    return replace(request, messages=tuple(kept))


def _mirrored(part: Part) -> bool:
    kind = type(part)
    if kind is ToolCall:
        return part.id.startswith(_PREFIXES)  # type: ignore[union-attr]
    return kind is ToolResult and part.call_id.startswith(_PREFIXES)  # type: ignore[union-attr]
