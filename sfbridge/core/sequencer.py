"""Pieces -> events. The only place that knows what may follow what.

A call is held until it is complete and its arguments are one JSON object, then leaves whole. A call that
the upstream never completed is dropped when the output limit cut it, and fails the turn otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from .errors import GatewayError
from .stream import (
    Activity,
    BlockEnded,
    BlockKind,
    BlockStarted,
    CallArguments,
    CallClosed,
    CallOpened,
    Closed,
    Delta,
    Event,
    Finished,
    Opened,
    Piece,
    Ran,
    Started,
    Text,
    Thought,
    Usage,
)

_object = msgspec.json.Decoder(dict[str, Any])


class Sequencer:
    """Feed it batches of pieces; it returns batches of events. `drain` proves that the turn is whole.

    make_id   gives the id of the n-th call of the answer, for calls that came without one
    estimate  our own count of the prompt, for `Started` when the upstream has not reported one by then
    wordless  an answer may be empty, if the upstream says that it is whole. So models end their turn when a tool
              result left nothing to say; anywhere else an empty answer is one that was lost

    `Finished` carries only what the upstream reported.
    """

    def __init__(
        self,
        make_id: Callable[[int], str],
        estimate: Usage = Usage(),
        *,
        wordless: bool = False,
    ) -> None:
        self._make_id = make_id
        self._estimate = estimate
        self._wordless = wordless
        self._usage = Usage()
        self._model = ""
        self._started = False
        self._finished = False
        self._index = -1
        self._open: BlockKind | None = None
        self._ran = False
        self._calls: dict[int, _HeldCall] = {}
        self._ids: set[str] = set()
        self.activities: list[Activity] = []

    @property
    def finished(self) -> bool:
        return self._finished

    def feed(self, pieces: Iterable[Piece]) -> list[Event]:
        """Events for a batch of pieces. Raises GatewayError where the upstream broke its word."""
        out: list[Event] = []
        run: list[str] = []  # texts of one batch leave as one delta
        for piece in pieces:
            kind = type(piece)
            if kind is Text:
                if piece.text:  # type: ignore[union-attr]
                    if self._open != "text":
                        self._flush(run, out)
                        self._begin("text", out)
                    run.append(piece.text)  # type: ignore[union-attr]
                continue
            if run:
                self._flush(run, out)
            self._other(piece, out)
        self._flush(run, out)
        return out

    def drain(self) -> None:
        """Raise unless the upstream's terminal mark was seen."""
        if not self._finished:
            raise GatewayError(
                "upstream_failed",
                "The upstream ended its answer without saying that it was complete; nothing was kept of it.",
                code="upstream_truncated",
            )

    # ---- one arm per piece

    def _other(self, piece: Piece, out: list[Event]) -> None:
        match piece:
            case Opened():
                # the answer starts with its first block: until then a failure keeps its own status
                self._usage = self._usage.merged(piece.usage)
                self._model = piece.model
            case Thought():
                if self._open != "thought":
                    self._begin("thought", out)
                out.append(Delta(self._index, piece.text, piece.signature))
            case CallOpened():
                self._calls[piece.key] = _HeldCall(piece.id, piece.name)
            case CallArguments():
                self._held(piece.key).json.append(piece.json)
            case CallClosed():
                self._deliver(self._held(piece.key), out)
                del self._calls[piece.key]
            case Activity():
                self.activities.append(piece)
            case Ran():
                if self._finished:
                    raise GatewayError("upstream_failed", "The upstream went on after its end.")
                self._start(out)
                self._end(out)
                out.append(piece)
                self._ran = True
            case Closed():
                self._close(piece, out)
            case Text():
                raise AssertionError("text is handled by feed")

    def _held(self, key: int) -> _HeldCall:
        try:
            return self._calls[key]
        except KeyError:
            raise GatewayError(
                "upstream_failed", "The upstream sent arguments of a tool call that it never began."
            ) from None

    def _deliver(self, call: _HeldCall, out: list[Event]) -> None:
        arguments = call.arguments()
        self._begin("call", out, self._unique(call.id), call.name)
        out.append(Delta(self._index, arguments))
        self._end(out)

    def _unique(self, given: str) -> str:
        call_id = given if given and given not in self._ids else self._make_id(len(self._ids))
        self._ids.add(call_id)
        return call_id

    def _close(self, piece: Closed, out: list[Event]) -> None:
        if self._finished:
            raise GatewayError("upstream_failed", "The upstream ended its answer twice.")
        if piece.reason != "length":
            for call in self._calls.values():
                self._deliver(call, out)
        self._calls.clear()
        self._end(out)
        reason = piece.reason
        if self._ids and reason in ("stop", "length", "tool_calls"):
            reason = "tool_calls"
        elif reason == "tool_calls":
            raise GatewayError(
                "upstream_failed",
                "The upstream said that it called a tool, but sent no call.",
                code="upstream_empty_call",
            )
        silent = self._ran or (self._wordless and bool(piece.raw))
        if self._index < 0 and reason == "stop" and not silent:
            raise GatewayError(
                "upstream_failed", "The upstream sent an empty answer.", code="upstream_empty"
            )
        self._start(out)
        self._usage = self._usage.merged(piece.usage)
        out.append(
            Finished(
                reason=reason, raw=piece.raw, usage=self._usage, stop_sequence=piece.stop_sequence
            )
        )
        self._finished = True

    # ---- blocks

    def _start(self, out: list[Event]) -> None:
        if not self._started:
            self._started = True
            told = self._usage
            known = bool(told.input or told.cache_read or told.cache_write)
            out.append(Started(model=self._model, usage=told if known else self._estimate))

    def _begin(self, kind: BlockKind, out: list[Event], call_id: str = "", name: str = "") -> None:
        if self._finished:
            raise GatewayError("upstream_failed", "The upstream went on after its end.")
        self._start(out)
        self._end(out)
        self._index += 1
        self._open = kind
        out.append(BlockStarted(self._index, kind, call_id, name))

    def _end(self, out: list[Event]) -> None:
        if self._open is not None:
            self._open = None
            out.append(BlockEnded(self._index))

    def _flush(self, run: list[str], out: list[Event]) -> None:
        if run:
            out.append(Delta(self._index, run[0] if len(run) == 1 else "".join(run)))
            run.clear()


class _HeldCall:
    """A call whose arguments are still arriving."""

    __slots__ = ("id", "json", "name")

    def __init__(self, call_id: str, name: str) -> None:
        self.id = call_id
        self.name = name
        self.json: list[str] = []

    def arguments(self) -> str:
        """The whole argument text; no arguments at all are `{}`, which is what vendors mean by it."""
        text = "".join(self.json).strip() or "{}"
        try:
            _object.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            raise GatewayError(
                "upstream_failed",
                f"The upstream's call of the tool {self.name!r} has arguments that are not a JSON object.",
                code="upstream_bad_arguments",
            ) from None
        return text
