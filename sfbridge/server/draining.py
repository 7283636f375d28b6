"""Ending well: when the server stops, open answers get a grace, then end in their protocol's own error."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

from sfbridge.core.errors import GatewayError

# What an ended answer still needs to write its last frame.
_LAST_WORDS_SECONDS: Final = 1.0


class Draining:
    """Knows every request under way. `stop` waits for them, then interrupts those that remain."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()
        self._interrupted: set[asyncio.Task[object]] = set()
        self._hurry = asyncio.Event()
        self.stopping = False

    @property
    def open(self) -> int:
        return len(self._tasks)

    def interruptible(self) -> _Interruptible:
        """Inside it, an interruption by `stop` appears as GatewayError; a client's leaving stays what it is."""
        return _Interruptible(self._tasks, self._interrupted)

    def hurry(self) -> None:
        """End the grace now."""
        self._hurry.set()

    async def stop(self, grace: float) -> None:
        """Wait for open answers, `grace` seconds at the most, then interrupt those that remain."""
        self.stopping = True
        if self._tasks and grace > 0 and not self._hurry.is_set():
            hurried = asyncio.ensure_future(self._hurry.wait())
            finished = asyncio.ensure_future(asyncio.wait(self._tasks))
            await asyncio.wait(
                (finished, hurried), timeout=grace, return_when=asyncio.FIRST_COMPLETED
            )
            finished.cancel()
            hurried.cancel()
        self._interrupted |= self._tasks
        for task in self._interrupted:
            task.cancel()
        if self._interrupted:
            await asyncio.wait(self._interrupted, timeout=_LAST_WORDS_SECONDS)


class _Interruptible:
    """One task's stay in an answer that `stop` may interrupt."""

    __slots__ = ("_interrupted", "_task", "_tasks")

    def __init__(
        self, tasks: set[asyncio.Task[object]], interrupted: set[asyncio.Task[object]]
    ) -> None:
        self._tasks = tasks
        self._interrupted = interrupted
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[object] = task

    def __enter__(self) -> None:
        self._tasks.add(self._task)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tasks.discard(self._task)
        if kind is asyncio.CancelledError and self._task in self._interrupted:
            self._task.uncancel()
            raise GatewayError(
                "overloaded",
                "The server is being stopped; ask again when it is back.",
                code="shutting_down",
                retry_after=5,
            ) from None
