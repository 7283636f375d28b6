"""Texts that are wanted as vectors, and the vectors. Apart from chat: they share nothing but who asks."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw, Struct

from .request import Caller
from .stream import Usage


class EmbeddingRequest(Struct, frozen=True, kw_only=True):
    """Texts to turn into vectors, in order. `dimensions` is how many numbers each is to have, None for the model's
    own; `extras` holds unknown top-level fields as raw JSON."""

    model: str
    texts: tuple[str, ...]
    dimensions: int | None = None
    caller: Caller = Caller()
    extras: dict[str, Raw] = {}

    @property
    def stream(self) -> bool:
        """Never; receipts ask for it."""
        return False

    @property
    def tools(self) -> tuple[()]:
        """None; receipts count them."""
        return ()


class Portion(Struct, frozen=True, gc=False):
    """What one call of an upstream may hold at the most: a number of texts, and of tokens in all of them."""

    texts: int
    tokens: int


class Vectors(Struct, frozen=True, kw_only=True):
    """One vector per text, in the order of the texts. `usage.input` is None where nobody told it."""

    vectors: Sequence[Sequence[float]]
    usage: Usage = Usage()
    model: str = ""
