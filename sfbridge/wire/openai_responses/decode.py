"""A body of `POST /v1/responses` -> the neutral request.

What only the vendor's servers can do is either no wish of this turn and named as ignored (their tools, the
background), or it is the conversation itself (`conversation`, `prompt`), which cannot be left out unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import (
    Caller,
    ChatRequest,
    Message,
    Sampling,
    Shape,
    TextPart,
    Thinking,
)
from sfbridge.formats import openai_responses as o
from sfbridge.wire.base import Asked, Chain
from sfbridge.wire.frames import literal
from sfbridge.wire.reading import (
    bracketed,
    caller_of,
    fields,
    invalid,
    output_limit,
    read,
    require_utf8,
    too_deep,
    wishes,
)
from sfbridge.wire.tools import schema_of

from .items import conversation_of, reference_in
from .parts import DIALECT
from .tools import choice_of, offer_of

_body: Final = msgspec.json.Decoder(o.RequestBody)

_NO_WISHES: Final = frozenset(
    (
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "client_metadata",
        "stream_options",
    )
)
_READ: Final = frozenset(o.RequestBody.__struct_fields__) | _NO_WISHES
_IDLE: Final = {"top_logprobs": (b"0",), "service_tier": (b'"auto"',)}
_WORDS: Final = {
    "messages": "input",
    "max_output": "max_output_tokens",
    "choice": "tool_choice",
    "parallel": "parallel_tool_calls",
    "shape": "text.format",
    "thinking": "reasoning.effort",
    "truncate": "truncation",
}
_ECHOED: Final = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
    "user",
)
# The one thing to include that is always there: the seals of thoughts.
_INCLUDED: Final = "reasoning.encrypted_content"


def decode(body: bytes, headers: Mapping[str, str]) -> Asked:
    """Body and lower-case headers -> Asked. Raises GatewayError with the path of the fault.

    A request that refers to items of earlier answers has no messages until `continued` has brought them.
    """
    try:
        return _asked(body, headers)
    except RecursionError:
        raise too_deep() from None


def continued(
    asked: Asked,
    found: Mapping[str, Raw],
    system: Sequence[TextPart] = (),
    earlier: Sequence[Message] = (),
) -> Asked:
    """The request with what it refers to.

    found    the items that stand elsewhere, by their id
    system   what developers said before the conversation that it goes on with, and
    earlier  what was said in it; instructions were for their own answer only

    Raises GatewayError for a reference to an item that is not among them.
    """
    chain = asked.chain
    assert chain is not None, "only a decoded Responses body is continued"
    items = tuple([_stood_for(raw, found) for raw in chain.items]) if chain.refers else chain.items
    heard = conversation_of(items, (*_instructed(chain.instructions), *system), earlier)
    request = replace(
        asked.request,
        system=tuple(heard.system),
        messages=tuple(heard.messages),
        extras={**asked.request.extras, **heard.left_out},
    )
    return replace(asked, request=request, chain=replace(chain, items=items, refers=()))


def _instructed(instructions: str) -> tuple[TextPart, ...]:
    return (TextPart(instructions),) if instructions else ()


def _stood_for(raw: Raw, found: Mapping[str, Raw]) -> Raw:
    name = reference_in(raw)
    if not name:
        return raw
    if name not in found:
        raise GatewayError(
            "not_found",
            f"Item with id '{name}' not found. Items are not persisted when `store` is set to false. "
            "Try again with `store` set to true, or remove this item from your input.",
            param="input",
        )
    return found[name]


def _asked(body: bytes, headers: Mapping[str, str]) -> Asked:
    require_utf8(body)
    given = read(_body, body, bracketed)
    if not given.model:
        raise invalid("model", "must name a model")
    items, instructions = _items(given), given.instructions or ""
    heard = conversation_of(items, _instructed(instructions))
    offer = offer_of(given)
    named = fields(body)
    return Asked(
        request=ChatRequest(
            model=given.model,
            system=tuple(heard.system),
            messages=tuple(heard.messages),
            tools=offer.tools,
            choice=choice_of(given, offer),
            sampling=Sampling(temperature=given.temperature, top_p=given.top_p),
            max_output=output_limit(given.max_output_tokens, "max_output_tokens"),
            thinking=_thinking(given.reasoning),
            shape=_shape(given.text),
            truncate=_truncate(given.truncation),
            stream=bool(given.stream),
            caller=_caller(headers, given.user),
            words=_WORDS,
            extras={**_wishes(given, named), **offer.left_out, **heard.left_out},
            dialect=DIALECT,
        ),
        echo={name: named[name] for name in _ECHOED if name in named},
        forms=offer.forms,
        chain=Chain(
            follows=given.previous_response_id or "",
            refers=tuple(heard.references),
            items=items,
            instructions=instructions,
            store=given.store,
        ),
    )


def _items(given: o.RequestBody) -> tuple[Raw, ...]:
    """What was sent, a plain text as the message that it stands for."""
    for path, there in (("conversation", given.conversation), ("prompt", given.prompt)):
        if there is not None:
            sentence = (
                f"{path}: it is kept on the vendor's servers, not here; send the items themselves"
            )
            raise GatewayError("unsupported", sentence, param=path)
    if isinstance(given.input, str):
        said = {"type": "message", "role": "user", "content": given.input}
        return (Raw(literal(said)),)
    if not given.input and not given.previous_response_id:
        raise invalid("input", "a text or at least one item is required")
    return tuple(given.input or ())


def _wishes(given: o.RequestBody, named: Mapping[str, Raw]) -> dict[str, Raw]:
    """What is asked for that nobody here can do."""
    found = wishes(named, _READ, _IDLE)
    if any(name != _INCLUDED for name in given.include or ()):
        found["include"] = named["include"]
    if given.text is not None and given.text.verbosity not in (None, "medium"):
        found["text.verbosity"] = named["text"]
    return found


def _caller(headers: Mapping[str, str], user: str | None) -> Caller:
    """Who asks. `session-id` names a conversation as `x-session-id` does."""
    caller = caller_of(headers, user)
    if caller.conversation or "session-id" not in headers:
        return caller
    return replace(caller, conversation=headers["session-id"])


def _truncate(given: str | None) -> bool:
    if given not in (None, "auto", "disabled"):
        raise invalid("truncation", f"{given!r} is not one of auto, disabled")
    return given == "auto"


def _thinking(given: o.Reasoning | None) -> Thinking | None:
    effort = given.effort if given else None
    return Thinking(effort=effort) if effort and effort != "none" else None


def _shape(given: o.TextBody | None) -> Shape:
    wish = given.format if given else None
    if wish is None or wish.type == "text":
        return Shape()
    if wish.type == "json_object":
        return Shape("json")
    if wish.type != "json_schema":
        raise invalid(
            "text.format.type", f"{wish.type!r} is not one of text, json_object, json_schema"
        )
    if not wish.schema:
        raise invalid("text.format.schema", "this field is required")
    return Shape("schema", schema_of(wish.schema, "text.format.schema"), wish.name)
