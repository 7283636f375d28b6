"""Anthropic content blocks -> parts. Apart from `decode`, which reads the request around them.

Paths are kept as `messages[0].content[1]` and spelled in the client's words only where they are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from sfbridge.core.request import (
    DocumentPart,
    ImagePart,
    OpaquePart,
    Part,
    SealedPart,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
)
from sfbridge.formats import anthropic as a
from sfbridge.wire.reading import dotted, invalid, mistyped

DIALECT: Final = "anthropic"

_block: Final[msgspec.json.Decoder[a.RequestBlock]] = msgspec.json.Decoder(a.RequestBlock)
_type: Final = msgspec.json.Decoder(a.BlockType)
_source: Final = msgspec.json.Decoder(a.BlockSource)


def parts_of(content: str | Sequence[a.RequestBlock | Raw] | None, path: str) -> tuple[Part, ...]:
    """The parts of one message or of one tool result. Empty texts say nothing and are left out."""
    if content is None or isinstance(content, str):
        return (TextPart(content),) if content else ()
    parts: list[Part] = []
    loaded: list[str] = []
    for index, item in enumerate(content):
        block = _known(item, f"{path}[{index}]") if type(item) is Raw else item
        if type(block) is a.ToolReferenceBlock:
            loaded.append(block.tool_name)
            continue
        if loaded:
            parts.append(_mention(loaded))
        if type(block) is a.TextBlock:
            if block.text:
                parts.append(TextPart(block.text, bool(block.cache_control)))
        else:
            parts.append(_part(block, path, index))
    if loaded:
        parts.append(_mention(loaded))
    return tuple(parts)


def texts_of(content: str | Sequence[Raw] | None, path: str) -> tuple[TextPart, ...]:
    """The texts of the system prompt. Raises GatewayError where it holds anything else."""
    texts: list[TextPart] = []
    for index, part in enumerate(parts_of(content, path)):
        if not isinstance(part, TextPart):
            raise invalid(dotted(f"{path}[{index}].type"), "a system prompt holds text blocks only")
        texts.append(part)
    return tuple(texts)


def _part(block: a.RequestBlock | OpaquePart, path: str, index: int) -> Part:
    """One block. Its own path is put together only where it is needed: conversations have thousands."""
    match block:
        case a.ToolUseBlock():
            literal = bytes(block.input)
            if not literal.startswith(b"{"):
                literal = _no_object(literal, f"{path}[{index}].input")
            return ToolCall(block.id, block.name, literal.decode())
        case a.ToolResultBlock():
            inner = parts_of(block.content, f"{path}[{index}].content")
            return ToolResult(block.tool_use_id, inner, bool(block.is_error))
        case a.ThinkingBlock():
            return ThoughtPart(block.thinking, block.signature or "")
        case a.RedactedThinkingBlock():
            return SealedPart(block.data)
        case a.ImageBlock():
            return _image(block, f"{path}[{index}]")
        case a.DocumentBlock():
            return _document(block, f"{path}[{index}]")
        case a.TextBlock() | a.ToolReferenceBlock():
            raise AssertionError("parts_of reads these itself")
        case OpaquePart():
            return block


def _image(block: a.ImageBlock, path: str) -> ImagePart:
    shown = dotted(path)
    match block.source:
        case a.Base64Source(media_type=media_type, data=data):
            return ImagePart(media_type=media_type, data=data, path=shown)
        case a.UrlSource(url=url):
            return ImagePart(address=url, path=shown)


def _document(block: a.DocumentBlock, path: str) -> DocumentPart:
    shown, title = dotted(path), block.title or ""
    match block.source:
        case a.Base64Source(media_type=media_type, data=data):
            return DocumentPart(media_type=media_type, data=data, title=title, path=shown)
        case a.TextSource(media_type=media_type, data=text):
            return DocumentPart(media_type=media_type, text=text, title=title, path=shown)
        case a.ContentSource(content=content):
            text = content if isinstance(content, str) else "\n".join(b.text for b in content)
            return DocumentPart(media_type="text/plain", text=text, title=title, path=shown)


def _no_object(literal: bytes, path: str) -> bytes:
    """The input of a call that is none: null means no arguments, anything else is a fault."""
    if literal != b"null":
        raise invalid(dotted(path), "the input of a tool call must be an object")
    return b"{}"


def _mention(loaded: list[str]) -> TextPart:
    text = "Loaded: " + ", ".join(loaded)
    loaded.clear()
    return TextPart(text)


def _known(raw: Raw, path: str) -> a.RequestBlock | OpaquePart:
    try:
        return _block.decode(raw)
    except msgspec.ValidationError as error:
        kind = _foreign_kind(raw)
        if kind is None:
            raise mistyped(error, path, dotted) from None
        return OpaquePart(dialect=DIALECT, kind=kind, raw=raw, path=dotted(path))


def _foreign_kind(raw: Raw) -> str | None:
    """The block's type when the type, or its source's, is one that we do not know; else None."""
    try:
        kind = _type.decode(raw).type
        if kind not in a.BLOCK_TYPES:
            return kind
        if kind not in a.SOURCE_TYPES:
            return None
        known = _source.decode(raw).source.type in a.SOURCE_TYPES[kind]
    except msgspec.ValidationError:
        return None
    return None if known else kind
