"""Embeddings of the OpenAI dialect: numbers are asked for, as every server sends them when nothing else is said."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sfbridge.core.embedding import Vectors
from sfbridge.core.stream import Usage
from sfbridge.formats.openai_answer import EmbeddingList
from sfbridge.upstream.base import EmbeddingCall
from sfbridge.upstream.broken import garbled
from sfbridge.upstream.vectors import in_order

from .faults import WHO, Asked, fault_in_stream

# Tokens of one call; OpenAI takes 300,000, and ours are estimates.
MOST_TOKENS: Final = 200_000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(EmbeddingList).decode


def body(model: str, call: EmbeddingCall) -> bytes:
    """The texts of a call, with the client's unknown fields, which a server of its own dialect may know."""
    sent: dict[str, Any] = {**call.extras, "model": model, "input": call.texts}
    if call.dimensions is not None:
        sent["dimensions"] = call.dimensions
    return _encode(sent)


def vectors(data: bytes, asked: Asked) -> Vectors:
    """The vectors of an answer. Raises GatewayError for an error body under a 200."""
    try:
        answer = _decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise garbled(WHO, type(error).__name__) from None
    if answer.data is None:
        raise fault_in_stream(data, asked)
    told = answer.usage
    return Vectors(
        vectors=in_order([(item.index, item.embedding) for item in answer.data]),
        usage=Usage(input=told.prompt_tokens if told is not None else None),
        model=answer.model or "",
    )
