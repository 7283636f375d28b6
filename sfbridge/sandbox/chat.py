"""Surface B's own dialect, `/ai/gpt/v1/chat/generations` and its stream: snake_case, native tools.

What it refuses is what the provider behind it refuses, in the provider's words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from sfbridge.formats import sse

from .catalogue import OrgModel
from .conversation import Choice, Conversation, Made, Offered, Result, Said
from .model import Answer
from .refusal import bad_argument
from .speaking import IN_BAND, Frames
from .usage import usage_parameters
from .visit import Visit

_KNOWN: Final = frozenset((
    "model", "messages", "generation_settings", "system_prompt_strategy", "tools",
    "tool_config", "enable_pii_masking", "enable_input_safety_scoring",
    "enable_output_safety_scoring", "enable_input_bias_scoring",
    "enable_output_bias_scoring", "localization", "tags", "turn_id", "slots_to_data",
    "debug_settings", "log_probability_settings", "composition_settings",
))  # fmt: skip
_MESSAGE: Final = frozenset((
    "role", "content", "name", "tool_invocations", "tool_call_id", "tool_call_name",
))  # fmt: skip
_SETTINGS: Final = frozenset((
    "max_tokens", "temperature", "stop_sequences", "frequency_penalty", "presence_penalty",
    "parameters",
))  # fmt: skip
_TOOL_CONFIG: Final = frozenset(("mode", "parallel_calls"))
_ROLES: Final = frozenset(("system", "user", "assistant", "tool"))
_ENDS: Final = {"stop_sequence": "stop"}
_ORPHAN: Final = (
    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
    "'tool_calls'."
)


class _Function(Struct, frozen=True):
    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    arguments: str = ""


class _Tool(Struct, frozen=True):
    function: _Function


class _Invocation(Struct, frozen=True):
    id: str
    function: _Function


class _Message(Struct, frozen=True):
    role: str
    content: Any = None
    tool_invocations: list[_Invocation] = []
    tool_call_id: str = ""


class _Settings(Struct, frozen=True):
    max_tokens: int | None = None
    temperature: float | None = None
    stop_sequences: list[str] | None = None


class _ToolConfig(Struct, frozen=True):
    mode: str = "auto"
    parallel_calls: bool = True


class _Request(Struct, frozen=True):
    model: str
    messages: list[_Message] | None = None
    generation_settings: _Settings = _Settings()
    tools: list[_Tool] | None = None
    tool_config: _ToolConfig | None = None


async def chat_generations(visit: Visit) -> web.StreamResponse:
    model, answer = await _answer(visit)
    number = visit.org.serial()
    generation: dict[str, Any] = {
        "id": f"g{number}",
        "role": "assistant",
        "content": answer.text,
        "parameters": {"finish_reason": _finish(answer), "index": 0},
    }
    if answer.calls:
        generation["tool_invocations"] = [
            _invocation(f"call_{call.id}", call.name, call.arguments, index)
            for index, call in enumerate(answer.calls)
        ]
    told = _head(visit, model) | usage_parameters(model.family, answer.count)
    details = {"generations": [] if _says_nothing(answer) else [generation], "parameters": told}
    return await visit.whole({"id": f"chatcmpl-sandbox{number}", "generation_details": details})


async def chat_stream(visit: Visit) -> web.StreamResponse:
    model, answer = await _answer(visit)
    printer = _Printer(visit.org.serial(), _head(visit, model), model, answer)
    frames = Frames(
        frames=tuple(printer.frames()),
        content_type="text/event-stream",
        broken=sse.frame(b'{"id": "chatcmpl-broken", "generation_deta', "generation"),
        failure=sse.frame(IN_BAND, "error"),
    )
    return await visit.stream(frames)


class _Printer:
    """Frames of one stream. OpenAI models key tool deltas by index and end with `[DONE]` before the scores;
    the others send fragments without id for "the current call", and a bare `DONE` after the scores."""

    def __init__(self, number: int, head: dict[str, Any], model: OrgModel, answer: Answer) -> None:
        self._id = f"chatcmpl-sandbox{number}"
        self._generation_id = f"g{number}"
        self._head = head | {"object": "chat.completion.chunk"}
        self._newer = model.family == "openai"
        self._family = model.family
        self._answer = answer

    def frames(self) -> Iterator[bytes]:
        answer = self._answer
        for delta in answer.deltas:
            yield self._frame({"content": delta})
        for index, call in enumerate(answer.calls):
            yield self._call(_invocation(f"call_{call.id}", call.name, "", index))
            for start in range(0, len(call.arguments), answer.step):
                yield self._call(self._fragment(call.arguments[start : start + answer.step], index))
        if not _says_nothing(answer):
            yield self._frame({"content": ""}, _finish(answer))
        yield self._usage()
        scores = (
            sse.frame(b"{}", "scoringStarted"),
            self._frame({"content": answer.text}, _finish(answer), "scores"),
            sse.frame(b"{}", "scoringCompleted"),
        )
        if self._newer:
            yield sse.frame(b"[DONE]", "generation")
            yield from scores
        else:
            yield from scores
            yield sse.frame(b"DONE", "generation")

    def _frame(
        self, said: dict[str, Any], finish: str | None = None, event: str = "generation"
    ) -> bytes:
        generation = {
            "id": self._generation_id,
            "role": "assistant",
            **said,
            "parameters": {"finish_reason": finish, "index": 0},
        }
        details = {"generations": [generation], "parameters": self._head}
        return sse.frame(
            msgspec.json.encode({"id": self._id, "generation_details": details}), event
        )

    def _usage(self) -> bytes:
        parameters = self._head | usage_parameters(self._family, self._answer.count)
        details = {"generations": [], "parameters": parameters}
        body = msgspec.json.encode({"id": self._id, "generation_details": details})
        return sse.frame(body, "generation")

    def _call(self, fragment: dict[str, Any]) -> bytes:
        return self._frame({"content": "", "tool_invocations": [fragment]})

    def _fragment(self, arguments: str, index: int) -> dict[str, Any]:
        if self._newer:
            return {"index": index, "function": {"arguments": arguments}}
        return {"id": None, "function": {"name": None, "arguments": arguments}}


def _invocation(call_id: str, name: str, arguments: str, index: int) -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "index": index,
        "function": {"name": name, "arguments": arguments},
    }


def _finish(answer: Answer) -> str:
    return _ENDS.get(answer.finish, answer.finish)


def _says_nothing(answer: Answer) -> bool:
    return not answer.deltas and not answer.calls


def _head(visit: Visit, model: OrgModel) -> dict[str, Any]:
    return {
        "provider": model.family,
        "created": int(visit.org.now()),
        "model": model.provider_name,
        "object": "chat.completion",
    }


async def _answer(visit: Visit) -> tuple[OrgModel, Answer]:
    request = visit.decode(_Request)
    model = await visit.choose(request.model)
    _be_strict(visit)
    if not request.messages:
        raise bad_argument("Messages must be non-null and size > 0.", "E30002")
    _check_grammar(request.messages)
    limit = request.generation_settings.max_tokens
    if limit is not None and (limit < 1 or 0 < model.max_output < limit):
        raise bad_argument(
            f"max_tokens is too large: {limit}. This model supports at most {model.max_output}."
        )
    return model, visit.answer(model, _conversation(request))


def _be_strict(visit: Visit) -> None:
    given = visit.decode(dict[str, Any])
    visit.forbid(given, _KNOWN, "")
    for index, message in enumerate(given.get("messages") or ()):
        visit.forbid(message, _MESSAGE, f"messages[{index}].")
    visit.forbid(given.get("generation_settings") or {}, _SETTINGS, "generation_settings.")
    config = given.get("tool_config") or {}
    visit.forbid(config, _TOOL_CONFIG, "tool_config.")
    if (mode := config.get("mode", "auto")) != "auto":
        # nobody has seen another mode work, so a bridge must not rely on one
        visit.forbid({f"mode={mode}": mode}, frozenset(), "tool_config.")


def _check_grammar(messages: list[_Message]) -> None:
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        if message.role not in _ROLES:
            raise bad_argument(f"messages[{index}].role must be system, user, assistant or tool.")
        if not isinstance(message.content, str):
            raise bad_argument(f"messages[{index}].content must be a string.", "E30020")
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                raise bad_argument(_ORPHAN)
            open_calls.discard(message.tool_call_id)
            continue
        _check_answered(open_calls)
        open_calls = {call.id for call in message.tool_invocations}
        if len(open_calls) != len(message.tool_invocations):
            raise bad_argument(f"messages[{index}]: duplicate tool call ids.")
    _check_answered(open_calls)


def _check_answered(open_calls: set[str]) -> None:
    if open_calls:
        raise bad_argument(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{', '.join(sorted(open_calls))}"
        )


def _conversation(request: _Request) -> Conversation:
    config = request.tool_config or _ToolConfig()
    modes: dict[str, Choice] = {"any": "required", "required": "required", "none": "none"}
    settings = request.generation_settings
    messages = request.messages or []
    return Conversation(
        said=_said(messages),
        everything="\n".join(
            text
            for message in messages
            for text in (message.content, *(c.function.arguments for c in message.tool_invocations))
            if text
        ),
        tools=tuple(
            Offered(tool.function.name, tool.function.description, tool.function.parameters)
            for tool in request.tools or ()
        ),
        choice=modes.get(config.mode, "auto"),
        parallel=config.parallel_calls,
        max_tokens=settings.max_tokens,
        stop=tuple(settings.stop_sequences or ()),
    )


def _said(messages: list[_Message]) -> tuple[Said, ...]:
    names: dict[str, str] = {}
    said: list[Said] = []
    for message in messages:
        calls = tuple(Made(call.function.name, call.id) for call in message.tool_invocations)
        names |= {call.id: call.name for call in calls}
        if message.role == "tool":
            name = names.get(message.tool_call_id, "")
            # the dialect has no flag for it, so callers say it in words
            failed = message.content.startswith("Error")
            said.append(Said(role="user", results=(Result(name, message.content, failed),)))
        else:
            said.append(Said(role=message.role, text=message.content, calls=calls))
    return tuple(said)
