"""A body of `POST /v1/completions` -> neutral requests, one per choice.

The vendor's default of 16 tokens is not ours: an answer ends where the model ends it, unless the client says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import ChatRequest, Message, Sampling, TextPart
from sfbridge.formats.openai_completions import CompletionBody
from sfbridge.wire.base import Asked
from sfbridge.wire.openai_chat.content import DIALECT
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

# Choices of one body; each of them is an upstream call that somebody pays.
MOST_CHOICES: Final = 128

_decoder: Final = msgspec.json.Decoder(CompletionBody)
_READ: Final = frozenset(CompletionBody.__struct_fields__) - {"best_of"}
_WORDS: Final = {"max_output": "max_tokens", "messages": "prompt"}


def decode(body: bytes, headers: Mapping[str, str]) -> Asked:
    """Body and lower-case headers -> Asked. Raises GatewayError with the path of the fault."""
    require_utf8(body)
    try:
        asked = read(_decoder, body, bracketed)
        unknown = extras(body, _READ, {"best_of": (b"1", b"%d" % (asked.n or 1))})
    except RecursionError:
        raise too_deep() from None
    if not asked.model:
        raise invalid("model", "must name a model")
    if asked.suffix:
        raise GatewayError(
            "unsupported",
            "suffix: a chat model cannot write into the middle of a text; leave suffix out.",
            param="suffix",
            retriable=False,
        )
    prompts = _prompts(asked.prompt)
    texts = [text for text in prompts for _ in range(_times(asked.n, len(prompts)))]
    first = _request(asked, texts[0], unknown, headers)
    return Asked(
        request=first,
        more=tuple([replace(first, messages=_said(text)) for text in texts[1:]]),
        stream_usage=bool(asked.stream_options and asked.stream_options.include_usage),
        heads=tuple(texts) if asked.echo else (),
    )


def _request(
    asked: CompletionBody, text: str, unknown: dict[str, Raw], headers: Mapping[str, str]
) -> ChatRequest:
    stop = (asked.stop,) if isinstance(asked.stop, str) else asked.stop or ()
    return ChatRequest(
        model=asked.model,
        messages=_said(text),
        sampling=Sampling(
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=asked.top_k,
            seed=asked.seed,
            frequency_penalty=asked.frequency_penalty,
            presence_penalty=asked.presence_penalty,
        ),
        max_output=output_limit(asked.max_tokens, "max_tokens"),
        stop=tuple([one for one in stop if one]),
        stream=bool(asked.stream),
        caller=caller_of(headers, asked.user),
        words=_WORDS,
        extras=unknown,
        dialect=DIALECT,
    )


def _said(text: str) -> tuple[Message, ...]:
    return (Message("user", (TextPart(text),)),)


def _prompts(given: str | Sequence[str | int | Sequence[int]] | None) -> list[str]:
    if given is None:
        raise invalid("prompt", "this field is required")
    if isinstance(given, str):
        given = (given,)
    if not given:
        raise invalid("prompt", "at least one text is required")
    if not isinstance(given[0], str):
        raise GatewayError(
            "unsupported",
            "prompt: token ids are not taken, because nobody here knows which vocabulary they are from; send the "
            "text itself.",
            param="prompt",
            code="token_ids",
            retriable=False,
        )
    texts: list[str] = []
    for index, text in enumerate(given):
        if not isinstance(text, str):
            raise invalid(f"prompt[{index}]", "must be a text, as the others are")
        if not text.strip():
            raise invalid(f"prompt[{index}]" if len(given) > 1 else "prompt", "must not be empty")
        texts.append(text)
    return texts


def _times(n: int | None, prompts: int) -> int:
    """How often each prompt is answered."""
    times = 1 if n is None else n
    if times < 1:
        raise invalid("n", "must be at least 1")
    if times * prompts > MOST_CHOICES:
        where = "prompt" if times == 1 else "n"
        raise invalid(
            where, f"at most {MOST_CHOICES} choices are made at once, not {times * prompts}"
        )
    return times
