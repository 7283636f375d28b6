"""A fake OpenAI-compatible server that can be stopped and started, and a bridge in front of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientSession, web
from speak import Heard, ask

from sfbridge.config import Config, section
from sfbridge.server.app import create_app
from sfbridge.state.clock import Clock, SystemClock
from tests.fakes.openai_server import Server


class Hasty(SystemClock):
    """Real time, but the waits between attempts take none."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds if seconds > 2 else 0)


class Machine:
    """Where a fake server runs; it can be stopped and started again on its port."""

    def __init__(self, server: Server) -> None:
        self.server = server
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def up(self) -> None:
        self._runner = web.AppRunner(
            self.server.app(), handler_cancellation=True, shutdown_timeout=0.2, access_log=None
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def down(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()


class Bridge:
    def __init__(self, url: str, machine: Machine, http: ClientSession) -> None:
        self.url, self.machine, self.http = url, machine, http

    @property
    def server(self) -> Server:
        return self.machine.server

    async def ask(self, wire: str, prompt: str = "Say hello.", **more: Any) -> Heard:
        model = more.pop("model", "local")
        return await ask(self.http, self.url, wire, model, prompt, **more)


Begin = Callable[..., Coroutine[Any, Any, Bridge]]


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    """Starts a fake server and a bridge in front of it: `await begin(family="vllm", tools="emulated")`."""
    async with AsyncExitStack() as stack:

        async def start(
            *,
            server: Server | None = None,
            running: bool = True,
            config: dict[str, Any] | None = None,
            clock: Clock | None = None,
            **upstream: Any,
        ) -> Bridge:
            machine = Machine(server or Server())
            stack.push_async_callback(machine.down)
            if running:
                await machine.up()
            table = {
                "kind": "openai",
                "base_url": machine.url,
                "connect_retry_seconds": 0,
                **upstream,
            }
            tables = {
                "sandbox": {"enabled": False},
                "models": {"default": "local"},
                "upstream": {"local": table},
                **(config or {}),
            }
            app = create_app(section(tables, Config, ""), clock=clock or Hasty())
            runner = web.AppRunner(
                app, handler_cancellation=True, shutdown_timeout=0.5, access_log=None
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            http = await stack.enter_async_context(ClientSession())
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            return Bridge(url, machine, http)

        yield start
