"""Ending well: when the server stops, open answers get a grace, then end in their protocol's own error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sfbridge.core.errors import GatewayError

# What an ended answer still needs to write its last frame.
_LAST_WORDS_SECONDS: Final = 1.0


class Draining:
    """Knows every request under way. `stop` waits for them, then interrupts those that remain."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()
        self._interrupted: set[asyncio.Task[object]] = set()
        self.stopping = False

    @property
    def open(self) -> int:
        return len(self._tasks)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Inside it, an interruption by `stop` appears as GatewayError; a client's leaving stays what it is."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._interrupted:
                raise
            task.uncancel()
            raise GatewayError(
                "overloaded",
                "The server is being stopped; ask again when it is back.",
                code="shutting_down",
                retry_after=5,
            ) from None
        finally:
            self._tasks.discard(task)

    async def stop(self, grace: float) -> None:
        self.stopping = True
        if self._tasks and grace > 0:
            await asyncio.wait(self._tasks, timeout=grace)
        self._interrupted |= self._tasks
        for task in self._interrupted:
            task.cancel()
        if self._interrupted:
            await asyncio.wait(self._interrupted, timeout=_LAST_WORDS_SECONDS)
