"""How an accepted answer is read, whatever its dialect: readers are pure, this file gives them bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final, Protocol

from sfbridge.core.stream import Opened, Piece

from .base import Trace
from .http import Response
from .words import one_line

# How long to wait, once an answer is whole, for bookkeeping (usage, sentinels) that may never come, and for
# the end of the body, without which the connection cannot be used again.
BOOKKEEPING_SECONDS: Final = 2.0
LAST_BYTES_SECONDS: Final = 0.2
# Characters of what a model may call itself.
_MOST_NAME: Final = 120


class Reader(Protocol):
    """Bytes in, pieces out, in any chunking.

    settled  the answer is whole; what may follow is bookkeeping
    closed   the terminal piece was given
    """

    settled: bool
    closed: bool

    def feed(self, chunk: bytes) -> list[Piece]: ...

    def drain(self) -> list[Piece]:
        """The last pieces, at the end of the transport. Raises GatewayError when the answer is not whole."""


async def read_pieces(
    response: Response, reader: Reader, trace: Trace, idle: float
) -> AsyncGenerator[Sequence[Piece]]:
    """Batches of pieces, one per read. Ends after the terminal piece or with a GatewayError.

    idle  seconds of silence that a stream may keep once it has begun
    """
    begun = opened = False
    while not reader.closed:
        if reader.settled:
            chunk = await response.some_within(BOOKKEEPING_SECONDS)
        else:
            chunk = await response.some()
        if not begun:
            begun = True
            response.expect_within(idle)
        pieces = reader.feed(chunk) if chunk else reader.drain()
        if pieces:
            opened = opened or note_model(pieces, trace)
            yield pieces
        if not chunk:
            return
    while await response.some_within(LAST_BYTES_SECONDS):
        pass


def note_model(pieces: Sequence[Piece], trace: Trace) -> bool:
    """Note which model says that it answers; whether the pieces told."""
    for piece in pieces:
        if isinstance(piece, Opened):
            trace.answered_by = one_line(piece.model, _MOST_NAME)
            return True
    return False


class OneBatch:
    """A whole answer as the one batch that it is."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces: Sequence[Piece] | None = pieces

    def __aiter__(self) -> OneBatch:
        return self

    async def __anext__(self) -> Sequence[Piece]:
        pieces, self._pieces = self._pieces, None
        if pieces is None:
            raise StopAsyncIteration
        return pieces

    async def aclose(self) -> None:
        self._pieces = None
