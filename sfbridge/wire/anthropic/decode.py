"""A body of `POST /v1/messages` -> the neutral request.

Unknown fields, versions and betas never refuse a request: a 400 makes Claude Code repeat it up to six times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import (
    ChatRequest,
    ChoiceMode,
    Message,
    OpaquePart,
    Role,
    Sampling,
    Shape,
    TextPart,
    Thinking,
    Tool,
    ToolChoice,
)
from sfbridge.formats import anthropic as a
from sfbridge.wire.base import Asked
from sfbridge.wire.reading import (
    caller_of,
    dotted,
    extras,
    invalid,
    output_limit,
    read,
    require_utf8,
    too_deep,
)
from sfbridge.wire.tools import Offer, left_out_entry, schema_of, settled

from .blocks import parts_of, texts_of

Body = a.RequestBody[a.RequestBlock] | a.RequestBody[Raw]

_strict: Final = msgspec.json.Decoder(a.RequestBody[a.RequestBlock])
_loose: Final = msgspec.json.Decoder(a.RequestBody[Raw])

_ROLES: Final[Mapping[str, Role]] = {"user": "user", "assistant": "assistant", "system": "system"}
_MODES: Final[Mapping[str, ChoiceMode]] = {
    "auto": "auto",
    "any": "required",
    "tool": "named",
    "none": "none",
}
_OWN_TOOLS: Final = (None, "custom")
_PLACEHOLDER: Final = "DeferredToolPlaceholder"
# Announcements of loaded and unloaded tools: the tools themselves are in the list.
_ANNOUNCEMENTS: Final = frozenset(("tool_addition", "tool_removal"))
_NO_WISHES: Final = frozenset(("cache_control", "betas", "user_profile_id"))
_READ: Final = frozenset(a.RequestBody.__struct_fields__) | _NO_WISHES
_IDLE: Final = {"service_tier": (b'"auto"',)}
_WORDS: Final = {
    "max_output": "max_tokens",
    "stop": "stop_sequences",
    "choice": "tool_choice",
    "parallel": "tool_choice.disable_parallel_tool_use",
    "shape": "output_config.format",
}


def decode(body: bytes, headers: Mapping[str, str]) -> Asked:
    """Body and lower-case headers -> Asked. Raises GatewayError with the path of the fault."""
    try:
        return _asked(body, headers)
    except RecursionError:
        raise too_deep() from None


def decode_count(body: bytes, headers: Mapping[str, str]) -> Asked:
    """A body of `POST /v1/messages/count_tokens`: a request that sets no limit and wants no answer."""
    return decode(body, headers)


def _asked(body: bytes, headers: Mapping[str, str]) -> Asked:
    require_utf8(body)
    asked = _body_of(body)
    system, messages = _conversation(asked)
    offer = _offer(asked.tools or ())
    return Asked(
        request=ChatRequest(
            model=_model(asked.model),
            system=system,
            messages=messages,
            tools=offer.tools,
            choice=_choice(asked.tool_choice, offer),
            sampling=Sampling(temperature=asked.temperature, top_p=asked.top_p, top_k=asked.top_k),
            max_output=output_limit(asked.max_tokens, "max_tokens"),
            stop=tuple(text for text in asked.stop_sequences or () if text),
            thinking=_thinking(asked),
            shape=_shape(asked),
            stream=bool(asked.stream),
            caller=caller_of(headers, asked.metadata.user_id if asked.metadata else None),
            words=_words(asked),
            extras={**extras(body, _READ, _IDLE), **offer.left_out},
        )
    )


def _body_of(body: bytes) -> Body:
    """The body; with raw blocks when one of them is of an unknown kind, or to find the path of a fault."""
    try:
        return _strict.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return read(_loose, body, dotted)


def _model(name: str) -> str:
    if not name:
        raise invalid("model", "must name a model")
    return name


def _words(asked: Body) -> dict[str, str]:
    """The client's names of our knobs; thinking may have been wished for by an effort word alone."""
    by_effort = asked.thinking is None and asked.output_config is not None
    return {**_WORDS, "thinking": "output_config.effort"} if by_effort else dict(_WORDS)


def _conversation(asked: Body) -> tuple[tuple[TextPart, ...], tuple[Message, ...]]:
    """The system prompt with all leading system messages, and the turns that follow."""
    if not asked.messages:
        raise invalid("messages", "at least one message is required")
    system = list(texts_of(asked.system, "system"))
    sent: Sequence[a.RequestMessage[a.RequestBlock] | a.RequestMessage[Raw]] = asked.messages
    messages: list[Message] = []
    for index, message in enumerate(sent):
        role = _ROLES.get(message.role)
        if role is None:
            raise invalid(
                f"messages.{index}.role", f"{message.role!r} is not one of user, assistant, system"
            )
        parts = parts_of(message.content, f"messages[{index}].content")
        if role == "system":
            parts = tuple(p for p in parts if not _announces(p))
            texts = tuple(p for p in parts if isinstance(p, TextPart))
            if not messages and len(texts) == len(parts):
                system.extend(texts)
                continue
            if not parts:
                continue
        messages.append(Message(role, parts))
    return tuple(system), tuple(messages)


def _announces(part: object) -> bool:
    return isinstance(part, OpaquePart) and part.kind in _ANNOUNCEMENTS


def _offer(given: Sequence[a.ToolBody]) -> Offer:
    """The tools that the client runs (the last of a name counts), and those of the vendor."""
    tools: dict[str, Tool] = {}
    left_out: dict[str, Raw] = {}
    for index, tool in enumerate(given):
        if tool.type not in _OWN_TOOLS:
            name, kind = left_out_entry(tool.name, tool.type or "")
            left_out[name] = kind
        elif not tool.name:
            raise invalid(f"tools.{index}.name", "a tool needs a name")
        elif tool.name != _PLACEHOLDER:
            tools[tool.name] = Tool(
                name=tool.name,
                description=tool.description or "",
                schema=schema_of(tool.input_schema, f"tools.{index}.input_schema"),
                strict=bool(tool.strict),
            )
    return Offer(tuple(tools.values()), left_out)


def _choice(asked: a.ToolChoiceBody | None, offer: Offer) -> ToolChoice:
    if asked is None:
        return ToolChoice()
    mode = _MODES.get(asked.type)
    if mode is None:
        raise invalid("tool_choice.type", f"{asked.type!r} is not one of auto, any, tool, none")
    named = mode == "named"
    return settled(
        mode,
        asked.name if named else "",
        not asked.disable_parallel_tool_use,
        offer,
        "tool_choice.name" if named else "tool_choice",
    )


def _thinking(asked: Body) -> Thinking | None:
    """`thinking` and the effort word together; thinking that is switched off wins over an effort."""
    effort = (asked.output_config and asked.output_config.effort) or ""
    wish = asked.thinking
    if wish is None:
        return Thinking(effort=effort) if effort else None
    if wish.type == "disabled":
        return None
    if wish.budget_tokens is not None and wish.budget_tokens < 1:
        raise invalid("thinking.budget_tokens", "must be at least 1")
    return Thinking(budget=wish.budget_tokens, effort=effort)


def _shape(asked: Body) -> Shape:
    """The wished form of the answer; `output_format` is the field's name in an older beta."""
    config = asked.output_config
    wish, path = (config.format, "output_config.format") if config else (None, "")
    if wish is None:
        wish, path = asked.output_format, "output_format"
    if wish is None:
        return Shape()
    if wish.type != "json_schema":
        raise GatewayError(
            "unsupported",
            f"{path}.type: {wish.type!r} is not supported; json_schema is",
            param=f"{path}.type",
        )
    if not wish.schema:
        raise invalid(f"{path}.schema", "this field is required")
    return Shape("schema", schema_of(wish.schema, f"{path}.schema"))
