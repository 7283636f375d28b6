"""Events -> the frames of a message stream, and a folded answer -> one message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Raw

from sfbridge.core.answer import Answer, AnswerPart
from sfbridge.core.errors import GatewayError
from sfbridge.core.request import TextPart, ThoughtPart, ToolCall
from sfbridge.core.stream import (
    BlockEnded,
    BlockKind,
    BlockStarted,
    Delta,
    Event,
    Finished,
    FinishReason,
    Ran,
    Started,
    Usage,
)
from sfbridge.wire.base import Reply
from sfbridge.wire.frames import literal, quoted, sound

from .faults import failure

_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_STARTS: Final[Mapping[BlockKind, bytes]] = {
    "text": b'{"type":"text","text":""}',
    "thought": b'{"type":"thinking","thinking":"","signature":""}',
}
_DELTAS: Final[Mapping[BlockKind, bytes]] = {
    "text": b'{"type":"text_delta","text":',
    "thought": b'{"type":"thinking_delta","thinking":',
    "call": b'{"type":"input_json_delta","partial_json":',
}
_START: Final = b"event: content_block_start\ndata: " + b'{"type":"content_block_start","index":'
_DELTA: Final = b"event: content_block_delta\ndata: " + b'{"type":"content_block_delta","index":'
_STOP: Final = b"event: content_block_stop\ndata: " + b'{"type":"content_block_stop","index":'
_MESSAGE_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class MessageEncoder:
    """The frames of one answer.

    A held block is a text block that `hold` opened before the answer said what comes next; the answer's next
    text moves into it, and anything else closes it and moves up by one index.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._opened = False
        self._finished = False
        self._kind: BlockKind | None = None  # of the block that is open on the wire
        self._held = False
        self._index = -1  # of the last block on the wire
        self._head = b""  # of a delta in the open block
        self._deltas = 0
        self._signature = ""

    def open(self, usage: Usage) -> bytes:
        """The `message_start` frame, with the input tokens that are known by now."""
        if self._opened:
            return b""
        self._opened = True
        message: dict[str, Any] = {
            "id": self._reply.id,
            "type": "message",
            "role": "assistant",
            "model": sound(self._reply.model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_body(usage),
        }
        return _frame("message_start", {"message": message})

    def feed(self, events: Iterable[Event]) -> bytes:
        """The frames of a batch of events."""
        out: list[bytes] = []
        for event in events:
            if type(event) is Delta:
                if event.text:
                    self._deltas += 1
                    out.append(self._head + quoted(event.text) + b"}}\n\n")
                self._signature += event.signature
            elif type(event) is BlockStarted:
                self._begin(event, out)
            elif type(event) is BlockEnded:
                self._end(out)
            elif type(event) is Started:
                out.append(self.open(event.usage))
            elif type(event) is Finished:
                self._finish(event, out)
            elif type(event) is Ran:
                self._show(event, out)
        return b"".join(out)

    def hold(self) -> bytes:
        """An empty delta, in a text block opened for it when none is open.

        Claude Code gives up after minutes of comments and pings alone, but never while deltas arrive.
        """
        if self._finished:
            return b""
        out = [self.open(Usage())]
        if self._kind is None:
            self._held = True
            self._place("text", _STARTS["text"], out)
        out.append(self._head + b'""}}\n\n')
        return b"".join(out)

    def failure(self, error: GatewayError) -> bytes:
        """The error event; no `message_stop` follows."""
        return failure(error, self._reply.request_id)

    def _begin(self, event: BlockStarted, out: list[bytes]) -> None:
        out.append(self.open(Usage()))
        if self._held:
            self._held = False
            if event.kind == "text":
                return
            self._end(out)
        if event.kind == "call":
            tool = {"type": "tool_use", "id": sound(event.id), "name": sound(event.name)}
            self._place("call", literal({**tool, "input": {}}), out)
        else:
            self._place(event.kind, _STARTS[event.kind], out)

    def _show(self, event: Ran, out: list[bytes]) -> None:
        """A tool that the upstream ran: two blocks, the call and what came of it."""
        out.append(self.open(Usage()))
        if self._held:
            self._held = False
            self._end(out)
        called, *outcome = _mirrored(event)
        self._place("call", literal({**called, "input": {}}), out)
        out.append(self._head + quoted(sound(event.arguments)) + b"}}\n\n")
        self._deltas += 1
        self._end(out)
        for block in outcome:
            self._place("call", literal(block), out)
            self._deltas += 1
            self._end(out)

    def _place(self, kind: BlockKind, block: bytes, out: list[bytes]) -> None:
        self._kind = kind
        self._index += 1
        self._deltas = 0
        self._signature = ""
        self._head = _DELTA + b'%d,"delta":' % self._index + _DELTAS[kind]
        out.append(_START + b'%d,"content_block":' % self._index + block + b"}\n\n")

    def _end(self, out: list[bytes]) -> None:
        if self._kind == "call" and not self._deltas:
            out.append(self._head + b'"{}"}}\n\n')
        if self._signature:
            # One frame with the whole: clients replace the signature, they do not add to it.
            delta = b'{"type":"signature_delta","signature":' + quoted(self._signature)
            out.append(_DELTA + b'%d,"delta":' % self._index + delta + b"}}\n\n")
        out.append(_STOP + b"%d}\n\n" % self._index)
        self._kind = None

    def _finish(self, event: Finished, out: list[bytes]) -> None:
        self._finished = True
        out.append(self.open(event.usage))
        if self._held:
            self._held = False
            self._end(out)
        delta = {
            "stop_reason": _REASONS[event.reason],
            "stop_sequence": _stop_sequence(event.reason, event.stop_sequence),
        }
        usage = usage_body(event.usage)
        out.append(_frame("message_delta", {"delta": delta, "usage": usage}))
        out.append(_MESSAGE_STOP)


def body(answer: Answer, reply: Reply) -> bytes:
    """The whole answer as one message."""
    return literal(
        {
            "id": reply.id,
            "type": "message",
            "role": "assistant",
            "model": sound(reply.model),
            "content": _content(answer),
            "stop_reason": _REASONS[answer.reason],
            "stop_sequence": _stop_sequence(answer.reason, answer.stop_sequence),
            "usage": usage_body(answer.usage),
        }
    )


def _content(answer: Answer) -> list[dict[str, Any]]:
    blocks = [_block(part) for part in answer.parts]
    for place, ran in reversed(answer.ran):
        blocks[place:place] = _mirrored(ran)
    return blocks


def _mirrored(ran: Ran) -> list[dict[str, Any]]:
    """The blocks of a tool that the upstream ran; a result in an assistant's message is no client's to give."""
    call_id = sound(ran.id)
    call = {"type": "tool_use", "id": call_id, "name": sound(ran.name)}
    blocks: list[dict[str, Any]] = [{**call, "input": Raw(sound(ran.arguments))}]
    if ran.output is not None:
        told = {"content": [{"type": "text", "text": sound(ran.output)}], "is_error": ran.is_error}
        blocks.append({"type": "tool_result", "tool_use_id": call_id, **told})
    return blocks


def count_body(n: int) -> bytes:
    """The answer to `POST /v1/messages/count_tokens`."""
    return literal({"input_tokens": n})


def usage_body(usage: Usage) -> dict[str, Any]:
    """Usage in the vendor's fields. Input is never zero: a zero stops a client's context meter."""
    found: dict[str, Any] = {"input_tokens": usage.input or 1, "output_tokens": usage.output or 0}
    if usage.cache_write is not None:
        found["cache_creation_input_tokens"] = usage.cache_write
    if usage.cache_read is not None:
        found["cache_read_input_tokens"] = usage.cache_read
    if usage.thought is not None:
        found["output_tokens_details"] = {"thinking_tokens": usage.thought}
    if usage.estimated:
        found["estimated"] = True
    return found


def _stop_sequence(reason: FinishReason, text: str) -> str | None:
    return sound(text) if reason == "stop_sequence" else None


def _block(part: AnswerPart) -> dict[str, Any]:
    match part:
        case TextPart(text=text):
            return {"type": "text", "text": sound(text)}
        case ThoughtPart(text=text, signature=signature):
            return {"type": "thinking", "thinking": sound(text), "signature": signature}
        case ToolCall():
            return {
                "type": "tool_use",
                "id": sound(part.id),
                "name": sound(part.name),
                "input": Raw(sound(part.arguments) or "{}"),
            }


def _frame(event: str, fields: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), literal({"type": event, **fields}))
