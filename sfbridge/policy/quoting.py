"""Keeping what was said out of what is told about it: quotations of a conversation are cut from any other text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sfbridge.core.embedding import EmbeddingRequest
from sfbridge.core.request import (
    ChatRequest,
    DocumentPart,
    Part,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
)

HIDDEN: Final = "[content]"
# Characters in a row that count as a quotation; shorter ones are words that anybody may use.
LEAST: Final = 12
# Any quotation holds a piece of this length that begins at a multiple of it.
_STEP: Final = LEAST // 2
# What is searched: our own words quote names and short values, not the middle of a book; a second's search would hold up
# everybody else.
_MOST_END: Final = 32 * 1024
_MOST_SEARCHED: Final = 1024 * 1024


def without_quotes(text: str, said: Iterable[str]) -> str:
    """The text with every run of at least 12 characters that also stands in `said` replaced by a mark."""
    if len(text) < LEAST:
        return text
    source = "\0".join(ends(one) for one in said if len(one) >= LEAST)[:_MOST_SEARCHED]
    if not source:
        return text
    pieces = {source[at : at + _STEP] for at in range(0, len(source), _STEP)}
    near = {at for at in range(len(text)) if text[at : at + _STEP] in pieces}
    out: list[str] = []
    at = kept = 0
    while at <= len(text) - LEAST:
        end = _end(text, at, source) if any(at + k in near for k in range(_STEP)) else at
        if end > at:
            out += (text[kept:at], HIDDEN)
            kept = at = end
        else:
            at += 1
    return "".join(out) + text[kept:]


def ends(text: str) -> str:
    """A text without the middle of what is too long to be searched."""
    return text if len(text) <= 2 * _MOST_END else f"{text[:_MOST_END]}\0{text[-_MOST_END:]}"


def _end(text: str, at: int, source: str) -> int:
    """Where the quotation that begins at `at` ends; `at` itself where none begins."""
    end = at + LEAST
    if text[at:end] not in source:
        return at
    while end < len(text) and text[at : end + 1] in source:
        end += 1
    return end


def contents_of(request: ChatRequest | EmbeddingRequest) -> Iterator[str]:
    """Every text that was sent; of a conversation arguments and results of calls included."""
    if isinstance(request, EmbeddingRequest):
        yield from request.texts
        return
    yield from (part.text for part in request.system)
    for message in request.messages:
        yield from _texts(message.parts)


def _texts(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        match part:
            case TextPart() | ThoughtPart():
                yield part.text
            case DocumentPart():
                yield part.text
                yield part.title
            case ToolCall():
                yield part.arguments
            case ToolResult():
                yield from _texts(part.parts)
            case _:
                pass  # pictures and sealed blocks are in nobody's words
