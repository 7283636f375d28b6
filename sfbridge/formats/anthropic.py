"""The Anthropic Messages format: what its clients send, and what its upstreams answer.

Answers are read with few, flat Structs: one per frame instead of a union, because a streamed frame is
decoded for two or three of its fields. Requests are read with tagged unions, block by block.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

from msgspec import Raw, Struct

# ---- answers: frames of a stream, and the whole message


class UsageBody(Struct, frozen=True, gc=False):
    """Token counts of an answer. `input_tokens` leaves cached tokens out."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class ErrorBody(Struct, frozen=True, gc=False):
    """The inner object of an error envelope or of an `error` frame."""

    type: str = ""
    message: str = ""


class Block(Struct, frozen=True, gc=False):
    """A content block of an answer, or its beginning. `input` is the JSON literal, empty when absent."""

    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"")
    thinking: str = ""
    signature: str = ""
    data: str = ""


class DeltaBody(Struct, frozen=True, gc=False):
    """The delta of `content_block_delta` (with a type) or of `message_delta` (without)."""

    type: str = ""
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    signature: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class MessageBody(Struct, frozen=True, gc=False):
    """A whole answer, or the empty one that `message_start` carries."""

    id: str = ""
    model: str = ""
    content: list[Block] = []
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: UsageBody | None = None


class StreamEvent(Struct, frozen=True, gc=False):
    """Any frame of a stream; which fields are set follows from `type`."""

    type: str
    index: int = 0
    message: MessageBody | None = None
    content_block: Block | None = None
    delta: DeltaBody | None = None
    usage: UsageBody | None = None
    error: ErrorBody | None = None


# ---- requests: blocks


class TextBlock(Struct, frozen=True, gc=False, tag="text"):
    text: str
    cache_control: Any = None


class Base64Source(Struct, frozen=True, gc=False, tag="base64"):
    media_type: str
    data: str


class UrlSource(Struct, frozen=True, gc=False, tag="url"):
    url: str


class TextSource(Struct, frozen=True, gc=False, tag="text"):
    data: str
    media_type: str = "text/plain"


class ContentSource(Struct, frozen=True, gc=False, tag="content"):
    """A document given as text blocks; one with pictures in it fails to decode and stays opaque."""

    content: str | list[TextBlock]


class ImageBlock(Struct, frozen=True, gc=False, tag="image"):
    source: Base64Source | UrlSource


class DocumentBlock(Struct, frozen=True, gc=False, tag="document"):
    source: Base64Source | TextSource | ContentSource
    title: str | None = None


class ThinkingBlock(Struct, frozen=True, gc=False, tag="thinking"):
    thinking: str
    signature: str | None = None


class RedactedThinkingBlock(Struct, frozen=True, gc=False, tag="redacted_thinking"):
    data: str


class ToolUseBlock(Struct, frozen=True, gc=False, tag="tool_use"):
    id: str
    name: str
    input: Raw = Raw(b"{}")


class ToolResultBlock(Struct, frozen=True, gc=False, tag="tool_result"):
    """Its content stays raw, block by block, because tools may answer with blocks of any kind."""

    tool_use_id: str
    content: str | list[Raw] | None = None
    is_error: bool | None = None


class ToolReferenceBlock(Struct, frozen=True, gc=False, tag="tool_reference"):
    """What Claude Code's tool search answers: the name of a tool that is now loaded."""

    tool_name: str


RequestBlock = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
    | ToolReferenceBlock
)

BLOCK_TYPES: Final = frozenset(
    (
        "text",
        "image",
        "document",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "tool_result",
        "tool_reference",
    )
)
# A document's "content" source is missing: one with pictures in it is not decoded.
SOURCE_TYPES: Final = {
    "image": frozenset(("base64", "url")),
    "document": frozenset(("base64", "text")),
}


class BlockType(Struct, frozen=True, gc=False):
    """Only the type of a block that could not be decoded."""

    type: str


class BlockSource(Struct, frozen=True, gc=False):
    """Only the type of the source of an image or a document that could not be decoded."""

    source: BlockType


# ---- requests: the body

B = TypeVar("B")


class RequestMessage(Struct, Generic[B], frozen=True, gc=False):
    """One turn; `B` is RequestBlock, or Raw where some block is of an unknown kind."""

    role: str
    content: str | list[B]


class ToolBody(Struct, frozen=True, gc=False):
    """A tool. A `type` other than "custom" names a tool that the vendor's own servers run or know."""

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Raw = Raw(b"")
    strict: bool | None = None


class ToolChoiceBody(Struct, frozen=True, gc=False):
    type: str
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class ThinkingBody(Struct, frozen=True, gc=False):
    type: str
    budget_tokens: int | None = None


class OutputFormat(Struct, frozen=True, gc=False):
    type: str
    schema: Raw = Raw(b"")


class OutputConfig(Struct, frozen=True, gc=False):
    effort: str | None = None
    format: OutputFormat | None = None


class Metadata(Struct, frozen=True, gc=False):
    user_id: str | None = None


class RequestBody(Struct, Generic[B], frozen=True, gc=False):
    """A body of `POST /v1/messages`; fields that are not here are ignored."""

    model: str
    messages: list[RequestMessage[B]]
    max_tokens: int | None = None
    system: str | list[Raw] | None = None
    tools: list[ToolBody] | None = None
    tool_choice: ToolChoiceBody | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    thinking: ThinkingBody | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    metadata: Metadata | None = None
    stream: bool | None = None
