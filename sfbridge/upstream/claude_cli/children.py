"""The processes of one upstream: how many there may be, who waits for one, which are kept for the next turn.

Whoever waits goes before what is kept: the oldest idle process ends for it, then the oldest that waits for a
tool's result, whose conversation goes on from the client's history.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from sfbridge.core.errors import GatewayError

from .conversation import Conversation
from .settings import Settings

_log = logging.getLogger("sfbridge.upstream.claude_cli")

Spawn = Callable[[str, Coroutine[Any, Any, None]], object]


class Seat:
    """Leave to start one process."""

    __slots__ = ("_live", "taken")

    def __init__(self, live: set[Conversation]) -> None:
        self._live = live
        self.taken = False

    def taken_by(self, conversation: Conversation) -> None:
        """It was started; from now on it is counted until nothing is left of it."""
        self._live.add(conversation)
        self.taken = True


class Children:
    """Every process is in here from before its start until nothing is left of it."""

    def __init__(self, settings: Settings, spawn: Spawn) -> None:
        self._settings = settings
        self._spawn = spawn
        self._seats = asyncio.Semaphore(settings.max_children)
        self._waiting = 0
        self._live: set[Conversation] = set()
        self._kept: dict[Conversation, asyncio.TimerHandle] = {}  # oldest first

    @property
    def live(self) -> int:
        return len(self._live)

    @property
    def kept(self) -> int:
        return len(self._kept)

    @property
    def waiting(self) -> int:
        """Requests that wait for a process."""
        return self._waiting

    @asynccontextmanager
    async def seat(self) -> AsyncIterator[Seat]:
        """Leave to start a process, which is then `taken_by` it or given back. Raises GatewayError when that
        takes too long."""
        self._waiting += 1
        try:
            self._make_room()
            async with asyncio.timeout(self._settings.wait_timeout):
                await self._seats.acquire()
        except TimeoutError:
            raise self._busy() from None
        finally:
            self._waiting -= 1
        seat = Seat(self._live)
        try:
            yield seat
        finally:
            if not seat.taken:
                self._seats.release()

    def keep(self, conversation: Conversation) -> bool:
        """Let a process wait for its next turn; whether it does."""
        settings = self._settings
        seconds = settings.hold_seconds if conversation.waiting else settings.keep_seconds
        if not seconds:
            self.end(conversation)
            return False
        timer = asyncio.get_running_loop().call_later(seconds, self.end, conversation)
        self._kept[conversation] = timer
        if self._waiting:
            self._make_room()
        return conversation in self._kept

    def take(self, session: str) -> Conversation | None:
        """The kept process of a session, which is kept no longer."""
        return self._taken(lambda one: bool(session) and one.session == session)

    def take_by_calls(self, calls: Collection[str], key_id: str) -> Conversation | None:
        """The kept process that waits for the results of these calls, which the same caller was told of."""
        return self._taken(
            lambda one: bool(one.waiting) and one.waiting <= set(calls) and one.key_id == key_id
        )

    def end(self, conversation: Conversation) -> None:
        """End a process in the background."""
        self._forget(conversation)
        if conversation.speaking:
            conversation.child.terminate()  # now, whenever the task gets its turn
        self._spawn(f"end of claude {conversation.child.pid}", self.ended(conversation))

    async def ended(self, conversation: Conversation) -> None:
        """End a process, and wait until nothing is left of it."""
        self._forget(conversation)
        try:
            await conversation.child.end(at_once=conversation.speaking)
        finally:
            if conversation in self._live:
                self._live.discard(conversation)
                self._seats.release()

    async def close(self) -> None:
        """End them all."""
        await asyncio.gather(*map(self.ended, tuple(self._live)))

    def _taken(self, fits: Callable[[Conversation], bool]) -> Conversation | None:
        found = next((one for one in self._kept if fits(one)), None)
        if found is not None:
            self._forget(found)
        return found

    def _forget(self, conversation: Conversation) -> None:
        timer = self._kept.pop(conversation, None)
        if timer is not None:
            timer.cancel()

    def _make_room(self) -> None:
        """End a kept process if a request would have to wait otherwise."""
        if not self._seats.locked():
            return
        idle = [one for one in self._kept if not one.waiting]
        held = [one for one in self._kept if one.waiting]
        for one in (*idle, *held)[:1]:
            self.end(one)

    def _busy(self) -> GatewayError:
        return GatewayError(
            "overloaded",
            f"All {self._settings.max_children} claude processes of this upstream are busy. "
            "Try again later, or raise max_children.",
            code="upstream_busy",
            retry_after=self._settings.wait_timeout,
        )
