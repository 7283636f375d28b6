"""A JSON answer that takes long is padded, and a late failure breaks off visibly; time is moved by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession, web

from sfbridge.core.errors import GatewayError
from sfbridge.server.padding import Padding, meant

HEADERS = {"x-request-id": "r"}
BODY = b'{"a":1}'


class Slow:
    """A body that comes, or fails, when the test says so."""

    def __init__(self, clock: Any, after: float | None = 45.0) -> None:
        self.clock, self.after = clock, after
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.fails: Exception | None = None
        self.told: list[GatewayError] = []
        self.padding: Padding | None = None

    async def body(self) -> bytes:
        self.begun.set()
        await self.go.wait()
        if self.fails is not None:
            raise self.fails
        return BODY

    async def door(self, request: web.Request) -> web.StreamResponse:
        self.padding = Padding(
            request, after=self.after, every=15.0, headers=lambda: HEADERS, clock=self.clock
        )
        try:
            return await self.padding.answer(self.body, self.told.append)
        except GatewayError as error:
            return web.json_response({"error": error.message}, status=504)


@asynccontextmanager
async def asked(slow: Slow) -> AsyncIterator[asyncio.Task[ClientResponse]]:
    """A request under way, whose body has begun to be made."""
    app = web.Application()
    app.router.add_get("/", slow.door)
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        http = await stack.enter_async_context(ClientSession())
        asking = asyncio.create_task(http.get(f"http://127.0.0.1:{runner.addresses[0][1]}/"))
        await slow.begun.wait()
        yield asking
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_quick_answer_is_an_ordinary_one(clock: Any) -> None:
    """Before the time nothing is sent, and the answer has a length and no spaces."""
    slow = Slow(clock)
    async with asked(slow) as asking:
        await clock.advance(44.9)
        slow.go.set()
        answer = await asking
        assert (answer.status, await answer.read()) == (200, BODY)
        assert answer.headers["Content-Length"] == str(len(BODY))


async def test_a_slow_answer_is_padded(clock: Any) -> None:
    """Status and headers come in time, a space follows every 15 s, and the whole is JSON."""
    slow = Slow(clock)
    async with asked(slow) as asking:
        await clock.advance(45)
        answer = await asking
        assert (answer.status, answer.headers["x-request-id"]) == (200, "r")
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        await clock.advance(30)
        slow.go.set()
        data = await answer.read()
        assert data == b"   " + BODY
        assert json.loads(data) == {"a": 1}
        assert slow.padding is not None
        assert slow.padding.pads == 3


async def test_an_early_failure_keeps_its_status(clock: Any) -> None:
    """Nothing was sent yet, so the client hears what went wrong."""
    slow = Slow(clock)
    async with asked(slow) as asking:
        slow.fails = GatewayError("timeout", "too late")
        await clock.advance(44)
        slow.go.set()
        answer = await asking
        assert (answer.status, await answer.json()) == (504, {"error": "too late"})
        assert slow.told == []


@pytest.mark.parametrize("failure", [GatewayError("timeout", "too late"), RuntimeError("a fault")])
async def test_a_late_failure_breaks_the_connection(clock: Any, failure: Exception) -> None:
    """After the status no failure can be told, so the body ends without its end, and is no JSON."""
    slow = Slow(clock)
    async with asked(slow) as asking:
        await clock.advance(45)
        answer = await asking
        slow.fails = failure
        slow.go.set()
        with pytest.raises(ClientError):
            await answer.read()
        assert slow.told == ([failure] if isinstance(failure, GatewayError) else [])


async def test_clients_that_need_none_get_none(clock: Any) -> None:
    """However long it takes, nothing is sent before the answer is there."""
    slow = Slow(clock, after=None)
    async with asked(slow) as asking:
        await clock.advance(500)
        assert not asking.done()
        slow.go.set()
        assert await (await asking).read() == BODY


async def test_leaving_ends_the_padding(clock: Any) -> None:
    """A client that goes away leaves no timer behind."""
    slow = Slow(clock)
    async with asked(slow) as asking:
        await clock.advance(45)
        (await asking).close()
        async with asyncio.timeout(2):
            while any(task.get_name() == "padding" for task in asyncio.all_tasks()):
                await asyncio.sleep(0.005)
    assert slow.told == []


@pytest.mark.parametrize(
    ("key", "client", "found"),
    [
        ("", "OpenAI/JS 5.8", True),
        ("n8n", "x", True),
        ("", "OpenAI/Python", False),
        ("", "", False),
    ],
)
def test_who_is_meant(key: str, client: str, found: bool) -> None:
    """By the beginning of the User-Agent, or by the whole name of the key."""
    assert meant(("OpenAI/JS", "n8n"), key, client) is found
