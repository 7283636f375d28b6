"""Requests in the gateway's own chat dialect: snake_case, text only, calls named `tool_invocations`.

Calls sent as OpenAI's `tool_calls` would be dropped without a word, and the result after them refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from sfbridge.core.request import (
    ChatRequest,
    Message,
    Tool,
    ToolCall,
    ToolResult,
    lines_of,
    text_of,
)
from sfbridge.formats.openai_tools import OfferedFunction, OfferedTool, SentCall, SentFunction

from .knobs import or_unset, temperature_of

ERROR_MARK: Final = "Error: "


class _Turn(Struct, frozen=True):
    role: str
    content: str
    tool_invocations: list[SentCall] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET


class _Settings(Struct, frozen=True, kw_only=True):
    max_tokens: int
    temperature: float | UnsetType = UNSET
    frequency_penalty: float | UnsetType = UNSET
    presence_penalty: float | UnsetType = UNSET
    stop_sequences: tuple[str, ...] | UnsetType = UNSET


class _ToolConfig(Struct, frozen=True, gc=False):
    mode: Literal["auto"] = "auto"
    parallel_calls: bool = True


class _Body(Struct, frozen=True, kw_only=True):
    model: str
    messages: list[_Turn]
    generation_settings: _Settings
    system_prompt_strategy: Literal["use_model_parameter"] = "use_model_parameter"
    tools: list[OfferedTool] | UnsetType = UNSET
    tool_config: _ToolConfig | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode


def body(model: str, request: ChatRequest, max_output: int) -> bytes:
    """The request as the chat dialect takes it. Tools that must not be called are left out."""
    sampling = request.sampling
    tools = [] if request.choice.mode == "none" else [_tool(tool) for tool in request.tools]
    settings = _Settings(
        max_tokens=max_output,
        temperature=temperature_of(sampling.temperature),
        frequency_penalty=or_unset(sampling.frequency_penalty),
        presence_penalty=or_unset(sampling.presence_penalty),
        stop_sequences=request.stop or UNSET,
    )
    return _encode(
        _Body(
            model=model,
            messages=_turns(request),
            generation_settings=settings,
            tools=tools or UNSET,
            tool_config=_ToolConfig(parallel_calls=request.choice.parallel) if tools else UNSET,
        )
    )


def _turns(request: ChatRequest) -> list[_Turn]:
    system = lines_of((part.text for part in request.system if part.text), "\n\n")
    turns = [_Turn("system", system)] if system else []
    for message in request.messages:
        turns += _assistant(message) if message.role == "assistant" else _user(message)
    return turns


def _assistant(message: Message) -> Iterable[_Turn]:
    calls = [
        SentCall(part.id, SentFunction(part.name, part.arguments or "{}"))
        for part in message.parts
        if isinstance(part, ToolCall)
    ]
    text = text_of(message.parts)
    if calls:
        return (_Turn("assistant", text, calls),)
    return (_Turn("assistant", text),) if text else ()


def _user(message: Message) -> Iterable[_Turn]:
    """Results become turns of their own, directly after the calls; what the user says follows them."""
    turns: list[_Turn] = []
    said = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            text = text_of(part.parts)
            content = ERROR_MARK + text if part.is_error else text
            turns.append(_Turn("tool", content, tool_call_id=part.call_id))
        else:
            said.append(part)
    if text := text_of(tuple(said)):
        turns.append(_Turn("user", text))
    return turns


def _tool(tool: Tool) -> OfferedTool:
    return OfferedTool(OfferedFunction(tool.name, tool.schema, tool.description))
