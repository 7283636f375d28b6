"""The gateway surface: streams and native tools, in two dialects that the model's name chooses between."""

from __future__ import annotations

from typing import Final

from sfbridge.core.model import Capabilities
from sfbridge.core.request import ChatRequest
from sfbridge.core.stream import Piece
from sfbridge.upstream.reading import Reader

from . import bedrock, bedrock_answer, chat_answer, chat_request
from .faults import Asked
from .models import ModelRow, speaks_anthropic

_INVOKE: Final = "/ai/gpt/v1/model/{}/invoke"
_INVOKE_STREAM: Final = "/ai/gpt/v1/model/{}/invoke-with-response-stream"
_CHAT: Final = "/ai/gpt/v1/chat/generations"
_CHAT_STREAM: Final = "/ai/gpt/v1/chat/generations/stream"

# "single": at most one call per turn can be asked for.
_BEDROCK_CHOICES: Final = frozenset(("none", "required", "named", "single"))
_CHAT_CHOICES: Final = frozenset(("none", "single"))
_BEDROCK_KNOBS: Final = frozenset(("temperature", "top_p", "top_k"))
_CHAT_KNOBS: Final = frozenset(("temperature", "frequency_penalty", "presence_penalty"))

# Media types of an answer that is what was asked for; others are a fault or a whole answer.
STREAM_TYPES: Final = frozenset(
    ("text/event-stream", "application/vnd.amazon.eventstream", "application/octet-stream", "")
)


def path(model: str, quoted_model: str, *, stream: bool) -> str:
    if speaks_anthropic(model):
        return (_INVOKE_STREAM if stream else _INVOKE).format(quoted_model)
    return _CHAT_STREAM if stream else _CHAT


def capabilities(model: str, row: ModelRow | None, *, thinks: bool) -> Capabilities:
    """What a model can do here; the same for names that nobody knows, which follow their dialect."""
    window = row.window if row is not None else None
    output_cap = row.max_output if row is not None else None
    if speaks_anthropic(model):
        return Capabilities(
            streams=True,
            native_tools=True,
            parallel_calls=True,
            choices=_BEDROCK_CHOICES,
            images=True,
            thoughts=thinks,
            knobs=_BEDROCK_KNOBS,
            stop=True,
            max_output=True,
            window=window,
            output_cap=output_cap,
        )
    return Capabilities(
        streams=True,
        native_tools=True,
        parallel_calls=True,
        choices=_CHAT_CHOICES,
        knobs=_CHAT_KNOBS,
        stop=True,
        max_output=True,
        window=window,
        output_cap=output_cap,
    )


def body(model: str, request: ChatRequest, max_output: int, *, thinks: bool) -> bytes:
    if speaks_anthropic(model):
        return bedrock.body(request, max_output, thinks=thinks)
    return chat_request.body(model, request, max_output)


def reader(asked: Asked) -> Reader:
    if speaks_anthropic(asked.model):
        return bedrock_answer.BedrockReader(asked)
    return chat_answer.ChatReader(asked)


def whole_answer(body: bytes, asked: Asked) -> list[Piece]:
    if speaks_anthropic(asked.model):
        return bedrock_answer.whole_message(body, asked)
    return chat_answer.whole_answer(body, asked)
