"""One request to the server, its status checked; patient while the server restarts.

Waiting happens only while nothing was sent or nothing came back: the connection was refused, it broke before
the first byte, or the server says that it is still loading its model.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientSSLError,
    ClientTimeout,
    ConnectionTimeoutError,
)

from sfbridge.core.errors import GatewayError
from sfbridge.upstream.base import Resources, Trace
from sfbridge.upstream.http import Response, post_along
from sfbridge.upstream.lane import Lane

from .faults import LOADING, Asked, fault
from .settings import Address, Settings
from .standing import Standing

_FIRST_PAUSE: Final = 0.1
_MOST_PAUSE: Final = 2.0
# A request that broke the connection may be what broke the server, so it is not sent for ever.
_MOST_BREAKS: Final = 2

# The code of a server that stayed away for as long as the configuration lets a request wait.
DOWN: Final = "upstream_down"


class Connection:
    """Sends requests for answers, along one of its two lanes: `chat` and `embeddings`."""

    def __init__(
        self,
        address: Address,
        headers: Mapping[str, str],
        settings: Settings,
        resources: Resources,
        standing: Standing,
    ) -> None:
        self._clock, self._wall, self._sleep = resources.clock, resources.wall, resources.sleep
        self._patience = settings.connect_retry_seconds
        self._standing = standing
        timeout = ClientTimeout(
            total=None,
            connect=settings.read_timeout,
            sock_connect=settings.connect_timeout,
            sock_read=settings.read_timeout,
        )
        session = resources.session
        self.chat = Lane(session, address.chat, headers=headers, timeout=timeout)
        self.embeddings = Lane(session, address.embeddings, headers=headers, timeout=timeout)

    @asynccontextmanager
    async def accepted(
        self, lane: Lane, body: bytes, asked: Asked, trace: Trace
    ) -> AsyncIterator[Response]:
        """The answer, its status checked. Raises GatewayError, for an absent server when patience ends."""
        waiting = _Waiting(self._patience, self._clock)
        async with AsyncExitStack() as stack:
            while True:
                try:
                    accepted = self._open(lane, body, asked, trace)
                    response = await stack.enter_async_context(accepted)
                    break
                except GatewayError as error:
                    pause = waiting.after(error)
                    self._standing.failed(error)
                await self._sleep(pause)
            self._standing.succeeded()
            yield response

    @asynccontextmanager
    async def _open(
        self, lane: Lane, body: bytes, asked: Asked, trace: Trace
    ) -> AsyncIterator[Response]:
        async with post_along(lane, body, trace.connected) as response:
            if response.status != 200:
                told = await response.fault_body()
                raise fault(response.status, response.headers, told, asked, self._wall())
            yield response


class _Waiting:
    """How long one request has waited, and whether it goes on."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds
        self._pause = _FIRST_PAUSE
        self._breaks = 0

    def after(self, error: GatewayError) -> float:
        """The seconds until the next attempt. Raises `error`, or what it comes to when patience is used up."""
        if not self._seconds or not self._may_pass(error):
            raise error
        if self._clock() >= self._end:
            raise self._given_up(error) from error
        pause = min(self._pause, max(0.0, self._end - self._clock()))
        self._pause = min(self._pause * 2, _MOST_PAUSE)
        return pause

    def _may_pass(self, error: GatewayError) -> bool:
        if error.code == LOADING:
            return True
        if error.code != "upstream_unreachable":
            return False
        match error.__cause__:
            case ClientConnectorDNSError() | ClientSSLError():
                return False
            case ClientConnectorError() | ConnectionTimeoutError():
                return True
            case _:
                self._breaks += 1
                return self._breaks <= _MOST_BREAKS

    def _given_up(self, error: GatewayError) -> GatewayError:
        """Under a code of its own: waiting anew, attempt by attempt, is not what the setting promises."""
        return GatewayError(
            "upstream_failed",
            error.message,
            said=error.said,
            remedy=f"It stayed so for {self._seconds:g} s (connect_retry_seconds).",
            code=DOWN,
            detail=error.detail,
        )
