"""The OpenAI legacy completions format: what its clients send, and what they are answered, whole and in pieces."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from .openai_chat import StreamOptions


class CompletionBody(Struct, frozen=True):
    """A body of `POST /v1/completions`. `prompt` is one text or several, or token ids of one or of several."""

    model: str
    prompt: str | list[str | int | list[int]] | None = None
    suffix: str | None = None
    max_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None


class TextChoice(Struct, frozen=True, kw_only=True):
    text: str
    index: int
    logprobs: None = None
    finish_reason: str | None = None


class TextCompletion(Struct, frozen=True, kw_only=True):
    """A whole completion; pieces of one have the same form."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: dict[str, Any]
