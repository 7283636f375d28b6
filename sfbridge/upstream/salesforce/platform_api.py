"""The platform surface: documented, text in, one text out. It drops unknown fields without a word.

So nothing is sent here that it does not know: no tools, no limits, no sampling, no stream.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from sfbridge.core.model import Capabilities
from sfbridge.core.request import ChatRequest, lines_of, text_of
from sfbridge.core.stream import Closed, Opened, Piece, Text
from sfbridge.formats.salesforce import PlatformAnswer
from sfbridge.upstream.broken import empty, garbled

from .faults import WHO, Asked, fault_in_stream
from .models import ModelRow
from .passed_through import reason_of, usage_of


class _Turn(Struct, frozen=True, gc=False):
    role: str
    content: str


class Localization(Struct, frozen=True, rename="camel"):
    """Tells data masking and toxicity detection the language."""

    default_locale: str
    expected_locales: tuple[str, ...]


class _Body(Struct, frozen=True):
    messages: list[_Turn]
    localization: Localization | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(PlatformAnswer)

_PATH: Final = "/einstein/platform/v1/models/{}/chat-generations"


def path(quoted_model: str) -> str:
    return _PATH.format(quoted_model)


def capabilities(row: ModelRow | None) -> Capabilities:
    return Capabilities(
        system_midway=False,
        alternation=True,
        window=row.window if row is not None else None,
        output_cap=row.max_output if row is not None else None,
    )


def body(request: ChatRequest, locale: str) -> bytes:
    """The conversation as texts, with one system message, which stands first. Turns without text are left out."""
    system = lines_of((part.text for part in request.system if part.text), "\n\n")
    turns = [_Turn("system", system)] if system else []
    turns += [
        _Turn("assistant" if message.role == "assistant" else "user", text)
        for message in request.messages
        if (text := text_of(message.parts))
    ]
    return _encode(_Body(turns, Localization(locale, (locale,)) if locale else UNSET))


def whole_answer(data: bytes, asked: Asked) -> list[Piece]:
    """The pieces of a `chat-generations` answer. Raises GatewayError for an error body under a 200."""
    try:
        answer = _answer.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise garbled(WHO, type(error).__name__) from None
    details = answer.details
    if details is None:
        raise fault_in_stream("", data, asked)
    if not details.generations:
        raise empty(WHO)
    generation, parameters = details.generations[0], details.parameters
    usage = usage_of(parameters)
    model = (parameters.model if parameters is not None else None) or ""
    raw = generation.parameters.end if generation.parameters is not None else ""
    out: list[Piece] = [Opened(model=model, id=answer.id or "", usage=usage)]
    if generation.content:
        out.append(Text(generation.content))
    out.append(Closed(reason=reason_of(raw), raw=raw, usage=usage))
    return out
