"""The loop that every reader of a text event stream has: bytes in, pieces out, an end that must have been told."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sfbridge.core.errors import GatewayError
from sfbridge.core.stream import Piece
from sfbridge.formats.sse import BrokenStream, Events, SseEvent

from .broken import garbled, truncated


class EventReader(ABC):
    """A `Reader` for one answer; the dialect fills in what an event says and what comes at the end.

    The dialect sets `settled` when the answer is whole, and calls `close` at its terminal mark, if it has one.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._events = Events()
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
            raise garbled(self._who, str(error)) from None
        return out

    def drain(self) -> list[Piece]:
        """The end of the transport: the answer must have been whole by then."""
        out: list[Piece] = []
        if not self.closed:
            if not self.settled:
                raise self._unfinished()
            self.close(out)
        return out

    def close(self, out: list[Piece]) -> None:
        """The end was told, or is taken as told."""
        self.settled = self.closed = True
        out += self._end()

    def _unfinished(self) -> GatewayError:
        return truncated(self._who)

    @abstractmethod
    def _event(self, event: SseEvent, out: list[Piece]) -> None:
        """Read one event."""

    @abstractmethod
    def _end(self) -> list[Piece]:
        """The last pieces, the terminal one included."""
