"""Every turn leaves a receipt that tells what happened, in facts and in words, and nothing that was said."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientError
from speak import ASK, CALLED, EVERY_WIRE, PATHS, ask, body_of

ALL = pytest.mark.parametrize("wire", EVERY_WIRE)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])


async def get(bridge: Any, path: str) -> Any:
    async with bridge.http.get(bridge.url + path) as answer:
        assert answer.status == 200
        return await answer.json()


async def turn(bridge: Any, answer: Any) -> tuple[dict[str, Any], str]:
    found = await get(bridge, f"/v1/sfbridge/turns/{answer.headers['x-request-id']}")
    return found["turn"], found["explanation"]


@ALL
@MODES
async def test_a_plain_turn(start: Any, wire: str, stream: bool) -> None:
    """A whole answer is told as whole, with reported tokens and steps in order."""
    bridge = await start(surface="gateway")
    answer = await ask(bridge.http, bridge.url, wire, "gpt-4o", stream=stream)
    receipt, words = await turn(bridge, answer)
    assert (receipt["verdict"], receipt["reason"], receipt["attempts"]) == ("whole", "stop", 1)
    assert receipt["input"] > 0
    assert "estimated" not in receipt
    assert (
        0
        <= receipt["prepared_ms"]
        <= receipt["connected_ms"]
        <= receipt["accepted_ms"]
        <= receipt["first_ms"]
        <= receipt["total_ms"]
    )
    assert "reported by the upstream" in words
    assert "Say hello" not in str(receipt)


async def test_the_queue_is_a_step_of_its_own(start: Any, clock: Any) -> None:
    """A turn that waited for a place was prepared before it waited, and connected after."""
    bridge = await start(surface="platform", upstream={"in_flight": 1}, clock=clock)
    name = "sfdc_ai__Defaultsandbox-slow-2"
    first = asyncio.create_task(ask(bridge.http, bridge.url, "openai", name))
    async with asyncio.timeout(20):
        while not bridge.org.open_connections:
            await asyncio.sleep(0.005)
        second = asyncio.create_task(ask(bridge.http, bridge.url, "openai", name))
        while (await get(bridge, "/v1/sfbridge/stats"))["gates"]["salesforce"]["waiting"] != 1:
            await asyncio.sleep(0.005)
        await clock.advance(7)
        await first
        receipt, words = await turn(bridge, await second)
    assert (receipt["prepared_ms"], receipt["queued_ms"]) == (0, 7000)
    assert receipt["connected_ms"] >= 7000
    assert "It waited 7000 ms for a free place" in words


async def test_every_kind_tells_when_there_was_a_way(begin: Any, claude: Any, lingma: Any) -> None:
    """A connection to a server, a process that was told, a place at an instance: each is a step before acceptance."""
    for bridge in (await begin(), await claude(), await lingma()):
        answer = await bridge.ask("openai")
        assert answer.status == 200
        receipt, words = await turn(bridge, answer)
        assert receipt["prepared_ms"] <= receipt["connected_ms"] <= receipt["accepted_ms"]
        assert ", connected at " in words


@ALL
@MODES
async def test_a_repaired_turn(start: Any, wire: str, stream: bool) -> None:
    """A fault, its correction and the second upstream call are all told."""
    bridge = await start(surface="platform")
    model = "sfdc_ai__Defaultsandbox-bad-call"
    answer = await ask(bridge.http, bridge.url, wire, model, ASK, tools=True, stream=stream)
    assert answer.finish == CALLED[wire]
    receipt, words = await turn(bridge, answer)
    assert (receipt["verdict"], receipt["attempts"], receipt["rounds"]) == ("whole", 2, 1)
    assert receipt["calls"] == ["calculator"]
    assert receipt["faults"]
    assert "tools" in receipt["emulated"]
    assert "was shown its fault and asked again" in words


@ALL
async def test_failures_and_retries(start: Any, wire: str) -> None:
    """A failed turn says why, and how often it was tried."""
    bridge = await start(surface="platform")
    answer = await ask(bridge.http, bridge.url, wire, "sfdc_ai__Defaultsandbox-429")
    receipt, words = await turn(bridge, answer)
    assert (receipt["verdict"], receipt["error_kind"]) == ("failed", "rate_limited")
    assert (receipt["attempts"], receipt["retries"]) == (3, 2)
    assert words.count("failed (rate_limited)") == 1


async def test_a_client_that_left(start: Any) -> None:
    """A turn that nobody waited for is told as left."""
    bridge = await start(surface="platform")
    body = body_of("openai", "sfdc_ai__Defaultsandbox-slow-30")
    asking = asyncio.create_task(bridge.http.post(bridge.url + PATHS["openai"], json=body))
    async with asyncio.timeout(2):
        while not bridge.org.open_connections:
            await asyncio.sleep(0.005)
        asking.cancel()
        with pytest.raises((asyncio.CancelledError, ClientError)):
            await asking
        while not (await get(bridge, "/v1/sfbridge/turns"))["turns"]:
            pass
    assert (await get(bridge, "/v1/sfbridge/turns"))["turns"][0]["verdict"] == "left"


async def test_the_journal_is_bounded_and_newest_first(start: Any) -> None:
    """Only the last turns are kept; an older one is 404."""
    bridge = await start(surface="platform", config={"journal": {"keep": 3}})
    ids = [
        (await ask(bridge.http, bridge.url, "openai", "gpt-4o")).headers["x-request-id"]
        for _ in range(5)
    ]
    kept = [t["id"] for t in (await get(bridge, "/v1/sfbridge/turns"))["turns"]]
    assert kept == ids[:1:-1]
    async with bridge.http.get(f"{bridge.url}/v1/sfbridge/turns/{ids[0]}") as answer:
        assert answer.status == 404


@MODES
async def test_contents_only_where_allowed(start: Any, stream: bool) -> None:
    """What was said is kept only with journal.contents."""
    for allowed in (False, True):
        bridge = await start(surface="platform", config={"journal": {"contents": allowed}})
        answer = await ask(
            bridge.http, bridge.url, "openai", "gpt-4o", "Tell me 77c1.", stream=stream
        )
        receipt, _ = await turn(bridge, answer)
        assert ("77c1" in str(receipt)) is allowed
        assert ("contents" in receipt) is allowed


async def test_what_was_said_is_shown_to_its_own_key_only(start: Any) -> None:
    """With `journal.contents`, another key sees that there was a turn, and nothing of what was said in it."""
    keys = {"ada": "the-key-of-ada", "bob": "the-key-of-bob"}
    bridge = await start(config={"journal": {"contents": True}, "keys": keys})
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a private matter"}]}
    own, other = ({"x-api-key": key} for key in keys.values())
    async with bridge.http.post(
        bridge.url + "/v1/chat/completions", json=body, headers=own
    ) as answer:
        name = answer.headers["x-request-id"]
    for path in ("/v1/sfbridge/turns", f"/v1/sfbridge/turns/{name}"):
        async with bridge.http.get(bridge.url + path, headers=own) as answer:
            assert "a private matter" in await answer.text()
        async with bridge.http.get(bridge.url + path, headers=other) as answer:
            text = await answer.text()
        assert name in text
        assert "a private matter" not in text
