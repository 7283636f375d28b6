"""The OpenAI embeddings protocol, as a front door. It has no stream and no turns, so it is no `Wire`; its errors are
those of the chat door."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from struct import pack
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from sfbridge.core.embedding import EmbeddingRequest, Vectors
from sfbridge.core.errors import GatewayError
from sfbridge.formats import openai_embeddings as o

from .frames import literal, sound
from .reading import bracketed, caller_of, extras, invalid, read, require_utf8, too_deep

NAME: Final = "openai_embeddings"
ROUTE: Final = "/v1/embeddings"
# The vendor's own limit on the texts of one body.
MOST_TEXTS: Final = 2048

_decoder: Final = msgspec.json.Decoder(o.EmbeddingsBody)
_READ: Final = frozenset(o.EmbeddingsBody.__struct_fields__)
_FORMATS: Final[Mapping[str | None, bool]] = {None: False, "float": False, "base64": True}


class AskedVectors(Struct, frozen=True, kw_only=True):
    """A decoded body. `packed`: the client wants base64 instead of numbers."""

    request: EmbeddingRequest
    packed: bool


def decode(body: bytes, headers: Mapping[str, str]) -> AskedVectors:
    """Body and lower-case headers -> AskedVectors. Raises GatewayError with the path of the fault."""
    require_utf8(body)
    try:
        asked = read(_decoder, body, bracketed)
        unknown = extras(body, _READ, {})
    except RecursionError:
        raise too_deep() from None
    if not asked.model:
        raise invalid("model", "must name a model")
    if asked.encoding_format not in _FORMATS:
        raise invalid("encoding_format", f"{asked.encoding_format!r} is not one of float, base64")
    if asked.dimensions is not None and asked.dimensions < 1:
        raise invalid("dimensions", "must be at least 1")
    return AskedVectors(
        request=EmbeddingRequest(
            model=asked.model,
            texts=_texts(asked.input),
            dimensions=asked.dimensions,
            caller=caller_of(headers, asked.user),
            extras=unknown,
        ),
        packed=_FORMATS[asked.encoding_format],
    )


def body(found: Vectors, model: str, *, packed: bool) -> bytes:
    """The vectors as one body, under the `model` name that the client used."""
    tokens = found.usage.input or 0
    return literal(
        o.EmbeddingsAnswer(
            data=[
                o.EmbeddingItem(
                    index=index, embedding=pack_floats(vector) if packed else list(vector)
                )
                for index, vector in enumerate(found.vectors)
            ],
            model=sound(model),
            usage=o.EmbeddingUsage(tokens, tokens, True if found.usage.estimated else UNSET),
        )
    )


def pack_floats(vector: Sequence[float]) -> str:
    """The base64 of little-endian float32. Raises GatewayError for a number that float32 does not hold."""
    try:
        return b64encode(pack(f"<{len(vector)}f", *vector)).decode()
    except OverflowError:
        raise GatewayError(
            "upstream_failed",
            "The upstream sent a vector with a number too large for base64 (float32).",
            code="upstream_garbled",
        ) from None


def _texts(given: str | Sequence[str | int | Sequence[int]]) -> tuple[str, ...]:
    if isinstance(given, str):
        given = (given,)
    if not given:
        raise invalid("input", "at least one text is required")
    if not isinstance(given[0], str):
        raise _tokens()
    if len(given) > MOST_TEXTS:
        raise invalid("input", f"at most {MOST_TEXTS} texts are taken at once, not {len(given)}")
    texts: list[str] = []
    for index, text in enumerate(given):
        if not isinstance(text, str):
            raise invalid(f"input[{index}]", "must be a text, as the others are")
        if not text:
            raise invalid(f"input[{index}]" if len(given) > 1 else "input", "must not be empty")
        texts.append(text)
    return tuple(texts)


def _tokens() -> GatewayError:
    """Ids of another vocabulary than the model's would make vectors of nonsense, without any error."""
    return GatewayError(
        "unsupported",
        "input: token ids are not taken, because nobody here knows which vocabulary they are from; send the text "
        "itself. LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False.",
        param="input",
        code="token_ids",
        retriable=False,
    )
