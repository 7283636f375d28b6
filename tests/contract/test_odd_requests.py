"""Requests that real programs send and that a careless server answers with 500, silence or a lie."""

from __future__ import annotations

import asyncio
import io
import json
import zlib
from typing import Any

import pytest
from aiohttp import web
from speak import ASK, PATHS, WIRES, body_of, check_envelope

BOTH = pytest.mark.parametrize("wire", WIRES)


@pytest.mark.parametrize("host", ["[::1", "a b", "evil.example", "evil.localhost.example"])
async def test_foreign_and_broken_hosts_are_refused(start: Any, host: str) -> None:
    """What is no host of ours is 403, also when it is no host at all."""
    bridge = await start(surface="platform")
    async with bridge.http.get(bridge.url + "/v1/models", headers={"Host": host}) as answer:
        assert answer.status == 403
        check_envelope("openai", await answer.json(), answer.headers)


@pytest.mark.parametrize(
    "host", ["localhost:1", "LOCALHOST", "localhost.", "[::1]:8", "My.Host", "x.localhost"]
)
async def test_own_hosts_are_served(start: Any, host: str) -> None:
    """Names of this machine and configured ones are served, however they are written."""
    bridge = await start(surface="platform", config={"server": {"allowed_hosts": ["My.Host"]}})
    async with bridge.http.get(bridge.url + "/v1/models", headers={"Host": host}) as answer:
        assert answer.status == 200


async def test_a_refused_origin_is_not_told_that_it_may_read(start: Any) -> None:
    """Only an allowed page is echoed."""
    bridge = await start(surface="platform")
    async with bridge.http.get(
        bridge.url + "/v1/models", headers={"Origin": "https://evil"}
    ) as answer:
        assert answer.status == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


@BOTH
@pytest.mark.parametrize(("encoding", "status"), [("deflate", 200), ("gzip", 400)])
async def test_compressed_bodies(start: Any, wire: str, encoding: str, status: int) -> None:
    """A body that is compressed as it says is read; one that is not is the client's fault."""
    bridge = await start(surface="platform")
    data = zlib.compress(json.dumps(body_of(wire, "gpt-4o")).encode())
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    async with bridge.http.post(bridge.url + PATHS[wire], data=data, headers=headers) as answer:
        assert answer.status == status


@BOTH
@pytest.mark.parametrize("surface", ["gateway", "platform"])
async def test_instructions_alone_are_answered(start: Any, wire: str, surface: str) -> None:
    """A conversation of system messages only is what some nodes send."""
    bridge = await start(surface=surface)
    body = body_of(wire, "gpt-4o")
    body["messages"] = [{"role": "system", "content": "Say hello."}]
    async with bridge.http.post(bridge.url + PATHS[wire], json=body) as answer:
        assert answer.status == 200


@BOTH
@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"input": {"type": "string"}}},
        {"type": ["object"]},
        {"anyOf": [{"type": "object", "properties": {"input": {"type": "string"}}}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}},
    ],
)
@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-6"])
async def test_one_odd_schema_spoils_nothing(
    start: Any, wire: str, schema: Any, model: str
) -> None:
    """A tool whose schema the upstream would refuse does not take the whole request with it."""
    bridge = await start(surface="gateway")
    tool = {"name": "odd", "description": "Does something."}
    if wire == "anthropic":
        tools = [{**tool, "input_schema": schema}]
    else:
        tools = [{"type": "function", "function": {**tool, "parameters": schema}}]
    body = body_of(wire, model, ASK, tools=True)
    body["tools"] += tools
    async with bridge.http.post(bridge.url + PATHS[wire], json=body) as answer:
        assert answer.status == 200, await answer.text()
        assert "calculator" in await answer.text()


@BOTH
async def test_a_large_prompt_passes_without_a_warning(start: Any, wire: str) -> None:
    """Megabytes are sent on in pieces; nothing warns, nothing blocks."""
    bridge = await start(surface="gateway", org={"character_cap": 0, "window": 10_000_000})
    data = io.BytesIO(json.dumps(body_of(wire, "gpt-4o", "Say hello. " * 200_000)).encode())
    headers = {"Content-Type": "application/json"}
    async with bridge.http.post(bridge.url + PATHS[wire], data=data, headers=headers) as answer:
        assert answer.status == 200, await answer.text()


async def test_counting_needs_no_upstream(start: Any) -> None:
    """Token counts are estimates, so an org that is down does not stand in their way."""
    bridge = await start(upstream={"my_domain": "http://127.0.0.1:9"})
    body = body_of("anthropic", "gpt-4o", tools=True)
    async with bridge.http.post(bridge.url + "/v1/messages/count_tokens", json=body) as answer:
        assert answer.status == 200
        assert (await answer.json())["input_tokens"] > 10


@BOTH
async def test_a_silent_org_does_not_silence_the_stream(
    start: Any, wire: str, aiohttp_org: Any
) -> None:
    """While the upstream is still being asked what it can do, a stream has its status and its heartbeat."""
    url = await aiohttp_org()
    bridge = await start(
        upstream={"my_domain": url, "api_url": url},
        config={"stream": {"patience": 0.05, "keep_alive": 0.05}},
    )
    async with asyncio.timeout(5):
        body = body_of(wire, "gpt-4o", stream=True)
        async with bridge.http.post(bridge.url + PATHS[wire], json=body) as answer:
            assert answer.status == 200
            assert answer.headers["x-stream-downgraded"] == "unknown"
            seen = b""
            while seen.count(b":ka\n\n") < 3:
                seen += await answer.content.readany()


@pytest.fixture
async def aiohttp_org() -> Any:
    """An org that takes connections and says nothing."""
    runners = []

    async def begin() -> str:
        async def silent(_: web.Request) -> web.Response:
            await asyncio.Event().wait()
            raise AssertionError

        app = web.Application()
        app.router.add_post("/{path:.*}", silent)
        runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None
        )
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield begin
    for runner in runners:
        await runner.cleanup()
