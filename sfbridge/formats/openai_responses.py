"""The OpenAI Responses format: what its clients send.

Fields that are not here are ignored. Items are decoded one by one, because their kinds are many and a message
may leave its kind out; kinds of items and content parts that are not here survive as raw JSON.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

from msgspec import Raw, Struct

# ---- content parts


class InputText(Struct, frozen=True, gc=False, tag="input_text"):
    text: str


class OutputText(Struct, frozen=True, gc=False, tag="output_text"):
    """Text of an earlier answer."""

    text: str


class PlainText(Struct, frozen=True, gc=False, tag="text"):
    """The word of chat completions for a text, which some clients keep."""

    text: str


class RefusalContent(Struct, frozen=True, gc=False, tag="refusal"):
    refusal: str


class ImageUrl(Struct, frozen=True, gc=False):
    url: str


class InputImage(Struct, frozen=True, gc=False, tag="input_image"):
    """`image_url` is an address or a data URL; chat's object in its place is understood."""

    image_url: str | ImageUrl | None = None
    file_id: str | None = None


class InputFile(Struct, frozen=True, gc=False, tag="input_file"):
    """`file_data` is base64, with or without the head of a data URL."""

    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


RequestPart = InputText | OutputText | PlainText | RefusalContent | InputImage | InputFile
PART_TYPES: Final = frozenset(
    ("input_text", "output_text", "text", "refusal", "input_image", "input_file")
)


class PartType(Struct, frozen=True, gc=False):
    """Only the type of a part that could not be decoded."""

    type: str


# ---- items


class ReasoningText(Struct, frozen=True, gc=False):
    text: str = ""


P = TypeVar("P")


class ItemHead(Struct, frozen=True, gc=False):
    """What tells the kinds of items apart: a message may come without its type."""

    type: str | None = None
    id: str | None = None
    role: str | None = None


class MessageItem(Struct, Generic[P], frozen=True, gc=False):
    """One message; `P` is RequestPart, or Raw where some part is of an unknown kind."""

    role: str
    content: str | list[P] | None = None


class CallItem(Struct, frozen=True, gc=False):
    """A function call of an earlier answer. `namespace` is that of the tool, where tools are grouped."""

    call_id: str
    name: str
    arguments: str | None = None
    namespace: str | None = None


class CustomCallItem(Struct, frozen=True, gc=False):
    """A call of a tool that takes free text."""

    call_id: str
    name: str
    input: str = ""
    namespace: str | None = None


class OutputItem(Struct, Generic[P], frozen=True, gc=False):
    """What a tool answered: a text or content parts."""

    call_id: str
    output: str | list[P] | None = None


class ReasoningItem(Struct, frozen=True, gc=False):
    """A thought. `encrypted_content` is the seal of whoever had it."""

    summary: list[ReasoningText] | None = None
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None


# ---- tools and the form of the answer


class InnerTool(Struct, frozen=True, gc=False):
    """A tool of a namespace."""

    type: str = "function"
    name: str = ""
    description: str | None = None
    parameters: Raw = Raw(b"")
    strict: bool | None = None
    format: Raw = Raw(b"")


class ToolBody(Struct, frozen=True, gc=False):
    """A function, a tool that takes free text in some `format`, a namespace of both, or a tool of the vendor's."""

    type: str = "function"
    name: str | None = None
    description: str | None = None
    parameters: Raw = Raw(b"")
    strict: bool | None = None
    format: Raw = Raw(b"")
    tools: list[InnerTool] | None = None


class AllowedTool(Struct, frozen=True, gc=False):
    type: str = "function"
    name: str = ""


class ToolChoiceBody(Struct, frozen=True, gc=False):
    """`mode` and `tools` belong to the type "allowed_tools"."""

    type: str = "function"
    name: str = ""
    mode: str = "auto"
    tools: list[AllowedTool] | None = None


class TextFormat(Struct, frozen=True, gc=False):
    type: str = "text"
    name: str = ""
    schema: Raw = Raw(b"")


class TextBody(Struct, frozen=True, gc=False):
    format: TextFormat | None = None
    verbosity: str | None = None


class Reasoning(Struct, frozen=True, gc=False):
    effort: str | None = None


class RequestBody(Struct, frozen=True, gc=False):
    """A body of `POST /v1/responses`. `conversation` and `prompt` live on the vendor's servers."""

    model: str
    input: str | list[Raw] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    store: bool | None = None
    tools: list[ToolBody] | None = None
    tool_choice: str | ToolChoiceBody | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    reasoning: Reasoning | None = None
    text: TextBody | None = None
    truncation: str | None = None
    include: list[str] | None = None
    stream: bool | None = None
    user: str | None = None
