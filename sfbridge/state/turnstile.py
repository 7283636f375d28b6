"""One at a time: who is through a named turnstile, and who waits before it, in the order of their coming."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Final

from .clock import Clock

# Who comes when so many wait already is sent away at once.
_MOST_WAITING: Final = 16


class Turnstile:
    """Names that are not in use cost nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    def __contains__(self, name: Hashable) -> bool:
        """Whether somebody is through."""
        return name in self._waiting

    def crowded(self, name: Hashable) -> bool:
        """Whether so many wait that nobody else may."""
        return len(self._waiting.get(name, ())) >= _MOST_WAITING

    def take(self, name: Hashable) -> None:
        """Go through a turnstile that nobody else can know yet."""
        assert name not in self._waiting, "somebody was there before"
        self._waiting[name] = deque()

    async def enter(self, name: Hashable, patience: float) -> bool:
        """Go through, after waiting `patience` seconds at the most; False when it took longer. Then `leave`."""
        queue = self._waiting.get(name)
        if queue is None:
            self.take(name)
            return True
        if self.crowded(name):
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        timer = asyncio.ensure_future(self._clock.sleep(patience))
        try:
            await asyncio.wait((turn, timer), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._withdraw(name, queue, turn)
            raise
        finally:
            timer.cancel()
        if turn.done():
            return True
        self._withdraw(name, queue, turn)
        return False

    def leave(self, name: Hashable) -> None:
        """Let the next one through."""
        queue = self._waiting[name]
        if queue:
            queue.popleft().set_result(None)
        else:
            del self._waiting[name]

    def _withdraw(
        self, name: Hashable, queue: deque[asyncio.Future[None]], turn: asyncio.Future[None]
    ) -> None:
        """Stop waiting; who was let through in this very moment passes it on."""
        if turn.done():
            self.leave(name)
        else:
            queue.remove(turn)
