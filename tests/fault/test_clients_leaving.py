"""A client that leaves stops its upstream call at once, wherever the answer stood."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientTimeout
from speak import EVERY_WIRE, PATHS, body_of

SURFACES = pytest.mark.parametrize(
    ("surface", "family"),
    [
        ("gateway", "sfdc_ai__Default"),
        ("gateway", "sfdc_ai__DefaultBedrockAnthropic-"),
        ("platform", "sfdc_ai__Default"),
    ],
    ids=["chat-generations", "bedrock", "platform"],
)


async def until(condition: Any) -> None:
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.005)


@SURFACES
@pytest.mark.parametrize("wire", EVERY_WIRE)
@pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
@pytest.mark.parametrize(
    "moment", ["slow-30", "stall"], ids=["before the first byte", "in mid-answer"]
)
async def test_leaving_cancels_the_upstream_call(
    start: Any, surface: str, family: str, wire: str, stream: bool, moment: str
) -> None:
    """The org sees its caller go, so nobody pays for an answer that nobody reads."""
    bridge = await start(surface=surface)
    body = body_of(wire, f"{family}sandbox-{moment}", stream=stream)
    asking = asyncio.create_task(bridge.http.post(bridge.url + PATHS[wire], json=body))
    await until(lambda: bridge.org.open_connections)
    if stream and moment == "stall" and surface == "gateway":
        async with asyncio.timeout(2):
            response = await asking
        response.close()
    else:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: bridge.org.disconnects == 1 and not bridge.org.open_connections)
    async with bridge.http.get(bridge.url + "/healthz", timeout=ClientTimeout(total=2)) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("wire", EVERY_WIRE)
async def test_leaving_after_the_commit_cancels_too(start: Any, wire: str) -> None:
    """Also a stream that so far held only heartbeats lets its upstream go."""
    bridge = await start(
        surface="platform", config={"stream": {"patience": 0.05, "keep_alive": 0.05}}
    )
    body = body_of(wire, "sfdc_ai__Defaultsandbox-slow-30", stream=True)
    response = await bridge.http.post(bridge.url + PATHS[wire], json=body)
    assert response.status == 200
    await response.content.readany()
    response.close()
    await until(lambda: bridge.org.disconnects == 1 and not bridge.org.open_connections)


async def test_closing_at_the_end_mark_is_no_leaving(start: Any) -> None:
    """Many clients close as soon as they have read the last frame; the turn was whole all the same."""
    bridge = await start()
    body = body_of("openai", "gpt-4o", stream=True)
    for _ in range(5):
        response = await bridge.http.post(bridge.url + PATHS["openai"], json=body)
        data = b""
        while b"[DONE]" not in data:
            data += await response.content.readany()
        response.close()
    turns: list[dict[str, Any]] = []
    async with asyncio.timeout(2):
        while len(turns) < 5:
            async with bridge.http.get(bridge.url + "/v1/sfbridge/turns") as answer:
                turns = (await answer.json())["turns"]
    assert {turn["verdict"] for turn in turns} == {"whole"}
