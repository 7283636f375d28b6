"""The gateway's Anthropic dialect: a Messages body without `model` and `stream`, which the path says instead.

Cache marks are not sent: whether the route takes them is unknown. Requests to think are dropped unless the
settings say otherwise, because several routes answer them with 502, echoed thoughts included.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import (
    ChatRequest,
    DocumentPart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    SealedPart,
    TextPart,
    Thinking,
    ThoughtPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

from .knobs import or_unset, temperature_of
from .schemas import root_object

VERSION: Final = "bedrock-2023-05-31"
_ANY_OBJECT: Final = Raw(b'{"type":"object"}')


class _Text(Struct, frozen=True, gc=False, tag="text"):
    text: str


class _Source(Struct, frozen=True, gc=False, tag="base64"):
    media_type: str
    data: str


class _Image(Struct, frozen=True, gc=False, tag="image"):
    source: _Source


class _Thinking(Struct, frozen=True, gc=False, tag="thinking"):
    thinking: str
    signature: str


class _Sealed(Struct, frozen=True, gc=False, tag="redacted_thinking"):
    data: str


class _ToolUse(Struct, frozen=True, gc=False, tag="tool_use"):
    id: str
    name: str
    input: Raw


class _ToolResult(Struct, frozen=True, omit_defaults=True, tag="tool_result"):
    tool_use_id: str
    content: str | list[_Text | _Image] = ""
    is_error: bool = False


_Block = _Text | _Image | _Thinking | _Sealed | _ToolUse | _ToolResult


class _Turn(Struct, frozen=True):
    role: str
    content: str | list[_Block]


class _Tool(Struct, frozen=True, omit_defaults=True):
    name: str
    input_schema: Raw
    description: str = ""


class _Choice(Struct, frozen=True, gc=False, omit_defaults=True):
    type: str
    name: str = ""
    disable_parallel_tool_use: bool = False


class _Adaptive(Struct, frozen=True, gc=False):
    type: Literal["adaptive"] = "adaptive"


class _Effort(Struct, frozen=True, gc=False):
    effort: str


class _Body(Struct, frozen=True, kw_only=True):
    anthropic_version: str = VERSION
    max_tokens: int
    system: str | UnsetType = UNSET
    messages: list[_Turn]
    tools: list[_Tool] | UnsetType = UNSET
    tool_choice: _Choice | UnsetType = UNSET
    stop_sequences: tuple[str, ...] | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    thinking: _Adaptive | UnsetType = UNSET
    output_config: _Effort | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode


def body(request: ChatRequest, max_output: int, *, thinks: bool) -> bytes:
    """The request as Bedrock takes it. `thinks`: pass on the request to think, and earlier thoughts.

    Raises GatewayError `unsupported`, with the client's path, for a part that cannot be sent.
    """
    thinks = thinks and request.thinking is not None
    sampling = request.sampling
    system = "\n\n".join(part.text for part in request.system if part.text)
    turns = _turns(request.messages, thinks)
    tools, choice = _tools(request, turns)
    effort = _effort(request.thinking) if thinks and request.thinking else ""
    return _encode(
        _Body(
            max_tokens=max_output,
            system=system or UNSET,
            messages=turns,
            tools=tools or UNSET,
            tool_choice=choice,
            stop_sequences=request.stop or UNSET,
            temperature=UNSET if thinks else temperature_of(sampling.temperature),
            top_p=UNSET if thinks else or_unset(sampling.top_p),
            top_k=UNSET if thinks or sampling.top_k is None else sampling.top_k,
            thinking=_Adaptive() if thinks else UNSET,
            output_config=_Effort(effort) if effort else UNSET,
        )
    )


# ---- turns


def _turns(messages: Iterable[Message], thinks: bool) -> list[_Turn]:
    """Alternating turns. Blocks of neighbours of one role stand in one turn; results stand first in it."""
    turns: list[tuple[str, list[_Block]]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [b for part in message.parts if (b := _block(part, thinks)) is not None]
        if not blocks:
            continue
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((role, blocks))
    return [_Turn(role, _content(blocks)) for role, blocks in turns]


def _content(blocks: list[_Block]) -> str | list[_Block]:
    if len(blocks) == 1 and isinstance(blocks[0], _Text):
        return blocks[0].text
    if any(isinstance(block, _ToolResult) for block in blocks[1:]):
        blocks.sort(key=lambda block: not isinstance(block, _ToolResult))
    return blocks


def _block(part: Part, thinks: bool) -> _Block | None:
    match part:
        case TextPart():
            return _text(part.text)
        case ImagePart():
            return _image(part)
        case DocumentPart():
            if not part.text:
                raise _cannot(part.path, "documents can only be sent as text")
            return _text(part.text)
        case ThoughtPart():
            return _Thinking(part.text, part.signature) if thinks and part.signature else None
        case SealedPart():
            return _Sealed(part.data) if thinks else None
        case ToolCall():
            return _ToolUse(part.id, part.name, Raw(part.arguments.strip().encode() or b"{}"))
        case ToolResult():
            return _ToolResult(part.call_id, _result(part), part.is_error)
        case OpaquePart():
            raise _cannot(part.path, f"a block of the type {part.kind!r} cannot be passed on")
        case _:
            assert_never(part)


def _result(result: ToolResult) -> str | list[_Text | _Image]:
    """A result as text if it is nothing else; pictures stay where they stood."""
    if all(isinstance(part, TextPart) for part in result.parts):
        return "\n".join(part.text for part in result.parts if isinstance(part, TextPart))
    blocks: list[_Text | _Image] = []
    for part in result.parts:
        block = _block(part, False)
        if isinstance(block, _Text | _Image):
            blocks.append(block)
    return blocks


def _text(text: str) -> _Text | None:
    """Anthropic refuses texts of nothing but white space."""
    return _Text(text) if text and not text.isspace() else None


def _image(part: ImagePart) -> _Image:
    if not part.data:
        raise _cannot(part.path, "images must be sent as base64 data, not as an address")
    return _Image(_Source(part.media_type or "image/png", part.data))


def _cannot(path: str, why: str) -> GatewayError:
    where = path or "messages"
    return GatewayError("unsupported", f"{where}: {why}.", param=where, code="unsupported_content")


# ---- tools and knobs


def _tools(request: ChatRequest, turns: list[_Turn]) -> tuple[list[_Tool], _Choice | UnsetType]:
    """The tools, and how they may be used. A history with calls needs tools even where none may be called."""
    if request.tools:
        return [_tool(tool) for tool in request.tools], _choice(request.choice)
    called = {
        block.name: None
        for turn in turns
        if not isinstance(turn.content, str)
        for block in turn.content
        if isinstance(block, _ToolUse)
    }
    if not called:
        return [], UNSET
    return [_Tool(name, _ANY_OBJECT) for name in called], _Choice("none")


def _tool(tool: Tool) -> _Tool:
    schema, told = root_object(bytes(tool.schema))
    return _Tool(tool.name, schema, tool.description + told)


def _choice(choice: ToolChoice) -> _Choice | UnsetType:
    single = not choice.parallel
    match choice.mode:
        case "auto":
            return _Choice("auto", "", single) if single else UNSET
        case "required":
            return _Choice("any", "", single)
        case "named":
            return _Choice("tool", choice.name, single)
        case "none":
            return _Choice("none")


def _effort(thinking: Thinking) -> str:
    """The three efforts that the route was seen to take; empty leaves it to the model."""
    if thinking.effort:
        return _EFFORTS.get(thinking.effort, "high")
    if thinking.budget is None:
        return ""
    return "low" if thinking.budget < 4096 else "medium" if thinking.budget < 16384 else "high"


_EFFORTS: Final = {"none": "low", "minimal": "low", "low": "low", "medium": "medium"}
