"""The neutral request as a chat completion body, in the words of the server's family."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from sfbridge.core.request import (
    ChatRequest,
    ImagePart,
    Message,
    Shape,
    TextPart,
    ThoughtPart,
    Tool,
    ToolCall,
    ToolResult,
    lines_of,
    text_of,
)
from sfbridge.formats.openai_tools import OfferedFunction, OfferedTool, SentCall, SentFunction

from .profiles import Profile

ERROR_MARK: Final = "Error: "
# The answer has one choice and no probabilities, so these wishes cannot be fulfilled.
UNANSWERED: Final = frozenset(
    ("n", "best_of", "logprobs", "top_logprobs", "modalities", "audio", "functions")
)
_FOLLOWS: Final = "[image {}: see the next user message]"
_LIFTED: Final = "[image {} of the tool result {}]"


class _Url(Struct, frozen=True, gc=False):
    url: str


class _Text(Struct, frozen=True, gc=False, tag="text"):
    text: str


class _Image(Struct, frozen=True, tag="image_url"):
    image_url: _Url


_Content = str | None | list[_Text | _Image]


class _Message(Struct, frozen=True):
    role: str
    content: _Content
    tool_calls: list[SentCall] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET


class _Named(Struct, frozen=True):
    function: dict[str, str]
    type: Literal["function"] = "function"


class _StreamOptions(Struct, frozen=True, gc=False):
    include_usage: bool = True


class _Body(Struct, frozen=True, kw_only=True):
    model: str
    messages: list[_Message]
    stream: bool
    stream_options: _StreamOptions | UnsetType = UNSET
    tools: list[OfferedTool] | UnsetType = UNSET
    tool_choice: str | _Named | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    max_completion_tokens: int | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    frequency_penalty: float | UnsetType = UNSET
    presence_penalty: float | UnsetType = UNSET
    stop: tuple[str, ...] | UnsetType = UNSET
    reasoning_effort: str | UnsetType = UNSET
    response_format: Any = UNSET


_OWN: Final = frozenset(_Body.__struct_fields__)
_encode = msgspec.json.Encoder().encode


class Manner(Struct, frozen=True, kw_only=True):
    """How one server is spoken to.

    tools   False leaves tools out
    folded  words that follow tool results go into the last result: some templates count them as a second user
            turn in a row and refuse
    """

    profile: Profile
    tools: bool = True
    folded: bool = False


def body(model: str, request: ChatRequest, manner: Manner, *, stream: bool) -> bytes:
    """The request as the server takes it, unknown fields of the client's own dialect included."""
    profile, sampling = manner.profile, request.sampling
    tools, choice = _tools(request, manner)
    own_word = profile.named == "object" and request.words.get("max_output")
    newer = own_word == "max_completion_tokens"
    limit = _or_unset(request.max_output)
    encoded = _encode(
        _Body(
            model=model,
            messages=_messages(request, manner),
            stream=stream,
            stream_options=_StreamOptions() if stream and profile.stream_usage else UNSET,
            tools=tools or UNSET,
            tool_choice=choice,
            parallel_tool_calls=request.choice.parallel if tools and profile.parallel else UNSET,
            max_tokens=UNSET if newer else limit,
            max_completion_tokens=limit if newer else UNSET,
            temperature=_or_unset(sampling.temperature),
            top_p=_or_unset(sampling.top_p),
            top_k=_or_unset(sampling.top_k),
            seed=_or_unset(sampling.seed),
            frequency_penalty=_or_unset(sampling.frequency_penalty),
            presence_penalty=_or_unset(sampling.presence_penalty),
            stop=request.stop or UNSET,
            reasoning_effort=_effort(request, profile) or UNSET,
            response_format=_form(request.shape),
        )
    )
    return _with_extras(encoded, request.extras)


def unsent(request: ChatRequest, manner: Manner) -> list[str]:
    """What `body` leaves out, in the client's words."""
    words, left = request.words, []
    if request.thinking is not None and not _effort(request, manner.profile):
        left.append(words.get("thinking", "thinking"))
    if request.tools and not manner.tools:
        left.append("tools")
    left += [name for name in request.extras if name in UNANSWERED or name in _OWN]
    return left


def _with_extras(encoded: bytes, extras: dict[str, Raw]) -> bytes:
    sent = {k: v for k, v in extras.items() if k not in UNANSWERED and k not in _OWN}
    return encoded[:-1] + b"," + _encode(sent)[1:] if sent else encoded


def _effort(request: ChatRequest, profile: Profile) -> str:
    """The word for how much to think; budgets have no counterpart in this dialect."""
    return request.thinking.effort if request.thinking is not None and profile.effort else ""


def _or_unset(number: Any) -> Any:
    return UNSET if number is None else number


def _form(shape: Shape) -> Any:
    match shape.kind:
        case "json":
            return {"type": "json_object"}
        case "schema":
            named = {"name": shape.name or "answer", "schema": shape.schema, "strict": True}
            return {"type": "json_schema", "json_schema": named}
        case _:
            return UNSET


# ---- tools


def _tools(
    request: ChatRequest, manner: Manner
) -> tuple[list[OfferedTool], str | _Named | UnsetType]:
    if not request.tools or not manner.tools:
        return [], UNSET
    choice, offered = request.choice, request.tools
    wish: str | _Named | UnsetType = UNSET
    match choice.mode:
        case "none" | "required":
            wish = choice.mode
        case "named" if manner.profile.named == "object":
            wish = _Named({"name": choice.name})
        case "named":
            offered = tuple([tool for tool in offered if tool.name == choice.name]) or offered
            wish = "required"
    return [_tool(tool) for tool in offered], wish


def _tool(tool: Tool) -> OfferedTool:
    return OfferedTool(OfferedFunction(tool.name, tool.schema, tool.description, tool.strict))


# ---- messages


def _messages(request: ChatRequest, manner: Manner) -> list[_Message]:
    system = lines_of((part.text for part in request.system if part.text), "\n\n")
    found = [_Message("system", system)] if system else []
    for message in request.messages:
        match message.role:
            case "assistant":
                found += _assistant(message, manner.profile)
            case "system":
                found.append(_Message("system", text_of(message.parts)))
            case "user":
                found += _user(message, manner)
    return found


def _assistant(message: Message, profile: Profile) -> Iterable[_Message]:
    calls = [
        SentCall(part.id, SentFunction(part.name, part.arguments or "{}"))
        for part in message.parts
        if isinstance(part, ToolCall)
    ]
    text = text_of(message.parts)
    if not calls and not text:
        return ()
    thought: str | UnsetType = UNSET
    if profile.thoughts:
        thoughts = [part.text for part in message.parts if isinstance(part, ThoughtPart)]
        thought = "".join(thoughts) or UNSET
    return (
        _Message(
            "assistant",
            text or profile.silent,
            tool_calls=calls or UNSET,
            reasoning_content=thought if profile.thoughts == "reasoning_content" else UNSET,
            reasoning=thought if profile.thoughts == "reasoning" else UNSET,
        ),
    )


def _user(message: Message, manner: Manner) -> list[_Message]:
    """Results become messages of their own, directly after the calls; their pictures and words follow."""
    results: list[_Message] = []
    said: list[_Text | _Image] = []
    own: list[_Text | _Image] = []
    for part in message.parts:
        match part:
            case ToolResult():
                results.append(_result(part, said))
            case TextPart() if part.text:
                own.append(_Text(part.text))
            case ImagePart():
                own.append(_image(part))
    said += own
    if results and manner.folded and said and all(isinstance(part, _Text) for part in said):
        last = results[-1]
        results[-1] = _Message(
            "tool", f"{last.content}\n\n{_joined(said)}", UNSET, last.tool_call_id
        )
        said = []
    return [*results, _Message("user", _content(said))] if said else results


def _result(result: ToolResult, lifted: list[_Text | _Image]) -> _Message:
    """The result as text. Its pictures go to `lifted` with a label, since tool messages hold text alone."""
    texts: list[str] = []
    for part in result.parts:
        if isinstance(part, ImagePart):
            number = 1 + sum(isinstance(other, _Image) for other in lifted)
            texts.append(_FOLLOWS.format(number))
            lifted += [_Text(_LIFTED.format(number, result.call_id)), _image(part)]
        elif text := text_of((part,)):
            texts.append(text)
    text = lines_of(texts)
    return _Message(
        "tool", ERROR_MARK + text if result.is_error else text, tool_call_id=result.call_id
    )


def _image(part: ImagePart) -> _Image:
    address = part.address or f"data:{part.media_type or 'image/png'};base64,{part.data}"
    return _Image(_Url(address))


def _content(parts: list[_Text | _Image]) -> _Content:
    """One text as text, which every template takes; a list only where there are pictures."""
    if any(isinstance(part, _Image) for part in parts):
        return parts
    return _joined(parts)


def _joined(parts: list[_Text | _Image]) -> str:
    return lines_of(part.text for part in parts if isinstance(part, _Text))
