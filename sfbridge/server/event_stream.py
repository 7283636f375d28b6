"""The one writer of event streams: commits late, keeps quiet streams alive, ends them visibly.

A status that is not sent yet can still become an error's own status, so nothing is written before the first
frame or the end of patience. Afterwards `:ka` comments hold the line; where the client counts only real
events (`Encoder.hold`), those follow after longer silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final

from aiohttp import web

from sfbridge.config import Stream
from sfbridge.core.stream import Usage
from sfbridge.state.clock import Clock
from sfbridge.wire.base import Encoder

KEEP_ALIVE: Final = b":ka\n\n"
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


class EventStream:
    """One event stream towards one client. Use it as a context manager: the timer lives inside."""

    def __init__(
        self,
        request: web.Request,
        encoder: Encoder,
        *,
        opening: Callable[[], Usage],
        headers: Callable[[], Mapping[str, str]],
        settings: Stream,
        clock: Clock,
    ) -> None:
        self._request = request
        self._encoder = encoder
        self._opening = opening
        self._headers = headers
        self._settings = settings
        self._clock = clock
        self._lock = asyncio.Lock()
        self._response: web.StreamResponse | None = None
        self._timer: asyncio.Task[None] | None = None
        self._last_write = self._last_event = clock.now()
        self.heartbeats = 0

    @property
    def committed(self) -> bool:
        return self._response is not None

    async def __aenter__(self) -> EventStream:
        self._timer = asyncio.create_task(self._keep_alive(), name="keep-alive")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop_timer()

    async def send(self, frames: bytes) -> None:
        """Write the frames of one batch, in one write."""
        if not frames:
            return
        response = self._response or await self._commit()
        self._last_write = self._last_event = self._clock.now()
        await response.write(frames)

    async def end(self, frames: bytes = b"") -> web.StreamResponse:
        """Close the stream, after last frames if there are any."""
        await self._stop_timer()
        response = self._response or await self._commit()
        if frames:
            await response.write(frames)
        # nothing may be awaited after this: a client that has read its end closes, which cancels us
        await response.write_eof()
        return response

    async def _stop_timer(self) -> None:
        if self._timer is not None and not self._timer.done():
            self._timer.cancel()
            await asyncio.wait([self._timer])

    async def _commit(self) -> web.StreamResponse:
        async with self._lock:
            if self._response is None:
                response = web.StreamResponse(headers={**_HEADERS, **self._headers()})
                await response.prepare(self._request)
                self._response = response
            return self._response

    async def _keep_alive(self) -> None:
        """Commit when patience ends; then break every silence."""
        clock, settings = self._clock, self._settings
        try:
            await clock.sleep(settings.patience)
            if self._response is None:
                opening = self._encoder.open(self._opening())
                response = await self._commit()
                if opening:
                    await response.write(opening)
                    self._last_write = clock.now()
            while True:
                quiet = clock.now() - self._last_write
                if quiet < settings.keep_alive:
                    await clock.sleep(settings.keep_alive - quiet)
                    continue
                await self._break_silence()
        except ConnectionError:
            return  # the client is gone; the handler hears of it by itself

    async def _break_silence(self) -> None:
        assert self._response is not None
        now = self._clock.now()
        held = b""
        if now - self._last_event >= self._settings.hold_after:
            held = self._encoder.hold()
        self._last_write = now
        self.heartbeats += 1
        await self._response.write(held or KEEP_ALIVE)
