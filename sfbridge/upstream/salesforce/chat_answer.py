"""Answers in the gateway's chat dialect -> pieces: its event stream, and the whole body.

`scores` events repeat the whole text, so only `generation` events are read. The finish reason makes the
answer whole, but usage may follow it, so the end is told at the sentinel, at scoring, or when nothing comes.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from sfbridge.core.stream import Closed, Opened, Piece, Text, Usage
from sfbridge.formats.salesforce import (
    SENTINELS,
    AnswerParameters,
    GatewayAnswer,
    GatewayGeneration,
)
from sfbridge.formats.sse import BrokenStream, Events, SseEvent
from sfbridge.upstream.calls import Calls

from .faults import Asked, fault_in_stream
from .passed_through import reason_of, usage_of
from .reading import empty, garbled, truncated

_AFTER_TEXT: Final = frozenset(("scoringStarted", "scores", "scoringCompleted"))

# Part of the name of every token count, whichever provider gave it.
_COUNTS: Final = b"oken"

_answer = msgspec.json.Decoder(GatewayAnswer)
_answer_parameters = msgspec.json.Decoder(AnswerParameters | None)


class ChatReader:
    """Bytes of `chat/generations/stream` in, pieces out. Calls leave whole, before the end."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._events = Events()
        self._calls = Calls()
        self._opened = False
        self._usage = Usage()
        self._raw_reason = ""
        self.settled = False
        self.closed = False

    def feed(self, chunk: bytes) -> list[Piece]:
        """The pieces of everything that `chunk` completes. Raises GatewayError where the stream fails."""
        out: list[Piece] = []
        try:
            for event in self._events.feed(chunk):
                if not self.closed:
                    self._event(event, out)
        except BrokenStream as error:
            raise garbled(str(error)) from None
        return out

    def drain(self) -> list[Piece]:
        """The end of the transport: the finish reason must have come."""
        if self.closed:
            return []
        if not self.settled:
            raise truncated()
        out: list[Piece] = []
        self._close(out)
        return out

    def _event(self, event: SseEvent, out: list[Piece]) -> None:
        if event.data.strip() in SENTINELS:
            self._close(out)
        elif event.event == "error":
            raise fault_in_stream("", event.data, self._asked)
        elif event.event in _AFTER_TEXT:
            if self.settled:
                self._close(out)
        else:
            self._frame(event.data, out)

    def _frame(self, data: bytes, out: list[Piece]) -> None:
        answer = _decoded(data)
        if answer.error_name or answer.error_code:
            raise fault_in_stream("", data, self._asked)
        details = answer.details
        if details is None:
            return
        if not self._opened or _COUNTS in bytes(details.parameters):
            parameters = _parameters(details.parameters)
            self._usage = self._usage.merged(usage_of(parameters))
            if not self._opened:
                self._opened = True
                out.append(_opened(answer, parameters, self._usage))
        if details.generations:
            self._generation(details.generations[0], out)

    def _generation(self, generation: GatewayGeneration, out: list[Piece]) -> None:
        if generation.content:
            out.append(Text(generation.content))
        for fragment in generation.tool_invocations or ():
            self._calls.add(fragment)
        if generation.parameters is not None and generation.parameters.end:
            self._raw_reason = generation.parameters.end
            self.settled = True

    def _close(self, out: list[Piece]) -> None:
        reason = reason_of(self._raw_reason)
        out += self._calls.pieces(cut=reason == "length")
        out.append(Closed(reason=reason, raw=self._raw_reason, usage=self._usage))
        self.settled = self.closed = True


def whole_answer(body: bytes, asked: Asked) -> list[Piece]:
    """The pieces of a `chat/generations` answer. Raises GatewayError for an error body under a 200."""
    answer = _decoded(body)
    details = answer.details
    if details is None:
        raise fault_in_stream("", body, asked)
    if not details.generations:
        raise empty()
    parameters = _parameters(details.parameters)
    usage = usage_of(parameters)
    out: list[Piece] = [_opened(answer, parameters, usage)]
    generation = details.generations[0]
    if generation.content:
        out.append(Text(generation.content))
    raw = generation.parameters.end if generation.parameters is not None else ""
    reason = reason_of(raw)
    if generation.tool_invocations:
        calls = Calls()
        for invocation in generation.tool_invocations:
            calls.add(invocation)
        out += calls.pieces(cut=reason == "length")
    out.append(Closed(reason=reason, raw=raw, usage=usage))
    return out


def _decoded(data: bytes) -> GatewayAnswer:
    try:
        return _answer.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise garbled(type(error).__name__) from None


def _parameters(raw: Raw) -> AnswerParameters | None:
    try:
        return _answer_parameters.decode(raw) if raw else None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise garbled(type(error).__name__) from None


def _opened(answer: GatewayAnswer, parameters: AnswerParameters | None, usage: Usage) -> Opened:
    model = parameters.model if parameters is not None else None
    return Opened(model=model or "", id=answer.id or "", usage=usage)
