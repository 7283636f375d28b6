"""Embeddings of the platform surface, which is the only one that has them. It takes texts and nothing else."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from sfbridge.core.embedding import Vectors
from sfbridge.core.errors import GatewayError
from sfbridge.formats.salesforce import EmbeddingAnswer
from sfbridge.upstream.broken import garbled
from sfbridge.upstream.vectors import in_order

from .faults import WHO, Asked, fault_in_stream
from .models import ModelRow
from .passed_through import usage_of
from .platform_api import Localization

# Tokens of one call; nobody documents a limit, and bodies near 1 MB were seen to pass.
MOST_TOKENS: Final = 200_000


class _Body(Struct, frozen=True):
    input: tuple[str, ...]
    localization: Localization | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(EmbeddingAnswer)

_PATH: Final = "/einstein/platform/v1/models/{}/embeddings"


def path(quoted_model: str) -> str:
    return _PATH.format(quoted_model)


def body(texts: tuple[str, ...], locale: str) -> bytes:
    return _encode(_Body(texts, Localization(locale, (locale,)) if locale else UNSET))


def require_own_size(dimensions: int | None, row: ModelRow | None, model: str) -> None:
    """Raise unless the vectors wanted are as long as the model makes them; Salesforce cannot be asked for others."""
    own = row.dimensions if row is not None else None
    if dimensions is None or dimensions == own:
        return
    makes = f" makes vectors of {own} numbers, and Salesforce" if own else ":"
    raise GatewayError(
        "unsupported",
        f"dimensions: the model {model}{makes} takes no other size; leave dimensions out.",
        param="dimensions",
        code="dimensions",
        retriable=False,
    )


def vectors(data: bytes, asked: Asked) -> Vectors:
    """The vectors of an answer. Raises GatewayError for an error body under a 200."""
    try:
        answer = _answer.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise garbled(WHO, type(error).__name__) from None
    if answer.embeddings is None:
        raise fault_in_stream("", data, asked)
    parameters = answer.parameters
    return Vectors(
        vectors=in_order([(item.index, item.embedding) for item in answer.embeddings]),
        usage=usage_of(parameters),
        model=(parameters.model if parameters is not None else None) or "",
    )
