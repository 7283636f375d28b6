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
from sfbridge.formats.sse import SseEvent
from sfbridge.upstream.broken import empty, garbled
from sfbridge.upstream.calls import Calls
from sfbridge.upstream.events import EventReader

from .faults import WHO, Asked, fault_in_stream
from .passed_through import reason_of, usage_of

_AFTER_TEXT: Final = frozenset(("scoringStarted", "scores", "scoringCompleted"))

# Part of the name of every token count, whichever provider gave it.
_COUNTS: Final = b"oken"

_answer = msgspec.json.Decoder(GatewayAnswer)
_answer_parameters = msgspec.json.Decoder(AnswerParameters | None)


class ChatReader(EventReader):
    """Bytes of `chat/generations/stream` in, pieces out. Calls leave whole, before the end."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(WHO)
        self._asked = asked
        self._calls = Calls()
        self._opened = False
        self._usage = Usage()
        self._raw_reason = ""

    def _event(self, event: SseEvent, out: list[Piece]) -> None:
        if event.data.strip() in SENTINELS:
            self.close(out)
        elif event.event == "error":
            raise fault_in_stream("", event.data, self._asked)
        elif event.event in _AFTER_TEXT:
            if self.settled:
                self.close(out)
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

    def _end(self) -> list[Piece]:
        reason = reason_of(self._raw_reason)
        closed = Closed(reason=reason, raw=self._raw_reason, usage=self._usage)
        return [*self._calls.pieces(cut=reason == "length"), closed]


def whole_answer(body: bytes, asked: Asked) -> list[Piece]:
    """The pieces of a `chat/generations` answer. Raises GatewayError for an error body under a 200."""
    answer = _decoded(body)
    details = answer.details
    if details is None:
        raise fault_in_stream("", body, asked)
    if not details.generations:
        raise empty(WHO)
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
        raise garbled(WHO, type(error).__name__) from None


def _parameters(raw: Raw) -> AnswerParameters | None:
    try:
        return _answer_parameters.decode(raw) if raw else None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise garbled(WHO, type(error).__name__) from None


def _opened(answer: GatewayAnswer, parameters: AnswerParameters | None, usage: Usage) -> Opened:
    model = parameters.model if parameters is not None else None
    return Opened(model=model or "", id=answer.id or "", usage=usage)
