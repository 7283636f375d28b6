"""Gates over real sockets: a storm leaves no ticket behind, and those who wait are told the truth."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientError
from speak import PATHS, WIRES, ask, body_of, ready

from sfbridge.server.keys import GENERATIONS

BOTH = pytest.mark.parametrize("wire", WIRES)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
FAMILY = "sfdc_ai__Default"


def gate_of(bridge: Any) -> Any:
    return bridge.app[GENERATIONS].now.gateway.planner.backs["salesforce"].gate


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def hold(bridge: Any, wire: str = "openai") -> asyncio.Task[Any]:
    """A request that stays inside until it is cancelled."""
    inside = gate_of(bridge).inside
    body = body_of(wire, f"{FAMILY}sandbox-slow-30")
    task = asyncio.create_task(bridge.http.post(bridge.url + PATHS[wire], json=body))
    await until(lambda: gate_of(bridge).inside > inside)
    return task


async def drop(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_storm_leaves_no_ticket_behind(start: Any) -> None:
    """200 requests at once, four places, failing models and leaving clients: everybody is told, nothing is held."""
    bridge = await start(
        surface="platform",
        upstream={"in_flight": 4, "queue": 200},
        org={"first_byte_delay": 0.002},
    )
    await ready(bridge.http, bridge.url)
    models = ["gpt-4o", "claude-sonnet-4-6", f"{FAMILY}sandbox-500", f"{FAMILY}sandbox-cut"]
    models += [f"{FAMILY}sandbox-bad-json", f"{FAMILY}sandbox-bad-call"]

    async def one(number: int) -> int:
        asking = asyncio.create_task(
            ask(bridge.http, bridge.url, WIRES[number % 2], models[number % 6],
                stream=number % 3 == 0, headers={"User-Agent": f"client-{number % 5}"})
        )  # fmt: skip
        if number % 7 == 0:
            await until(lambda: gate_of(bridge).waiting or asking.done())
            asking.cancel()
        try:
            heard = await asking
        except (asyncio.CancelledError, ClientError):
            return 0
        assert heard.whole or heard.error, number
        return heard.status

    async with asyncio.timeout(50):
        statuses = await asyncio.gather(*[one(number) for number in range(200)])
    gate = gate_of(bridge)
    await until(lambda: not gate.inside)
    assert (gate.inside, gate.waiting, gate.peak) == (0, 0, 4)
    assert gate.queued > 100
    assert statuses.count(0) >= 20
    assert set(statuses) <= {0, 200, 500, 502}
    assert statuses.count(200) > 80
    await until(lambda: not bridge.org.open_connections)
    answer = await ask(bridge.http, bridge.url, "openai", "gpt-4o")
    assert answer.whole


@BOTH
@MODES
async def test_a_full_queue_is_told_in_the_words_of_each_door(
    start: Any, wire: str, stream: bool
) -> None:
    """503 for OpenAI clients, 529 for Anthropic ones, with retry-after; the running answer is not disturbed."""
    bridge = await start(surface="platform", upstream={"in_flight": 1, "queue": 0})
    holding = await hold(bridge)
    answer = await ask(bridge.http, bridge.url, wire, "gpt-4o", stream=stream)
    assert answer.status == {"openai": 503, "anthropic": 529}[wire]
    assert answer.error["type"] == {"openai": "server_error", "anthropic": "overloaded_error"}[wire]
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert "in_flight" in answer.error["message"]
    assert not holding.done()
    await drop(holding)
    await until(lambda: not gate_of(bridge).inside)
    assert (await ask(bridge.http, bridge.url, wire, "gpt-4o", stream=stream)).whole


@BOTH
async def test_a_queue_that_does_not_move_ends_in_time(start: Any, wire: str) -> None:
    """After queue_seconds a waiting request fails, with the time it waited in its receipt and its explanation."""
    bridge = await start(surface="platform", upstream={"in_flight": 1, "queue_seconds": 0.05})
    holding = await hold(bridge)
    answer = await ask(bridge.http, bridge.url, wire, "gpt-4o")
    assert answer.status == {"openai": 503, "anthropic": 529}[wire]
    path = f"/v1/sfbridge/turns/{answer.headers['x-request-id']}"
    async with bridge.http.get(bridge.url + path) as response:
        told = await response.json()
    assert told["turn"]["error_kind"] == "overloaded"
    assert told["turn"]["queued_ms"] >= 50
    assert "for a free place at salesforce" in told["explanation"]
    await drop(holding)


@BOTH
async def test_a_queued_stream_is_kept_alive(start: Any, wire: str) -> None:
    """A streaming client in the queue gets its heartbeats, then its whole answer."""
    bridge = await start(
        surface="platform",
        upstream={"in_flight": 1},
        config={"stream": {"patience": 0.02, "keep_alive": 0.02}},
    )
    holding = await hold(bridge)
    body = body_of(wire, "gpt-4o", stream=True)
    async with bridge.http.post(bridge.url + PATHS[wire], json=body) as answer:
        assert answer.status == 200
        heard = b""
        while heard.count(b":ka\n\n") < 3:
            heard += await answer.content.readany()
        assert gate_of(bridge).waiting == 1
        await drop(holding)
        heard += await answer.content.read()
    assert {"openai": b"data: [DONE]", "anthropic": b"event: message_stop"}[wire] in heard


@MODES
async def test_a_client_that_leaves_the_queue_frees_its_place(start: Any, stream: bool) -> None:
    """Leaving while waiting takes the request out of the queue at once; it never reaches the upstream."""
    bridge = await start(surface="platform", upstream={"in_flight": 1})
    holding = await hold(bridge)
    body = body_of("openai", "gpt-4o", stream=stream)
    waiting = asyncio.create_task(bridge.http.post(bridge.url + PATHS["openai"], json=body))
    await until(lambda: gate_of(bridge).waiting)
    asked = bridge.org.calls.counts.copy()
    await drop(waiting)
    await until(lambda: not gate_of(bridge).waiting)
    await drop(holding)
    await until(lambda: not gate_of(bridge).inside)
    assert bridge.org.calls.counts == asked


async def test_a_full_gate_leads_to_the_fallbacks(start: Any) -> None:
    """An upstream that takes nobody now is a failure that another model may not share: the fallbacks are tried."""
    bridge = await start(
        surface="platform",
        upstream={"in_flight": 1, "queue": 0},
        config={"route": [{"model": "gpt-4o", "fallbacks": ["gpt-4.1"]}]},
    )
    holding = await hold(bridge)
    answer = await ask(bridge.http, bridge.url, "openai", "gpt-4o")
    assert answer.status == 503  # the fallback stands at the same gate
    path = f"/v1/sfbridge/turns/{answer.headers['x-request-id']}"
    async with bridge.http.get(bridge.url + path) as response:
        told = (await response.json())["turn"]
    assert told["notes"]["fallback"] == 1
    assert "attempts" not in told  # no upstream was asked
    await drop(holding)
