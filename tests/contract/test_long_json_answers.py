"""A JSON answer that takes long, over real sockets and on every wire: padded for clients that need it, for no other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import ClientPayloadError
from speak import PATHS, WIRES, body_of

BOTH = pytest.mark.parametrize("wire", WIRES)
N8N = {"User-Agent": "OpenAI/JS 5.8.1"}
SOON = {"stream": {"pad_after": 0.02, "keep_alive": 0.02}}


async def answer_to(bridge: Any, wire: str, model: str, headers: dict[str, str]) -> Any:
    url = bridge.url + PATHS[wire]
    return await bridge.http.post(url, json=body_of(wire, model), headers=headers)


@BOTH
async def test_a_slow_answer_is_json_after_spaces(start: Any, wire: str) -> None:
    """The status comes early with every header, and the body is the same JSON."""
    bridge = await start(surface="platform", config=SOON)
    answer = await answer_to(bridge, wire, "sfdc_ai__Defaultsandbox-slow-0.2", N8N)
    assert answer.status == 200
    assert answer.headers["x-request-id"].startswith("req_")
    assert "Content-Length" not in answer.headers
    data = await answer.read()
    assert data.startswith(b" ")
    assert json.loads(data)["model"] == "sfdc_ai__Defaultsandbox-slow-0.2"


@BOTH
async def test_other_clients_wait_for_the_whole(start: Any, wire: str) -> None:
    """Who needs no padding gets an ordinary answer."""
    bridge = await start(surface="platform", config=SOON)
    answer = await answer_to(bridge, wire, "sfdc_ai__Defaultsandbox-slow-0.2", {})
    data = await answer.read()
    assert answer.headers["Content-Length"] == str(len(data))
    assert data.startswith(b"{")


@BOTH
async def test_a_late_failure_is_visible(start: Any, wire: str) -> None:
    """After the spaces no JSON comes and the body has no end; the receipt says that it failed."""
    bridge = await start(
        surface="platform", config=SOON, upstream={"read_timeout": 0.2, "connect_timeout": 5.0}
    )
    answer = await answer_to(bridge, wire, "sfdc_ai__Defaultsandbox-slow-30", N8N)
    assert answer.status == 200
    with pytest.raises(ClientPayloadError):
        await answer.read()
    url = f"{bridge.url}/v1/sfbridge/turns/{answer.headers['x-request-id']}"
    async with bridge.http.get(url) as told:
        turn = (await told.json())["turn"]
    assert (turn["verdict"], turn["error_kind"]) == ("failed", "timeout")


@BOTH
async def test_an_early_failure_keeps_its_status(start: Any, wire: str) -> None:
    """What fails before the time fails as ever."""
    bridge = await start(surface="platform")
    answer = await answer_to(bridge, wire, "sfdc_ai__Defaultsandbox-403", N8N)
    assert answer.status == 403


async def test_a_key_may_mean_a_client(start: Any) -> None:
    """A client without a telling User-Agent is named by its key."""
    config = {
        "stream": {**SOON["stream"], "pad_clients": ["flows"]},
        "keys": {"flows": "right-key-1234"},
    }
    bridge = await start(surface="platform", config=config)
    key = {"Authorization": "Bearer right-key-1234"}
    answer = await answer_to(bridge, "openai", "sfdc_ai__Defaultsandbox-slow-0.2", key)
    assert (await answer.read()).startswith(b" ")
