"""Which parts of the messages a model can take: kept, told in a sentence, or refused by their path.

What a person sent is refused, because leaving it out would change the question; what a tool brought home
is replaced by a sentence, because refusing it would end the client's session.
"""

from __future__ import annotations

from typing import Final, assert_never

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import Capabilities
from sfbridge.core.request import (
    DocumentPart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    SealedPart,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
)

from .history import LEFT_OUT

# What every model takes; most messages hold nothing else.
_ALWAYS: Final = frozenset({TextPart, ToolCall})

_NO_IMAGES: Final = (
    "this model takes no images. "
    "Describe the picture in words, or choose a model that takes images."
)
_NO_DOCUMENTS: Final = (
    "this model takes no such documents. "
    "Send the text of it, or choose a model that takes documents."
)


def fit_content(messages: tuple[Message, ...], can: Capabilities) -> tuple[Message, ...]:
    """The messages with nothing in them that `can` excludes.

    Thoughts vanish where they are not taken: they belong to the model that had them. Raises
    GatewayError `unsupported` with the client's path to the part that cannot be passed on.
    """
    return tuple([_message(message, can) for message in messages])


def _message(message: Message, can: Capabilities) -> Message:
    if _ALWAYS.issuperset(map(type, message.parts)):
        return message
    kept = [fitted for part in message.parts if (fitted := _part(part, can)) is not None]
    if len(kept) == len(message.parts) and all(
        a is b for a, b in zip(kept, message.parts, strict=True)
    ):
        return message
    return Message(message.role, tuple(kept))


def _part(part: Part, can: Capabilities) -> Part | None:
    match part:
        case TextPart() | ToolCall():
            return part
        case ThoughtPart() | SealedPart():
            return part if can.thoughts else None
        case ToolResult():
            return _result(part, can)
        case ImagePart():
            if not can.images:
                raise _refusal(part.path, _NO_IMAGES)
            return part
        case DocumentPart():
            if can.documents:
                return part
            if not part.text:
                raise _refusal(part.path, _NO_DOCUMENTS)
            return _readable(part)
        case OpaquePart():
            sentence = f"a block of the type {part.kind!r} cannot be passed on. Leave it out."
            raise _refusal(part.path, sentence)
        case _:
            assert_never(part)


def _result(result: ToolResult, can: Capabilities) -> ToolResult:
    if _ALWAYS.issuperset(map(type, result.parts)):
        return result
    parts = tuple([_inside(part, can) for part in result.parts])
    if parts == result.parts:
        return result
    return ToolResult(result.call_id, parts, result.is_error)


def _inside(part: Part, can: Capabilities) -> Part:
    """A part of a tool result, or the sentence that stands in for it."""
    match part:
        case ImagePart():
            return part if can.images else TextPart(LEFT_OUT)
        case DocumentPart():
            if can.documents:
                return part
            return _readable(part) if part.text else TextPart("[A document was left out here.]")
        case OpaquePart():
            return TextPart(f"[A block of the type {part.kind!r} was left out here.]")
        case _:
            return part


def _readable(part: DocumentPart) -> TextPart:
    return TextPart(f"[Document: {part.title}]\n{part.text}" if part.title else part.text)


def _refusal(path: str, sentence: str) -> GatewayError:
    where = path or "messages"
    return GatewayError(
        "unsupported", f"{where}: {sentence}", param=where, code="unsupported_content"
    )
