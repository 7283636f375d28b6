"""What every test may use: an injected clock, and a running server with its sandbox org on real sockets."""

from __future__ import annotations

import asyncio
import heapq
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientSession, web
from claude_bench import claude  # noqa: F401  a fixture
from hypothesis import settings
from lingma_bench import lingma  # noqa: F401  a fixture
from listening import listen
from local_bench import begin  # noqa: F401  a fixture

from sfbridge.config import Config, section
from sfbridge.sandbox import ORG, SandboxSettings, create_org
from sfbridge.server.app import create_app
from sfbridge.state.clock import SystemClock


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bless", action="store_true", help="rewrite the golden files with what was found"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Nobody's own conversations are touched, neither here nor by servers that tests start."""
    state = tempfile.TemporaryDirectory(prefix="sfbridge-state-")
    os.environ["XDG_STATE_HOME"] = state.name
    config.add_cleanup(state.cleanup)


# On a machine that only judges, the same examples every time; at the desk, new ones.
settings.register_profile("judging", derandomize=True)
settings.load_profile("judging" if os.environ.get("CI") else "default")


class HandClock:
    """A clock that moves only when `advance` is called; sleepers wake in order."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_700_000_000.0 + self.time

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self.time + seconds, self._order, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move on, waking each sleeper at its moment and letting it act before the next."""
        end = self.time + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.time, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
            await settle()
        self.time = end


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


class Bridge:
    """A running server, the sandbox org behind it, and a client session to knock with."""

    def __init__(
        self, url: str, org_app: web.Application, app: web.Application, http: ClientSession
    ) -> None:
        self.url = url
        self.org = org_app[ORG]
        self.app = app
        self.http = http


StartBridge = Callable[..., Coroutine[Any, Any, Bridge]]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def start() -> AsyncIterator[StartBridge]:
    """Starts bridges: `await start(surface="platform", org={...}, config={...})`."""
    async with AsyncExitStack() as stack:

        async def begin(
            *,
            surface: str = "auto",
            org: dict[str, Any] | None = None,
            config: dict[str, Any] | None = None,
            upstream: dict[str, Any] | None = None,
            clock: Any = None,
        ) -> Bridge:
            org_app = create_org(section(org or {}, SandboxSettings, "sandbox"))
            org_url = await listen(stack, org_app)
            tables: dict[str, Any] = {
                "sandbox": {"enabled": False},
                "upstream": {
                    "salesforce": {
                        "kind": "salesforce",
                        "my_domain": org_url,
                        "client_id": "sandbox-client",
                        "client_secret": "sandbox-secret",
                        "surface": surface,
                        **(upstream or {}),
                    }
                },
                **(config or {}),
            }
            app = create_app(section(tables, Config, ""), clock=clock or SystemClock())
            url = await listen(stack, app)
            http = await stack.enter_async_context(ClientSession())
            return Bridge(url, org_app, app, http)

        yield begin
