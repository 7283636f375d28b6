"""A bridge in front of simulated Lingma processes, which it starts and ends itself as it would the vendor's."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from speak import Heard, ask, body_of

from sfbridge.config import Config, section
from sfbridge.server.app import create_app
from sfbridge.state.clock import SystemClock
from tests.fakes.lingma_sim.installing import install

SECRET = "SIM-SECRET"


class Bench:
    """A running bridge, its simulated processes and a session to knock with."""

    def __init__(self, url: str, runner: web.AppRunner, http: ClientSession, data: Path) -> None:
        self.url, self.http, self.data = url, http, data
        self.close = runner.cleanup

    async def ask(self, wire: str, prompt: str = "hello", **more: Any) -> Heard:
        found = await ask(
            self.http, self.url, wire, more.pop("model", "lingma/auto"), prompt, **more
        )
        assert SECRET.encode() not in found.body
        assert SECRET not in str(found.headers)
        return found

    async def talk(self, wire: str, messages: list[dict[str, Any]], **more: Any) -> Heard:
        """Ask with a whole conversation."""
        return await self.ask(wire, messages=messages, **more)

    async def json(self, path: str) -> Any:
        async with self.http.get(self.url + path) as answer:
            text = await answer.text()
            assert SECRET not in text
            return json.loads(text)

    def workdir(self, index: int = 0) -> Path:
        return self.data / f"instance-{index}"

    def stats(self, index: int = 0) -> dict[str, Any]:
        return dict(json.loads((self.workdir(index) / "sim-stats.json").read_text()))

    def pid(self, index: int = 0) -> int:
        return int((self.workdir(index) / ".sfbridge-pid").read_text())

    async def facts(self) -> dict[str, Any]:
        return dict((await self.json("/readyz"))["upstreams"]["lingma"])

    async def until(
        self, check: Callable[[], bool | Coroutine[Any, Any, bool]], seconds: float = 10
    ) -> None:
        """Return when something has come true that only the outside shows."""
        async with asyncio.timeout(seconds):
            while True:
                found = check()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return
                await asyncio.sleep(0.02)

    async def ready(self, count: int = 1) -> None:
        """Return when so many instances are ready."""

        async def are_ready() -> bool:
            facts = await self.facts()
            return sum(facts.get(f"instance_{i}") == "ready" for i in range(16)) == count

        await self.until(are_ready)

    async def idle(self) -> None:
        """Return when no question is under way; fails when a place is not given back."""

        async def given_back() -> bool:
            facts = await self.facts()
            return facts["in_flight"] == 0 and facts["waiting"] == 0

        await self.until(given_back)


def running(data: Path) -> list[int]:
    """The processes whose command line names a workdir below `data`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(data) in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


BeginLingma = Callable[..., Coroutine[Any, Any, Bench]]

QUICK = {
    "restart_delay": 0.05, "stop_timeout": 1.0, "affinity_wait": 0.5, "login_interval": 0.3, "ping_interval": 0.3,
    "ping_timeout": 0.5,
}  # fmt: skip


@pytest.fixture
async def lingma(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[BeginLingma]:
    """Starts a bridge over simulated processes: `await lingma(sim={...}, instances=3)`. Afterwards no process may be
    left, no push unanswered, and no secret anywhere in the log."""
    caplog.set_level(logging.DEBUG)
    data = tmp_path / "data"
    benches: list[Bench] = []
    async with AsyncExitStack() as stack:

        async def begin(
            *,
            sim: dict[str, Any] | None = None,
            config: dict[str, Any] | None = None,
            logged_in: bool = True,
            **upstream: Any,
        ) -> Bench:
            source = tmp_path / "installed"
            if not source.exists():
                install(source, logged_in=logged_in, **(sim or {}))
            table = {
                "kind": "lingma",
                "source": str(source),
                "data_dir": str(data),
                **QUICK,
                **upstream,
            }
            tables = {
                "sandbox": {"enabled": False},
                "models": {"default": "lingma/auto"},
                "upstream": {"lingma": table},
                **(config or {}),
            }
            app = create_app(section(tables, Config, ""), clock=SystemClock())
            runner = web.AppRunner(
                app, handler_cancellation=True, shutdown_timeout=0.5, access_log=None
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            http = await stack.enter_async_context(ClientSession())
            bench = Bench(f"http://127.0.0.1:{runner.addresses[0][1]}", runner, http, data)
            benches.append(bench)
            return bench

        yield begin
    assert running(data) == []
    assert SECRET not in caplog.text
    for file in data.glob("*/sim-stats.json"):
        stats = json.loads(file.read_text())
        for fault in ("unacknowledged", "wrong_length", "without_header", "params_not_object", "before_initialize",
                      "foreign_sessions", "empty_session", "strange_asks", "busy_sessions"):  # fmt: skip
            assert stats.get(fault, 0) == 0, (fault, stats)
        for fault in ("odd_acknowledgements", "unknown_notifications"):
            assert stats.get(fault, []) == [], (fault, stats)


__all__ = ["BeginLingma", "Bench", "body_of", "install", "lingma", "running"]
