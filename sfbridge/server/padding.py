"""One JSON body that takes long: committed and padded with spaces for clients that give up without headers.

n8n's chat model does after 60 s (measured), and repeats the whole request. JSON may begin with white space, so
spaces hold the line; what is lost is the status of a later failure, which then breaks the connection off instead.
Therefore only the clients that need it are padded for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Final

from aiohttp import web

from sfbridge.core.errors import GatewayError
from sfbridge.state.clock import Clock

from .hall import JSON_TYPE

_PAD: Final = b" "


def meant(names: Sequence[str], key: str, client: str) -> bool:
    """Whether a list of User-Agent prefixes and key names means this caller."""
    return any(name == key or client.startswith(name) for name in names)


class Padding:
    """One JSON answer towards one client.

    after    seconds until the status is sent and the first space written; None: never
    every    seconds between two spaces
    headers  what the answer says of its own making, asked for when the status is sent
    """

    def __init__(
        self,
        request: web.Request,
        *,
        after: float | None,
        every: float,
        headers: Callable[[], Mapping[str, str]],
        clock: Clock,
    ) -> None:
        self._request = request
        self._after = after
        self._every = every
        self._headers = headers
        self._clock = clock
        self._response: web.StreamResponse | None = None
        self._timer: asyncio.Task[None] | None = None
        self._whole = False
        self.pads = 0

    async def answer(
        self, body: Callable[[], Awaitable[bytes]], failed: Callable[[GatewayError], None]
    ) -> web.StreamResponse:
        """The body as an answer. A failure is raised as long as it can have its own status; afterwards it is told
        to `failed`, and the connection is broken off."""
        if self._after is None:
            return self._at_once(await body())
        async with self:
            try:
                data = await body()
            except GatewayError as error:
                if self._response is None:
                    raise
                failed(error)
                return self._response
            return await self._end(data)

    async def __aenter__(self) -> Padding:
        self._timer = asyncio.create_task(self._pad(), name="padding")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop_timer()
        transport = self._request.transport
        if self._response is not None and not self._whole and transport is not None:
            transport.close()  # without the last chunk, nobody takes it for whole

    def _at_once(self, data: bytes) -> web.Response:
        return web.Response(body=data, headers={"Content-Type": JSON_TYPE})

    async def _end(self, data: bytes) -> web.StreamResponse:
        await self._stop_timer()
        response = self._response
        if response is None:
            return self._at_once(data)
        await response.write(data)
        self._whole = True
        # nothing may be awaited after this: a client that has read its end closes, which cancels us
        await response.write_eof()
        return response

    async def _stop_timer(self) -> None:
        if self._timer is not None and not self._timer.done():
            self._timer.cancel()
            await asyncio.wait([self._timer])

    async def _pad(self) -> None:
        await self._clock.sleep(self._after or 0.0)
        response = web.StreamResponse(headers={"Content-Type": JSON_TYPE, **self._headers()})
        # from here on an error has no status of its own any more
        self._response = response
        try:
            await response.prepare(self._request)
            while True:
                await response.write(_PAD)
                self.pads += 1
                await self._clock.sleep(self._every)
        except ConnectionError:
            return  # the client is gone; the handler hears of it by itself
