"""What is known of the server now, and when it is asked again: after a failure, a change, and a minute."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from sfbridge.core.errors import GatewayError
from sfbridge.upstream.base import Resources

from .detect import Found, Looker
from .standing import Standing

_log = logging.getLogger("sfbridge.upstream.openai")

# How old an undoubted answer may grow; how soon a doubted one may be asked for again; how long a request (and
# the start of the program) waits for it. Seconds.
REFRESH: Final = 60.0
AGAIN: Final = 1.0
WAIT: Final = 2.0
# How old the last sign of life may be before health asks for a new one.
SIGN: Final = 10.0


class Knowledge:
    """The last look at the server; one look at a time, however many wait for it."""

    def __init__(
        self,
        looker: Looker,
        standing: Standing,
        resources: Resources,
        changed: Callable[[Found], None],
    ) -> None:
        self._looker = looker
        self._standing = standing
        self._clock = resources.clock
        self._spawn = resources.spawn
        self._changed = changed
        self._looking: asyncio.Future[None] | None = None
        self._begun = float("-inf")
        self._warned = False
        self.found: Found | None = None

    async def current(self) -> Found | None:
        """What is known; waits a little for what is missing or in doubt. None before the first answer."""
        unsure = self.found is None or self._standing.doubtful
        age = self._clock() - self._begun
        if self._looking is None and age >= (AGAIN if unsure else REFRESH):
            self._begin()
        if unsure and self._looking is not None:
            await asyncio.wait([self._looking], timeout=WAIT)
        return self.found

    def sign_of_life(self) -> None:
        """Begin a look in the background when the last one is old."""
        if self._looking is None and self._clock() - self._begun >= SIGN:
            self._begin()

    def _begin(self) -> None:
        self._begun = self._clock()
        self._looking = asyncio.get_running_loop().create_future()
        self._spawn("model server look", self._look(self._looking))

    async def _look(self, done: asyncio.Future[None]) -> None:
        try:
            found = await self._looker.look()
        except GatewayError as error:
            self._standing.failed(error)
            if not self._warned:
                _log.warning("the model server could not be asked: %s", error)
            self._warned = True
        else:
            self._warned = False
            self._standing.succeeded()
            self._standing.settled()
            if found != self.found:
                self._changed(found)
            self.found = found
        finally:
            self._looking = None
            if not done.done():
                done.set_result(None)
