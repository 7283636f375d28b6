"""Answers in the Anthropic dialect -> pieces: the binary event stream, and the whole message.

A tool call is closed only when the next thing shows that the output limit did not cut it; a call that the
limit ended stays open, and whoever reads the pieces drops it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct, field

from sfbridge.core.stream import (
    CallArguments,
    CallClosed,
    CallOpened,
    Closed,
    FinishReason,
    Opened,
    Piece,
    Text,
    Thought,
    Usage,
)
from sfbridge.formats.anthropic import Block, MessageBody, StreamEvent, UsageBody
from sfbridge.formats.eventstream import BrokenFrame, Frame, Frames
from sfbridge.upstream.broken import garbled, truncated

from .faults import WHO, Asked, fault_in_stream

_REASONS: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "pause_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_NO_INPUT: Final = frozenset((b"", b"{}", b"null"))


class _Chunk(Struct, frozen=True, gc=False):
    """The payload of a normal frame: one event of the Messages API, in base64."""

    data: bytes | None = field(name="bytes", default=None)


class _Metrics(Struct, frozen=True, gc=False):
    input: int | None = field(name="inputTokenCount", default=None)
    output: int | None = field(name="outputTokenCount", default=None)


class _Event(StreamEvent, frozen=True, gc=False):
    """An event as Bedrock sends it; the last one carries counts of its own."""

    metrics: _Metrics | None = field(name="amazon-bedrock-invocationMetrics", default=None)


class _Message(MessageBody, frozen=True, gc=False):
    """A whole message; its type tells it from an error body."""

    type: str = ""


_chunk = msgspec.json.Decoder(_Chunk)
_event = msgspec.json.Decoder(_Event)
_message = msgspec.json.Decoder(_Message)


class BedrockReader:
    """Bytes of `invoke-with-response-stream` in, pieces out."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._frames = Frames()
        self._keys: dict[int, int] = {}
        self._inputs: dict[int, str] = {}
        self._ended_call: int | None = None
        self._usage = Usage()
        self._raw_reason = ""
        self._stop_sequence = ""
        self.settled = False
        self.closed = False

    def feed(self, chunk: bytes) -> list[Piece]:
        """The pieces of everything that `chunk` completes. Raises GatewayError where the stream fails."""
        out: list[Piece] = []
        try:
            for frame in self._frames.feed(chunk):
                if not self.closed:
                    self._frame(frame, out)
        except BrokenFrame as error:
            raise garbled(WHO, str(error)) from None
        return out

    def drain(self) -> list[Piece]:
        """The end of the transport: without `message_stop` before it, the answer is not whole."""
        if not self.closed:
            raise truncated(WHO)
        return []

    def _frame(self, frame: Frame, out: list[Piece]) -> None:
        kind = frame.headers.get(":message-type", "event")
        if kind != "event":
            word = frame.headers.get(":exception-type") or frame.headers.get(":error-code", "")
            raise fault_in_stream(word, frame.payload, self._asked)
        try:
            payload = _chunk.decode(frame.payload).data
            if payload is None:
                raise fault_in_stream("", frame.payload, self._asked)
            event = _event.decode(payload)
        except msgspec.MsgspecError as error:
            raise garbled(WHO, type(error).__name__) from None
        if event.type == "error":
            word = event.error.type if event.error else ""
            raise fault_in_stream(word, payload, self._asked)
        self._take(event, out)

    def _take(self, event: _Event, out: list[Piece]) -> None:
        match event.type:
            case "content_block_delta":
                self._delta(event, out)
            case "content_block_start":
                self._close_call(out)
                if event.content_block is not None:
                    self._open(event.index, event.content_block, out)
            case "content_block_stop":
                if event.index in self._keys:
                    self._ended_call = event.index
            case "message_start":
                if event.message is not None:
                    self._usage = usage_of(event.message.usage)
                    out.append(
                        Opened(model=event.message.model, id=event.message.id, usage=self._usage)
                    )
            case "message_delta":
                self._end(event)
            case "message_stop":
                self._close(event, out)
            case _:  # ping, and kinds that are yet to be invented
                pass

    def _delta(self, event: _Event, out: list[Piece]) -> None:
        delta = event.delta
        if delta is None:
            return
        match delta.type:
            case "text_delta":
                out.append(Text(delta.text))
            case "input_json_delta":
                key = self._keys.get(event.index)
                if key is None:
                    raise garbled(WHO, "arguments of a call that never began")
                if delta.partial_json:
                    self._inputs.pop(event.index, None)
                    out.append(CallArguments(key, delta.partial_json))
            case "thinking_delta":
                out.append(Thought(delta.thinking))
            case "signature_delta":
                out.append(Thought("", delta.signature))
            case _:  # citations and the like say nothing that a client could be told
                pass

    def _open(self, index: int, block: Block, out: list[Piece]) -> None:
        if block.type == "tool_use":
            key = self._keys[index] = len(self._keys)
            given = bytes(block.input).strip()
            if given not in _NO_INPUT:
                self._inputs[index] = given.decode()
            out.append(CallOpened(key, block.id, block.name))
        elif block.text:
            out.append(Text(block.text))
        elif block.thinking or block.signature:
            out.append(Thought(block.thinking, block.signature))

    def _close_call(self, out: list[Piece]) -> None:
        """Close the call whose block has ended. Arguments may have come with its beginning only."""
        index = self._ended_call
        if index is not None:
            key = self._keys[index]
            if given := self._inputs.pop(index, ""):
                out.append(CallArguments(key, given))
            out.append(CallClosed(key))
            self._ended_call = None

    def _end(self, event: _Event) -> None:
        self._usage = self._usage.merged(usage_of(event.usage))
        if event.delta is not None:
            self._raw_reason = event.delta.stop_reason or self._raw_reason
            self._stop_sequence = event.delta.stop_sequence or ""

    def _close(self, event: _Event, out: list[Piece]) -> None:
        reason = _REASONS.get(self._raw_reason, "stop")
        if reason != "length":
            self._close_call(out)
        if event.metrics is not None:
            counted = Usage(input=event.metrics.input, output=event.metrics.output)
            self._usage = counted.merged(self._usage)
        out.append(
            Closed(
                reason=reason,
                raw=self._raw_reason,
                usage=self._usage,
                stop_sequence=self._stop_sequence,
            )
        )
        self.settled = self.closed = True


def whole_message(body: bytes, asked: Asked) -> list[Piece]:
    """The pieces of an `invoke` answer. Raises GatewayError for an error body under a 200."""
    try:
        message = _message.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise garbled(WHO, type(error).__name__) from None
    if message.type != "message":
        raise fault_in_stream("", body, asked)
    reason = _REASONS.get(message.stop_reason or "", "stop")
    usage = usage_of(message.usage)
    out: list[Piece] = [Opened(model=message.model, id=message.id, usage=usage)]
    for place, block in enumerate(message.content):
        last = place == len(message.content) - 1
        out += _whole_block(place, block, cut=last and reason == "length")
    out.append(
        Closed(
            reason=reason,
            raw=message.stop_reason or "",
            usage=usage,
            stop_sequence=message.stop_sequence or "",
        )
    )
    return out


def _whole_block(key: int, block: Block, *, cut: bool) -> list[Piece]:
    match block.type:
        case "text":
            return [Text(block.text)]
        case "thinking":
            return [Thought(block.thinking, block.signature)]
        case "tool_use":
            call: list[Piece] = [CallOpened(key, block.id, block.name)]
            call.append(CallArguments(key, bytes(block.input).decode() or "{}"))
            return call if cut else [*call, CallClosed(key)]
        case _:
            return []


def usage_of(body: UsageBody | None) -> Usage:
    if body is None:
        return Usage()
    return Usage(
        input=body.input_tokens,
        output=body.output_tokens,
        cache_read=body.cache_read_input_tokens,
        cache_write=body.cache_creation_input_tokens,
    )
