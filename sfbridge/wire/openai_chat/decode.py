"""A body of `POST /v1/chat/completions` -> the neutral request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import (
    ChatRequest,
    ChoiceMode,
    Sampling,
    Shape,
    Thinking,
    Tool,
    ToolChoice,
)
from sfbridge.formats import openai_chat as o
from sfbridge.wire.base import Asked
from sfbridge.wire.reading import (
    bracketed,
    caller_of,
    extras,
    invalid,
    output_limit,
    read,
    require_utf8,
    too_deep,
)
from sfbridge.wire.tools import Offer, left_out_entry, schema_of, settled

from .content import DIALECT, conversation_of, retired

Body = o.RequestBody[o.RequestPart] | o.RequestBody[Raw]

_strict: Final = msgspec.json.Decoder(o.RequestBody[o.RequestPart])
_loose: Final = msgspec.json.Decoder(o.RequestBody[Raw])

# "any" is what some libraries call "required".
_MODES: Final[Mapping[str, ChoiceMode]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",
}
_NO_WISHES: Final = frozenset(
    ("metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
)
_READ: Final = frozenset(o.RequestBody.__struct_fields__) | _NO_WISHES
_IDLE: Final = {
    "n": (b"1",),
    "best_of": (b"1",),
    "top_logprobs": (b"0",),
    "service_tier": (b'"auto"',),
    "modalities": (b'["text"]',),
}
_WORDS: Final = {
    "choice": "tool_choice",
    "parallel": "parallel_tool_calls",
    "shape": "response_format",
    "thinking": "reasoning_effort",
}


def decode(body: bytes, headers: Mapping[str, str]) -> Asked:
    """Body and lower-case headers -> Asked. Raises GatewayError with the path of the fault."""
    try:
        return _asked(body, headers)
    except RecursionError:
        raise too_deep() from None


def _asked(body: bytes, headers: Mapping[str, str]) -> Asked:
    require_utf8(body)
    asked = _body_of(body)
    if not asked.model:
        raise invalid("model", "must name a model")
    if not asked.messages:
        raise invalid("messages", "at least one message is required")
    conversation = conversation_of(asked.messages)
    offer = _offer(asked)
    limit, word = _limit(asked)
    return Asked(
        request=ChatRequest(
            model=asked.model,
            system=tuple(conversation.system),
            messages=tuple(conversation.messages),
            tools=offer.tools,
            choice=_choice(asked, offer),
            sampling=_sampling(asked),
            max_output=limit,
            stop=_stop(asked.stop),
            thinking=_thinking(asked.reasoning_effort),
            shape=_shape(asked.response_format),
            stream=bool(asked.stream),
            caller=caller_of(headers, asked.user),
            words={**_WORDS, "max_output": word},
            extras={**extras(body, _READ, _IDLE), **offer.left_out},
            dialect=DIALECT,
        ),
        stream_usage=bool(asked.stream_options and asked.stream_options.include_usage),
    )


def _body_of(body: bytes) -> Body:
    """The body; with raw parts when one of them is of an unknown kind, or to find the path of a fault."""
    try:
        return _strict.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return read(_loose, body, bracketed)


def _limit(asked: Body) -> tuple[int | None, str]:
    """The length limit and the field it came from; the newer field wins."""
    if asked.max_completion_tokens is None and asked.max_tokens is not None:
        return output_limit(asked.max_tokens, "max_tokens"), "max_tokens"
    word = "max_completion_tokens"
    return output_limit(asked.max_completion_tokens, word), word


def _sampling(asked: Body) -> Sampling:
    return Sampling(
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        seed=asked.seed,
        frequency_penalty=asked.frequency_penalty,
        presence_penalty=asked.presence_penalty,
    )


def _stop(given: str | Sequence[str] | None) -> tuple[str, ...]:
    if not given:
        return ()
    texts = (given,) if isinstance(given, str) else given
    return tuple([text for text in texts if text])


def _thinking(effort: str | None) -> Thinking | None:
    return Thinking(effort=effort) if effort and effort != "none" else None


def _offer(asked: Body) -> Offer:
    """The tools that the client runs (the last of a name counts), and those of the vendor."""
    if asked.functions:
        raise retired("functions", "tools")
    tools: dict[str, Tool] = {}
    left_out: dict[str, Raw] = {}
    for index, tool in enumerate(asked.tools or ()):
        path = f"tools[{index}].function"
        function = tool.function
        if tool.type != "function":
            name, kind = left_out_entry("", tool.type)
            left_out[name] = kind
        elif function is None:
            raise invalid(path, "this field is required")
        elif not function.name:
            raise invalid(path + ".name", "a tool needs a name")
        else:
            tools[function.name] = Tool(
                name=function.name,
                description=function.description or "",
                schema=schema_of(function.parameters, path + ".parameters"),
                strict=bool(function.strict),
            )
    return Offer(tuple(tools.values()), left_out)


def _choice(asked: Body, offer: Offer) -> ToolChoice:
    parallel = asked.parallel_tool_calls is not False
    wish = asked.tool_choice
    if wish is None:
        return ToolChoice(parallel=parallel)
    if isinstance(wish, str):
        mode = _MODES.get(wish)
        if mode is None:
            raise invalid("tool_choice", f"{wish!r} is not one of auto, none, required")
        return settled(mode, "", parallel, offer, "tool_choice")
    if wish.type != "function":
        if f"tools.{wish.type}" in offer.left_out:
            return ToolChoice(parallel=parallel)
        raise GatewayError(
            "unsupported",
            f"tool_choice.type: {wish.type!r} is not supported; function is",
            param="tool_choice.type",
        )
    if wish.function is None:
        raise invalid("tool_choice.function", "this field is required")
    return settled("named", wish.function.name, parallel, offer, "tool_choice.function.name")


def _shape(wish: o.ResponseFormat | None) -> Shape:
    if wish is None or wish.type == "text":
        return Shape()
    if wish.type == "json_object":
        return Shape("json")
    if wish.type != "json_schema":
        raise invalid(
            "response_format.type",
            f"{wish.type!r} is not one of text, json_object, json_schema",
        )
    if wish.json_schema is None:
        raise invalid("response_format.json_schema", "this field is required")
    if not wish.json_schema.schema:
        return Shape("json", name=wish.json_schema.name)
    schema = schema_of(wish.json_schema.schema, "response_format.json_schema.schema")
    return Shape("schema", schema, wish.json_schema.name)
