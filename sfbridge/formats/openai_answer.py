"""What servers of the OpenAI dialect answer: completions, chunks, model lists, errors, and the probes of some.

Every field may be missing or null, because every server leaves out another one. llama.cpp's answers are those that
tests/live reads. What vLLM and Ollama have of their own was read in their sources (`chat_completion/protocol.py`,
`openai/openai.go`); LM Studio's fields, and Ollama's beside `/v1`, are as their public documentation and clients
have them. A field that turns out to be named otherwise is one that is missing.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, field

# ---- completions and chunks


class CallFunction(Struct, frozen=True):
    """`arguments` is a JSON string or a piece of one; some servers write the object itself."""

    name: str | None = None
    arguments: Raw = Raw(b"")


class CallPiece(Struct, frozen=True):
    """A whole call of a completion, or a fragment of one in a chunk."""

    id: str | None = None
    index: int | None = None
    function: CallFunction | None = None


class ContentPiece(Struct, frozen=True, gc=False):
    type: str = "text"
    text: str | None = None


class Said(Struct, frozen=True):
    """A message or a delta. Reasoning stands under two names; content may be a list of parts."""

    content: str | list[ContentPiece] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[CallPiece] | None = None


class Choice(Struct, frozen=True):
    index: int | None = None
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None


class PromptDetails(Struct, frozen=True, gc=False):
    cached_tokens: int | None = None


class CompletionDetails(Struct, frozen=True, gc=False):
    reasoning_tokens: int | None = None


class Tokens(Struct, frozen=True, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class Completion(Struct, frozen=True):
    """A `chat.completion` or a `chat.completion.chunk`; an error may stand in the place of either."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: Tokens | None = None
    error: Raw = Raw(b"")


# ---- embeddings


class EmbeddingRow(Struct, frozen=True, gc=False):
    index: int | None = None
    embedding: list[float] = []


class EmbeddingList(Struct, frozen=True):
    """An error may stand in the place of the list."""

    data: list[EmbeddingRow] | None = None
    model: str | None = None
    usage: Tokens | None = None


# ---- errors


class ErrorBody(Struct, frozen=True):
    """The vendor's error object. `n_prompt_tokens` and `n_ctx` are llama.cpp's."""

    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class ErrorEnvelope(Struct, frozen=True):
    """An error answer: the vendor's envelope, a text in its place, vLLM's flat form, or FastAPI's `detail`."""

    error: ErrorBody | str | None = None
    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    detail: Any = None


# ---- model lists


class ModelMeta(Struct, frozen=True, gc=False):
    """llama.cpp's `meta`: the window that the model was trained for, and of newer builds the one it has."""

    n_ctx: int | None = None
    n_ctx_train: int | None = None


class ListedModel(Struct, frozen=True):
    """One entry of `GET /v1/models`; `max_model_len` is vLLM's."""

    id: str
    owned_by: str | None = None
    created: int | float | None = None
    max_model_len: int | None = None
    meta: ModelMeta | None = None


class ModelList(Struct, frozen=True):
    data: list[ListedModel] | None = None


# ---- llama.cpp: GET /props, GET /slots


class SlotDefaults(Struct, frozen=True, gc=False):
    n_ctx: int | None = None


class Modalities(Struct, frozen=True, gc=False):
    vision: bool | None = None


class Props(Struct, frozen=True):
    """`n_ctx` here is a slot's share of the context, which is what one request may fill."""

    defaults: SlotDefaults | None = field(name="default_generation_settings", default=None)
    modalities: Modalities | None = None
    build_info: str | None = None


class Slot(Struct, frozen=True, gc=False):
    n_ctx: int | None = None


# ---- Ollama: GET /api/version, GET /api/ps, POST /api/show


class OllamaVersion(Struct, frozen=True, gc=False):
    version: str | None = None


class OllamaRunning(Struct, frozen=True, gc=False):
    """A loaded model; `context_length` is the window that it was loaded with."""

    name: str = ""
    model: str = ""
    context_length: int | None = None


class OllamaProcesses(Struct, frozen=True):
    models: list[OllamaRunning] | None = None


class OllamaShow(Struct, frozen=True):
    """`parameters` is a text of lines such as `num_ctx 8192`; `model_info` has `<arch>.context_length`."""

    parameters: str | None = None
    model_info: dict[str, Any] | None = None
    capabilities: list[str] | None = None


# ---- LM Studio: GET /api/v0/models


class StudioModel(Struct, frozen=True):
    """`type` is llm, vlm or embeddings; `loaded_context_length` is there while the model is loaded."""

    id: str
    type: str | None = None
    state: str | None = None
    max_context_length: int | None = None
    loaded_context_length: int | None = None
    capabilities: list[str] | None = None


class StudioModels(Struct, frozen=True):
    data: list[StudioModel] | None = None
