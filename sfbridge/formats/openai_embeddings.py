"""The OpenAI embeddings format: what its clients send, and what they are answered."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType


class EmbeddingsBody(Struct, frozen=True):
    """A body of `POST /v1/embeddings`. `input` is one text or several, or token ids of one text or of several."""

    model: str
    input: str | list[str | int | list[int]]
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None


class EmbeddingItem(Struct, frozen=True, kw_only=True):
    """One vector: numbers, or the base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Struct, frozen=True, gc=False):
    """`estimated` is ours: no upstream has told the number."""

    prompt_tokens: int
    total_tokens: int
    estimated: bool | UnsetType = UNSET


class EmbeddingsAnswer(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[EmbeddingItem]
    model: str
    usage: EmbeddingUsage
