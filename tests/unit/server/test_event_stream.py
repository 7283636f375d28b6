"""Streams commit late, keep alive when quiet, and end visibly; time is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import ClientResponse, ClientSession, web

from sfbridge.config import Stream
from sfbridge.core.stream import Event, Usage
from sfbridge.server.event_stream import EventStream

Act = Callable[[EventStream], Awaitable[Any]]


class Frames:
    """An encoder with visible frames."""

    def __init__(self) -> None:
        self.opened = False

    def open(self, usage: Usage) -> bytes:
        first, self.opened = not self.opened, True
        return f"open {usage.input}\n\n".encode() if first else b""

    def feed(self, events: Iterable[Event]) -> bytes:
        return b""

    def hold(self) -> bytes:
        return b"hold\n\n"


@asynccontextmanager
async def served(clock: Any, act: Act) -> AsyncIterator[ClientResponse]:
    """A client's response whose server side is played by `act`."""

    async def door(request: web.Request) -> web.StreamResponse:
        stream = EventStream(
            request,
            Frames(),
            opening=lambda: Usage(input=9),
            headers=lambda: {"x-request-id": "r"},
            settings=Stream(patience=5, keep_alive=15, hold_after=240),
            clock=clock,
        )
        async with stream:
            await act(stream)
            return await stream.end(b"last\n\n")

    app = web.Application()
    app.router.add_get("/", door)
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        http = await stack.enter_async_context(ClientSession())
        asking = asyncio.create_task(http.get(f"http://127.0.0.1:{runner.addresses[0][1]}/"))
        yield await asking if not isinstance(act, Paced) else await act.meet(asking)


class Paced:
    """A server side that waits until the test lets it go on."""

    def __init__(self, clock: Any, script: list[float]) -> None:
        self.clock, self.script = clock, script
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self, stream: EventStream) -> None:
        self.begun.set()
        await self.go.wait()

    async def meet(self, asking: asyncio.Task[ClientResponse]) -> ClientResponse:
        await self.begun.wait()
        for seconds in self.script:
            await self.clock.advance(seconds)
        self.go.set()
        return await asking


async def test_a_quick_answer_has_no_extra_frames(clock: Any) -> None:
    """An answer within patience is written as it is, with the promised headers."""

    async def act(stream: EventStream) -> None:
        await stream.send(b"one\n\n")
        await stream.send(b"")
        await stream.send(b"two\n\n")

    async with served(clock, act) as answer:
        assert await answer.text() == "one\n\ntwo\n\nlast\n\n"
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["x-request-id"] == "r"


async def test_nothing_is_written_while_patience_lasts(clock: Any) -> None:
    """Before patience ends no byte binds the status."""
    async with served(clock, Paced(clock, [4.9])) as answer:
        assert await answer.text() == "last\n\n"


async def test_patience_ends_with_the_opening_frame(clock: Any) -> None:
    """After 5 s the opening goes out with the estimate."""
    async with served(clock, Paced(clock, [5.1])) as answer:
        assert await answer.text() == "open 9\n\nlast\n\n"


async def test_quiet_streams_get_a_comment_every_15_seconds(clock: Any) -> None:
    """The heartbeat follows the wall clock, not the upstream."""
    async with served(clock, Paced(clock, [5, 15, 15, 15])) as answer:
        assert await answer.text() == "open 9\n\n" + ":ka\n\n" * 3 + "last\n\n"


async def test_long_silence_is_broken_by_real_events(clock: Any) -> None:
    """From 240 s of silence on, comments alone would not hold Claude Code."""
    async with served(clock, Paced(clock, [5, 300])) as answer:
        frames = (await answer.text()).split("\n\n")
    assert frames.count(":ka") == 15  # at 20, 35, ... 230 s
    assert frames.count("hold") == 5  # at 245, 260, ... 305 s


async def test_talking_streams_get_no_comment(clock: Any) -> None:
    """A comment is sent only when the stream was quiet for the whole interval."""

    async def act(stream: EventStream) -> None:
        for _ in range(6):
            await stream.send(b"x\n\n")
            await clock.advance(10)

    async with served(clock, act) as answer:
        assert ":ka" not in await answer.text()
