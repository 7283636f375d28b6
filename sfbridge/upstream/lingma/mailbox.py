"""Where the reader of a connection leaves what it heard for one ask. Leaving never waits: an ask whose client does not
keep up fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from .signals import Ended, Signal

MOST_SIGNALS: Final = 2048


class Overrun(Exception):
    """More signals wait than are kept."""


class Mailbox:
    """Signals of one ask, in order; a failure comes after everything that was heard before it.

    heard  anything came at all
    ended  the process has said that the ask is over
    """

    def __init__(self) -> None:
        self.heard = False
        self.ended = asyncio.Event()
        self._waiting: list[Signal] = []
        self._failure: Exception | None = None
        self._arrived = asyncio.Event()

    def put(self, signals: Iterable[Signal]) -> None:
        for signal in signals:
            if isinstance(signal, Ended):
                self.ended.set()
            self._waiting.append(signal)
        self.heard = True
        if len(self._waiting) > MOST_SIGNALS and self._failure is None:
            self._failure = Overrun()
            self._waiting.clear()
        self._arrived.set()

    def fail(self, failure: Exception) -> None:
        """Nothing more will come."""
        if self._failure is None:
            self._failure = failure
        self.ended.set()
        self._arrived.set()

    async def some(self, seconds: float) -> list[Signal]:
        """Everything that waits, at least one. Raises TimeoutError, or the failure."""
        if not self._waiting and self._failure is None:
            self._arrived.clear()
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        if self._waiting and not isinstance(self._failure, Overrun):
            found, self._waiting = self._waiting, []
            return found
        assert self._failure is not None
        raise self._failure
