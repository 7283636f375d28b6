"""A generation: what one configuration opened. Requests finish on the one they began with, whatever comes after it.

`Generations` holds the present one and replaces it; an old one closes when its last request has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

from sfbridge.config import Config

from .opening import Lasting, Opened, opened


class Generation:
    """One configuration and what it opened. `enter` and `leave` bracket every request."""

    def __init__(self, config: Config, found: Opened) -> None:
        self.config = config
        self.keys = found.keys
        self.gateway = found.gateway
        self.embeddings = found.embeddings
        self._stack = found.stack
        self._requests = 0
        self._last: Callable[[], object] | None = None

    def enter(self) -> Generation:
        self._requests += 1
        return self

    def leave(self) -> None:
        self._requests -= 1
        if not self._requests and self._last is not None:
            self._last()

    def retire(self, last: Callable[[], object]) -> None:
        """Call `last` once no request is left; none may enter from now on."""
        self._last = last
        if not self._requests:
            last()

    async def close(self) -> None:
        await self._stack.aclose()


class Generations:
    """The present generation, and the older ones that still have requests."""

    def __init__(
        self,
        first: Generation,
        lasting: Lasting,
        spawn: Callable[[str, Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self.now = first
        self._lasting = lasting
        self._spawn = spawn
        self._open = {first}
        self._ending: set[asyncio.Task[None]] = set()

    async def replace(self, config: Config, sandbox: str) -> None:
        """Open a configuration and let every request from now on have it. Raises ConfigError with the path of the
        fault where it cannot be opened; then the one before stays."""
        before = self.now
        self.now = Generation(config, await opened(config, self._lasting, sandbox))
        self._open.add(self.now)
        before.retire(lambda: self._end(before))

    def _end(self, old: Generation) -> None:
        self._open.discard(old)
        task = self._spawn("old configuration", old.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def __aenter__(self) -> Generations:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.gather(*self._ending, *(each.close() for each in self._open))
