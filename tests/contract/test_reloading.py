"""A new configuration takes over without losing a request, or is refused and the old one stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from msgspec.structs import replace
from speak import PATHS, WIRES, body_of, heard

from sfbridge.config import Config, ConfigError, section
from sfbridge.sandbox import ORG, SandboxSettings, create_org
from sfbridge.server.app import create_app

RELOAD = "/v1/sfbridge/reload"


class Desk:
    """A server whose configuration the test rewrites; two orgs stand ready behind it."""

    def __init__(self) -> None:
        self.config = Config()
        self.fault = ""
        self.url = ""
        self.orgs: list[web.Application] = []
        self.urls: list[str] = []
        self.runners: list[web.AppRunner] = []

    def read(self) -> Config:
        if self.fault:
            raise ConfigError(self.fault)
        return self.config

    def of_org(self, number: int, **more: Any) -> Config:
        upstream = {
            "kind": "salesforce",
            "my_domain": self.urls[number],
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
            "surface": "gateway",
        }
        tables = {"upstream": {"salesforce": upstream}, "sandbox": {"enabled": False}, **more}
        return section(tables, Config, "")

    def asked(self, number: int) -> int:
        return int(self.orgs[number][ORG].calls.count())


async def listen(stack: AsyncExitStack, app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


def address(runner: web.AppRunner) -> str:
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            desk.orgs.append(create_org(SandboxSettings()))
            desk.runners.append(await listen(stack, desk.orgs[-1]))
            desk.urls.append(address(desk.runners[-1]))
        desk.config = desk.of_org(0)
        desk.url = address(await listen(stack, create_app(desk.config, reread=desk.read)))
        yield desk


async def reload(desk: Desk, http: ClientSession, **headers: str) -> tuple[int, Any]:
    async with http.post(desk.url + RELOAD, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_the_next_request_finds_the_new_configuration(desk: Desk) -> None:
    """After a reload another org answers, and the changed paths are named without their values."""
    async with ClientSession() as http:
        body = body_of("openai", "gpt-4o")
        async with http.post(desk.url + PATHS["openai"], json=body) as answer:
            assert answer.status == 200
        before = desk.asked(1)
        desk.config = desk.of_org(1)
        status, told = await reload(desk, http)
        assert (status, told) == (
            200,
            {"changed": ["upstream.salesforce.my_domain"], "needs_restart": []},
        )
        async with http.post(desk.url + PATHS["openai"], json=body) as answer:
            assert answer.status == 200
        assert desk.asked(1) > before


@pytest.mark.parametrize("wire", WIRES)
async def test_open_requests_finish_on_the_old_upstream(desk: Desk, wire: str) -> None:
    """A stream that was open at the reload is delivered whole by the org it began with, which then is let go."""
    desk.config = desk.of_org(0, stream={"patience": 0.05, "keep_alive": 0.05})
    async with ClientSession() as http:
        await reload(desk, http)
        body = body_of(wire, "sfdc_ai__Defaultsandbox-slow-1", stream=True)
        async with http.post(desk.url + PATHS[wire], json=body) as answer:
            first = await answer.content.readany()
            # another pool, too: an idle connection of a pool that stays may outlive its upstream
            desk.config = desk.of_org(1, http={"idle_seconds": 9.0})
            assert (await reload(desk, http))[0] == 200
            assert heard(wire, 200, answer.headers, first + await answer.read()).whole
        async with asyncio.timeout(5):
            while desk.runners[0].server and desk.runners[0].server.connections:
                await asyncio.sleep(0.005)


async def test_a_broken_configuration_is_refused(desk: Desk) -> None:
    """The path of the fault is told, and the old configuration goes on answering."""
    async with ClientSession() as http:
        for broken in ("surface", "kind"):
            desk.config = desk.of_org(0)
            desk.config.upstream["salesforce"][broken] = "nonsense"
            status, told = await reload(desk, http)
            assert status == 400
            assert f"upstream.salesforce.{broken}" in told["error"]["message"]
        desk.fault = "config.toml: not valid TOML: at line 3"
        status, told = await reload(desk, http)
        assert (status, told["error"]["code"]) == (400, "configuration_refused")
        assert "line 3" in told["error"]["message"]
        async with http.post(desk.url + PATHS["openai"], json=body_of("openai", "gpt-4o")) as now:
            assert now.status == 200


async def test_what_needs_a_restart_is_said(desk: Desk) -> None:
    """A port cannot change while the server runs; the answer says so and everything else takes effect."""
    desk.config = desk.of_org(0, keys={"me": "a-key-of-mine"})
    desk.config = replace(desk.config, server=replace(desk.config.server, port=1234))
    async with ClientSession() as http:
        status, told = await reload(desk, http)
        assert status == 200
        assert told == {"changed": ["keys.me"], "needs_restart": ["server.port"]}
        assert (await reload(desk, http))[0] == 401
        status, told = await reload(desk, http, Authorization="Bearer a-key-of-mine")
        assert (status, told["changed"]) == (200, [])


async def test_gates_and_limits_follow_a_reload_and_keep_their_counts(desk: Desk) -> None:
    """A request of the old configuration still takes its place at the new limit, and what a key used stays used."""
    keys = {"me": {"secret": "a-key-of-mine", "requests_per_minute": 2}}
    mine = {"Authorization": "Bearer a-key-of-mine"}
    slow = body_of("openai", "sfdc_ai__Defaultsandbox-slow-1")
    async with ClientSession(headers=mine) as http:

        async def asked(body: Any) -> int:
            async with http.post(desk.url + PATHS["openai"], json=body) as answer:
                return answer.status

        desk.config = desk.of_org(0, keys=keys)
        await reload(desk, http)
        running = asyncio.create_task(asked(slow))
        gates: dict[str, Any] = {}
        async with asyncio.timeout(5):
            while not gates.get("salesforce", {}).get("in_flight"):
                async with http.get(desk.url + "/v1/sfbridge/stats") as told:
                    gates = (await told.json())["gates"]
        desk.config = desk.of_org(1, keys=keys)
        desk.config.upstream["salesforce"].update(in_flight=1, queue=0)
        assert (await reload(desk, http))[0] == 200
        assert await asked(body_of("openai", "gpt-4o")) == 503
        assert await running == 200
        assert await asked(body_of("openai", "gpt-4o")) == 429


async def test_web_pages_cannot_reload(desk: Desk) -> None:
    """A page of another origin is turned away before anything is read."""
    desk.fault = "was read"
    async with ClientSession() as http:
        status, told = await reload(desk, http, Origin="https://evil.example")
    assert (status, told["error"]["code"]) == (403, "foreign_origin")


async def test_a_proxy_cannot_reload(desk: Desk) -> None:
    """Behind a proxy everybody would look local, so nobody is."""
    async with ClientSession() as http:
        status, told = await reload(desk, http, **{"X-Forwarded-For": "192.0.2.7"})
    assert (status, told["error"]["code"]) == (403, "loopback_only")


async def test_reloads_under_load_lose_nothing(desk: Desk) -> None:
    """Fifty requests and ten reloads at once: every request has its whole answer."""
    async with ClientSession() as http:

        async def ask(number: int) -> int:
            body = body_of("openai", "gpt-4o", stream=bool(number % 2))
            async with http.post(desk.url + PATHS["openai"], json=body) as answer:
                heard("openai", answer.status, answer.headers, await answer.read())
                return answer.status

        async def turn_over() -> None:
            for number in range(10):
                desk.config = desk.of_org(number % 2)
                assert (await reload(desk, http))[0] == 200

        *found, _ = await asyncio.gather(*map(ask, range(50)), turn_over())
    assert found == [200] * 50


async def test_an_unchanged_upstream_stays_open(desk: Desk) -> None:
    """A reload that does not touch an upstream keeps its token; the one that changes it fetches a new one."""
    org = desk.orgs[0][ORG]
    async with ClientSession() as http:
        body = body_of("openai", "gpt-4o")

        async def answered() -> int:
            async with http.post(desk.url + PATHS["openai"], json=body) as answer:
                assert answer.status == 200
            return org.token_mints

        assert await answered() == 1
        for seconds in (4.0, 3.0):
            desk.config = desk.of_org(0, stream={"patience": seconds})
            assert (await reload(desk, http))[1]["changed"] == ["stream.patience"]
            assert await answered() == 1
        desk.config = desk.of_org(0, http={"idle_seconds": 7.0})
        await reload(desk, http)
        assert await answered() == 2


async def test_a_secret_that_changed_in_its_file_is_taken_up(desk: Desk, tmp_path: Path) -> None:
    """After a reload the file's new content counts, though the configuration names the same file."""
    secret = tmp_path / "secret"
    secret.write_text("sandbox-secret")
    desk.config = desk.of_org(0)
    table = desk.config.upstream["salesforce"]
    del table["client_secret"]
    table["client_secret_file"] = str(secret)
    async with ClientSession() as http:
        assert (await reload(desk, http))[0] == 200
        secret.write_text("another-secret")
        assert (await reload(desk, http))[0] == 200
        body = body_of("openai", "gpt-4o")
        async with http.post(desk.url + PATHS["openai"], json=body) as answer:
            assert answer.status in (401, 403, 502)


@pytest.mark.parametrize(
    "keys", [{"laptop": "another-secret-now"}, {"desk": "a-secret-of-some-length"}]
)
async def test_a_dashboard_leaves_with_its_key(desk: Desk, keys: dict[str, str]) -> None:
    """A key that a reload replaced or took away opens the dashboard no more, though its browser has a cookie."""
    desk.config = desk.of_org(0, keys={"laptop": "a-secret-of-some-length"})
    async with ClientSession() as http:
        assert (await reload(desk, http))[0] == 200
        enter = desk.url + "/dashboard/enter"
        async with http.post(enter, json={"key": "a-secret-of-some-length"}) as answer:
            cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
        key = {"Authorization": "Bearer a-secret-of-some-length"}
        assert (await reload(desk, http, **key))[0] == 200
        async with http.get(desk.url + "/dashboard/open", headers=cookie) as answer:
            assert answer.status == 200, "a reload that leaves the key alone asks nobody again"
        desk.config = desk.of_org(0, keys=keys)
        assert (await reload(desk, http, **key))[0] == 200
        async with http.get(desk.url + "/dashboard/open", headers=cookie) as answer:
            assert answer.status == 401
