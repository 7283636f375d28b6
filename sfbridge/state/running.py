"""Turns under way, and a feed that wakes whoever watches them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sfbridge.core.receipt import Glimpse


class Feed:
    """Tells watchers that something changed. `number` grows with every change.

    A watcher that is slow misses changes in between, never the last one, and holds nobody up:

        seen = feed.number
        while True:
            seen = await feed.changed(seen)
            ...look...
    """

    def __init__(self) -> None:
        self.number = 0
        self._watchers: list[asyncio.Future[None]] = []

    def poke(self) -> None:
        """Something changed."""
        self.number += 1
        if self._watchers:
            watchers, self._watchers = self._watchers, []
            for watcher in watchers:
                if not watcher.done():
                    watcher.set_result(None)

    async def changed(self, seen: int) -> int:
        """Wait until something has changed since `seen`; the number to go on with."""
        while self.number == seen:
            watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watchers.append(watcher)
            try:
                await watcher
            finally:
                if watcher in self._watchers:
                    self._watchers.remove(watcher)
        return self.number


class Running:
    """The turns under way. `feed` is poked when one begins and when one has ended and its receipt is written."""

    def __init__(self) -> None:
        self.feed = Feed()
        self._turns: dict[str, Callable[[], Glimpse]] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def begin(self, turn: str, look: Callable[[], Glimpse]) -> None:
        self._turns[turn] = look
        self.feed.poke()

    def end(self, turn: str) -> None:
        self._turns.pop(turn, None)
        self.feed.poke()

    def now(self) -> tuple[Glimpse, ...]:
        """Each turn as it stands, the oldest first."""
        return tuple([look() for look in self._turns.values()])
