"""One upstream answer read for everything that the upstream could not promise itself: cut at stop sequences,
scanned for tool calls, its own calls checked, its JSON shape too. Pieces in, pieces out, an outcome at the end."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import Message, Shape, Tool, ToolChoice
from sfbridge.core.stream import (
    CallArguments,
    CallClosed,
    CallOpened,
    Closed,
    FinishReason,
    Opened,
    Piece,
    Text,
    Usage,
)

from .dialect import Dressed, Fault, PlannedCall, Verdict
from .native import NativeCalls
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
    """Feed it the pieces of one upstream call, then take its `outcome`.

    dressed  what the tools were turned into, where they are emulated
    tools    what the upstream's own calls are checked against; empty: they pass as they are
    choice   whether it may or must call at all
    shape    the form that the text must have, where the upstream cannot promise it
    stops    where to cut, where the upstream does not
    """

    def __init__(
        self,
        dressed: Dressed | None = None,
        *,
        tools: tuple[Tool, ...] = (),
        choice: ToolChoice = ToolChoice(),
        shape: Shape | None = None,
        stops: tuple[str, ...] = (),
    ) -> None:
        self._dressed = dressed
        self._reader = Reader(dressed) if dressed else None
        self._native = NativeCalls(tools, choice) if tools else None
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
                case CallOpened() | CallArguments() | CallClosed() if self._native is not None:
                    self._native.feed(piece)
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
        hit = ""
        if self._cutter is not None:
            pieces += self._scan(self._cutter.drain())
            hit = self._cutter.hit
        found = self._calls(closed.reason, hit, pieces)
        messages = self._correction(found) if found.faults else ()
        if not found.faults and not found.calls:
            found, messages = self._shaped(found, pieces)
        elif self._held:
            pieces.append(Text("".join(self._held)))
        end = Closed(
            reason=found.reason,
            raw=closed.raw,
            usage=self._usage.merged(closed.usage),
            stop_sequence=hit,
        )
        return Outcome(
            pieces=tuple(pieces),
            calls=found.calls,
            faults=found.faults,
            correction=messages,
            closed=end,
            notes=found.notes,
        )

    def _calls(self, reason: FinishReason, hit: str, pieces: list[Piece]) -> Verdict:
        """The verdict on the calls, emulated or native; what prose was held back goes to `pieces`."""
        if self._reader is not None:
            # a call that a stop sequence cut is as unfinished as one that the output limit cut
            verdict = self._reader.drain("length" if hit else reason)
            pieces += self._hold(verdict.pieces)
            if hit and not verdict.calls:
                return replace(verdict, reason="stop_sequence")
            return verdict
        if hit:
            reason = "stop_sequence"
        if self._native is None:
            return Verdict(pieces=(), calls=(), faults=(), reason=reason, notes={})
        calls, faults, notes = self._native.settle(reason)
        return Verdict(pieces=(), calls=calls, faults=faults, reason=reason, notes=notes)

    def _correction(self, found: Verdict) -> tuple[Message, ...]:
        said = "".join(self._said)
        if self._native is not None:
            return self._native.correction(said)
        assert self._dressed is not None
        return correction(self._dressed, said, found.faults)

    def _shaped(self, found: Verdict, pieces: list[Piece]) -> tuple[Verdict, tuple[Message, ...]]:
        """A held text, checked for its shape; a truncated one leaves as it is, told as truncated."""
        text = "".join(self._held)
        if self._shape is None or found.reason not in ("stop", "stop_sequence"):
            if text:
                pieces.append(Text(text))
            return found, ()
        shown, problems = check_shape(text, self._shape)
        if not problems:
            pieces.append(Text(shown))
            return found, ()
        fault = Fault(name="", problems=problems, raw=shown, kind="form")
        return replace(found, faults=(fault,)), shape_correction("".join(self._said), problems)

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
