"""One upstream answer read for everything that the upstream could not do itself: cut at stop sequences,
scanned for tool calls, checked for its JSON shape. Pieces in, pieces out, and an outcome at the end."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import Message, Shape
from sfbridge.core.stream import Closed, FinishReason, Opened, Piece, Text, Usage

from .dialect import Dressed, Fault, PlannedCall
from .prompt import correction
from .scanner import Reader
from .shape import check_shape, shape_correction
from .stops import StopCutter


class Outcome(Struct, frozen=True, kw_only=True):
    """What one answer came to.

    pieces      prose that may leave now
    calls       complete, valid calls
    faults      what was wrong; nothing of a faulty call is in `calls`
    correction  the messages that show the model its faults; empty when there are none
    """

    pieces: tuple[Piece, ...]
    calls: tuple[PlannedCall, ...] = ()
    faults: tuple[Fault, ...] = ()
    correction: tuple[Message, ...] = ()
    closed: Closed
    notes: dict[str, int] = {}


class Turn:
    """Feed it the pieces of one upstream call, then take its `outcome`."""

    def __init__(
        self, dressed: Dressed | None, shape: Shape | None, stops: tuple[str, ...]
    ) -> None:
        self._dressed = dressed
        self._reader = Reader(dressed) if dressed else None
        self._shape = shape
        self._cutter = StopCutter(stops) if stops else None
        self._said: list[str] = []
        self._held: list[str] = []
        self._usage = Usage()
        self._closed: Closed | None = None

    @property
    def halted(self) -> bool:
        """Nothing that the upstream may still say will be used."""
        cut = self._cutter is not None and bool(self._cutter.hit)
        return cut or (self._reader is not None and self._reader.halted)

    def feed(self, pieces: Iterable[Piece]) -> list[Piece]:
        out: list[Piece] = []
        for piece in pieces:
            match piece:
                case Text():
                    out += self._read(piece.text)
                case Closed():
                    self._closed = piece
                case Opened():
                    self._usage = piece.usage
                    out.append(piece)
                case _:
                    out.append(piece)
        return out

    def outcome(self) -> Outcome:
        """Raises GatewayError when the upstream's terminal mark is missing and was still needed."""
        closed = self._closed
        if closed is None:
            if not self.halted:
                raise GatewayError(
                    "upstream_failed",
                    "The upstream ended its answer without saying that it was complete.",
                    code="upstream_truncated",
                )
            closed = Closed(reason="stop")
        pieces: list[Piece] = []
        reason: FinishReason = closed.reason
        hit = ""
        if self._cutter is not None:
            pieces += self._scan(self._cutter.drain())
            hit = self._cutter.hit
        if hit:
            reason = "stop_sequence"
        return self._verdict(closed, pieces, reason, hit)

    def _verdict(
        self, closed: Closed, pieces: list[Piece], reason: FinishReason, hit: str
    ) -> Outcome:
        calls: tuple[PlannedCall, ...] = ()
        faults: tuple[Fault, ...] = ()
        notes: dict[str, int] = {}
        if self._reader is not None:
            # a call that a stop sequence cut is as unfinished as one that the output limit cut
            verdict = self._reader.drain("length" if hit else reason)
            pieces += self._hold(verdict.pieces)
            calls, faults, notes = verdict.calls, verdict.faults, verdict.notes
            reason = verdict.reason if not hit or verdict.calls else reason
        messages: tuple[Message, ...] = ()
        if faults and self._dressed is not None:
            messages = correction(self._dressed, "".join(self._said), faults)
        elif self._shape is not None and not calls and reason in ("stop", "stop_sequence"):
            text, problems = check_shape("".join(self._held), self._shape)
            if problems:
                faults = (Fault(name="", problems=problems, raw=text),)
                messages = shape_correction("".join(self._said), problems)
            else:
                pieces.append(Text(text))
        elif self._held:
            pieces.append(Text("".join(self._held)))
        return Outcome(
            pieces=tuple(pieces),
            calls=calls,
            faults=faults,
            correction=messages,
            closed=Closed(
                reason=reason,
                raw=closed.raw,
                usage=self._usage.merged(closed.usage),
                stop_sequence=hit,
            ),
            notes=notes,
        )

    def _read(self, text: str) -> list[Piece]:
        self._said.append(text)
        return self._scan(self._cutter.feed(text) if self._cutter is not None else text)

    def _scan(self, text: str) -> list[Piece]:
        if not text:
            return []
        return self._hold(self._reader.feed(text) if self._reader is not None else (Text(text),))

    def _hold(self, pieces: Iterable[Piece]) -> list[Piece]:
        """JSON answers are shown only when they are checked, so their text waits here."""
        if self._shape is None:
            return list(pieces)
        out: list[Piece] = []
        for piece in pieces:
            if isinstance(piece, Text):
                self._held.append(piece.text)
            else:
                out.append(piece)
        return out
