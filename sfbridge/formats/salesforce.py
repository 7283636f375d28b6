"""The Salesforce Models API as it is: both surfaces' answers, error envelopes, and the token endpoint.

Everything under a `parameters` key is passed through from the model's provider and may be missing, null or
renamed, so usage is read by aliases. Numbers may come as floats. Sources: the published OpenAPI file
(`api-specs/models/models.yaml` of salesforce/einstein-platform) and captured answers of the gateway.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw, Struct, field

Number = int | float | None

# ---- what both surfaces pass through from the provider


class PromptDetails(Struct, frozen=True, gc=False):
    cached_tokens: Number = None


class CompletionDetails(Struct, frozen=True, gc=False):
    reasoning_tokens: Number = None


class Tokens(Struct, frozen=True):
    """Token counts under every provider's names."""

    prompt_tokens: Number = None
    completion_tokens: Number = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    input_tokens: Number = None
    output_tokens: Number = None
    cache_read_input_tokens: Number = None
    cache_creation_input_tokens: Number = None
    bedrock_input: Number = field(name="inputTokenCount", default=None)
    bedrock_output: Number = field(name="outputTokenCount", default=None)
    bedrock_cache_read: Number = field(name="cacheReadInputTokenCount", default=None)
    bedrock_cache_write: Number = field(name="cacheWriteInputTokenCount", default=None)
    vertex_prompt: Number = field(name="promptTokenCount", default=None)
    vertex_candidates: Number = field(name="candidatesTokenCount", default=None)
    vertex_cached: Number = field(name="cachedContentTokenCount", default=None)
    vertex_thoughts: Number = field(name="thoughtsTokenCount", default=None)


class AnswerParameters(Tokens, frozen=True):
    """`parameters` of a whole answer: the model that answered, usage inside `usage` or right here."""

    model: str | None = None
    usage: Tokens | None = None


class GenerationParameters(Struct, frozen=True, gc=False):
    """`parameters` of one generation: why it ended, in the provider's word."""

    finish_reason: str | None = None
    stop_reason: str | None = None

    @property
    def end(self) -> str:
        return self.finish_reason or self.stop_reason or ""


# ---- platform: chat-generations


class Generation(Struct, frozen=True):
    content: str | None = None
    parameters: GenerationParameters | None = None


class GenerationDetails(Struct, frozen=True):
    generations: list[Generation] | None = None
    parameters: AnswerParameters | None = None


class PlatformAnswer(Struct, frozen=True):
    id: str | None = None
    details: GenerationDetails | None = field(name="generationDetails", default=None)


# ---- platform: embeddings


class EmbeddingRow(Struct, frozen=True, gc=False):
    index: int
    embedding: list[float]


class EmbeddingAnswer(Struct, frozen=True):
    embeddings: list[EmbeddingRow] | None = None
    parameters: AnswerParameters | None = None


# ---- gateway: chat/generations, whole and streamed


class InvokedFunction(Struct, frozen=True):
    """`arguments` is a JSON string, or a piece of one; an object is taken as it is."""

    name: str | None = None
    arguments: Raw = Raw(b"")


class Invocation(Struct, frozen=True):
    """A tool call or a fragment of one. Newer streams key fragments by `index`, older ones send no id."""

    id: str | None = None
    index: int | None = None
    function: InvokedFunction | None = None


class GatewayGeneration(Struct, frozen=True):
    content: str | None = None
    tool_invocations: list[Invocation] | None = None
    parameters: GenerationParameters | None = None


class GatewayDetails(Struct, frozen=True):
    """`parameters` is an `AnswerParameters`, left as it is: every frame repeats it and few bring news."""

    generations: list[GatewayGeneration] | None = None
    parameters: Raw = Raw(b"")


class GatewayAnswer(Struct, frozen=True):
    """One answer, or one frame of its stream; a frame may be an error instead."""

    id: str | None = None
    details: GatewayDetails | None = field(name="generation_details", default=None)
    error_name: str | None = field(name="errorCode", default=None)
    error_code: str | None = None


# ---- errors


class InnerError(Struct, frozen=True):
    """The `error` object of a provider's own envelope."""

    type: str | None = None
    code: str | int | None = None
    message: str | None = None


class Envelope(Struct, frozen=True):
    """An error of either surface; the gateway writes its keys in two styles, providers in a third."""

    error_name: str | None = field(name="errorCode", default=None)
    error_code: str | None = None
    message_name: str | None = field(name="messageCode", default=None)
    message_code: str | None = None
    message: str | None = None
    error: InnerError | str | None = None

    @property
    def code(self) -> str:
        """`LIMIT_EXCEEDED`, or a provider's error type."""
        inner = self.error.type if isinstance(self.error, InnerError) else ""
        return self.error_name or self.error_code or inner or ""

    @property
    def detail_code(self) -> str:
        """`E30036` and its like."""
        return self.message_name or self.message_code or ""

    @property
    def words(self) -> str:
        if self.message:
            return self.message
        inner = self.error.message if isinstance(self.error, InnerError) else self.error
        return inner or ""


# ---- the token endpoint


class TokenAnswer(Struct, frozen=True):
    """A minted token. `issued_at` is epoch milliseconds, as a string; `expires_in` is usually missing."""

    access_token: str
    token_format: str | None = None
    issued_at: str | int | None = None
    expires_in: str | int | float | None = None
    api_instance_url: str | None = None

    def __repr__(self) -> str:
        return "TokenAnswer(...)"


class TokenRefusal(Struct, frozen=True):
    error: str = ""
    error_description: str = ""


class TokenClaims(Struct, frozen=True):
    """The one claim of the JWT that a client may rely on: its end, in epoch seconds."""

    exp: int | float | None = None


# ---- end marks

SENTINELS: Final = frozenset((b"[DONE]", b"DONE"))
