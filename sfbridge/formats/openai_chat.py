"""The OpenAI chat completions format: what its clients send.

Fields that are not here are ignored; kinds of content parts that are not here survive as raw JSON.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

from msgspec import Raw, Struct

# ---- content parts


class TextContent(Struct, frozen=True, gc=False, tag="text"):
    text: str
    cache_control: Any = None


class ImageUrl(Struct, frozen=True, gc=False):
    url: str


class ImageContent(Struct, frozen=True, gc=False, tag="image_url"):
    """Some clients write the address itself where the vendor wants an object."""

    image_url: str | ImageUrl


class RefusalContent(Struct, frozen=True, gc=False, tag="refusal"):
    refusal: str


RequestPart = TextContent | ImageContent | RefusalContent
PART_TYPES: Final = frozenset(("text", "image_url", "refusal"))


class PartType(Struct, frozen=True, gc=False):
    """Only the type of a part that could not be decoded."""

    type: str


# ---- messages


class FunctionCall(Struct, frozen=True, gc=False):
    name: str
    arguments: str | None = None


class CallBody(Struct, frozen=True, gc=False):
    """A call of an earlier answer. `function` is absent for kinds of calls other than functions."""

    id: str
    type: str | None = None
    function: FunctionCall | None = None


P = TypeVar("P")


class RequestMessage(Struct, Generic[P], frozen=True, gc=False):
    """One message of any role; `P` is RequestPart, or Raw where some part is of an unknown kind."""

    role: str
    content: str | list[P] | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[CallBody] | None = None
    tool_call_id: str | None = None
    function_call: Any = None


# ---- tools and the form of the answer


class FunctionBody(Struct, frozen=True, gc=False):
    name: str
    description: str | None = None
    parameters: Raw = Raw(b"")
    strict: bool | None = None


class ToolBody(Struct, frozen=True, gc=False):
    """A tool. Kinds other than functions are run by the vendor's own servers."""

    type: str = "function"
    function: FunctionBody | None = None


class FunctionName(Struct, frozen=True, gc=False):
    name: str


class ToolChoiceBody(Struct, frozen=True, gc=False):
    type: str = "function"
    function: FunctionName | None = None


class SchemaBody(Struct, frozen=True, gc=False):
    name: str = ""
    schema: Raw = Raw(b"")


class ResponseFormat(Struct, frozen=True, gc=False):
    type: str
    json_schema: SchemaBody | None = None


class StreamOptions(Struct, frozen=True, gc=False):
    include_usage: bool | None = None


class RequestBody(Struct, Generic[P], frozen=True, gc=False):
    """A body of `POST /v1/chat/completions`. `functions` and `function_call` are the retired tool fields."""

    model: str
    messages: list[RequestMessage[P]]
    tools: list[ToolBody] | None = None
    tool_choice: str | ToolChoiceBody | None = None
    parallel_tool_calls: bool | None = None
    functions: Any = None
    function_call: Any = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    reasoning_effort: str | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
