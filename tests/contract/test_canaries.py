"""Secrets and contents are pushed through every path, and looked for wherever something is told about a request."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from canaries import written
from msgspec.structs import replace
from speak import PATHS, WIRES, body_of

from sfbridge.core.errors import GatewayError
from sfbridge.hiding import Secrets
from sfbridge.log import JsonLines, Redaction
from sfbridge.server.keys import GENERATIONS

KEY = "key-canary-f00dfeed"
SECRET = 'secret-canary-"quoted"-1234'
SAYING = "prompt-canary-alpha-bravo-charlie"
ARGUMENT = "argument-canary-delta-echo-fox"
RESULT = "result-canary-golf-hotel-india"
COOKIE = "cookie-canary-juliet-kilo"
CANARIES = (KEY, SECRET, SECRET.replace('"', '\\"'), SAYING, ARGUMENT, RESULT, COOKIE)
HEADERS = {
    "Authorization": f"Bearer {KEY}",
    "x-api-key": KEY,
    "Cookie": f"session={COOKIE}",
    "X-Custom": COOKIE,
}


class Echoing:
    """An upstream that fails in every way while quoting what it was sent, secrets included."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.name = real.name
        self.failure: Exception = RuntimeError()

    def models(self) -> Any:
        return self._real.models()

    async def capabilities(self, model: str) -> Any:
        return await self._real.capabilities(model)

    async def health(self) -> Any:
        return await self._real.health()

    def open(self, call: Any) -> Any:
        raise self.failure


def long_history(wire: str, model: str, **more: Any) -> dict[str, Any]:
    """A conversation with a canary in each of its places."""
    body = body_of(wire, model, SAYING, tools=True, **more)
    arguments = {"input": ARGUMENT}
    if wire == "anthropic":
        body["system"] = f"system {SAYING}"
        body["messages"] += [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "calculator", "input": arguments}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": RESULT}]},
        ]  # fmt: skip
    else:
        call = {"name": "calculator", "arguments": json.dumps(arguments)}
        body["messages"] += [
            {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": call}]},
            {"role": "tool", "tool_call_id": "call_1", "content": RESULT},
        ]  # fmt: skip
    return body


async def everything_told(bridge: Any) -> str:
    """Every page of the server that has no parameters, and every receipt with its explanation."""
    told = []
    pages = {
        route.resource.canonical
        for route in bridge.app.router.routes()
        if route.method == "GET" and route.resource and "{" not in route.resource.canonical
    }
    for page in sorted(pages):
        async with bridge.http.get(bridge.url + page, headers=HEADERS) as answer:
            if answer.content_type == "text/event-stream":
                told.append((await answer.content.readuntil(b"\r\n\r\n")).decode())
            else:
                told.append(await answer.text())
    async with bridge.http.get(bridge.url + "/v1/sfbridge/turns", headers=HEADERS) as answer:
        turns = (await answer.json())["turns"]
    assert turns
    for turn in turns:
        for page in ("/v1/sfbridge/turns", "/dashboard/turns"):
            path = f"{bridge.url}{page}/{turn['id']}"
            async with bridge.http.get(path, headers=HEADERS) as answer:
                assert answer.status in (200, 401)
                told.append(await answer.text())
    return "\n".join(told)


async def push(bridge: Any, wire: str) -> None:
    """Canaries through good turns, faulty turns, refusals, broken bodies and wrong doors."""
    url = bridge.url + PATHS[wire]
    models = ["gpt-4o"] + [
        f"sfdc_ai__Defaultsandbox-{fault}"
        for fault in ("bad-call", "403", "500", "cut", "overflow")
    ]
    for stream in (False, True):
        for model in models:
            body = long_history(wire, model, stream=stream)
            async with bridge.http.post(url, json=body, headers=HEADERS) as answer:
                await answer.read()
    broken = json.dumps(long_history(wire, "gpt-4o"))[:-5]
    for text in (broken, broken + "}}}}", json.dumps({"model": SAYING, "messages": SAYING})):
        headers = {**HEADERS, "Content-Type": "application/json"}
        async with bridge.http.post(url, data=text, headers=headers) as answer:
            assert answer.status == 400
    async with bridge.http.post(f"{url}?key={KEY}", json={}, headers=HEADERS) as answer:
        assert answer.status == 400
    async with bridge.http.get(f"{bridge.url}/nowhere?key={KEY}", headers=HEADERS) as answer:
        assert answer.status == 404
    wrong = {"Authorization": f"Bearer {COOKIE}"}
    async with bridge.http.post(url, json=body, headers=wrong) as answer:
        assert answer.status == 401


def fail_with(bridge: Any, failure: Exception) -> None:
    backs = bridge.app[GENERATIONS].now.gateway.planner.backs
    upstream = Echoing(backs["salesforce"].upstream)
    upstream.failure = failure
    backs["salesforce"] = replace(backs["salesforce"], upstream=upstream)


FAILURES = (
    RuntimeError(f"unexpected: {SAYING} {ARGUMENT} with {SECRET}"),
    ValueError({"input": ARGUMENT, "result": RESULT, "key": KEY}),
    GatewayError(
        "upstream_failed", f"The upstream said: {SAYING}", detail=f"body {RESULT} {SECRET}"
    ),
    GatewayError("rate_limited", f"wait, {ARGUMENT}", detail=KEY, retriable=False),
)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("form", [Redaction, JsonLines])
@pytest.mark.parametrize("surface", ["gateway", "platform"])
async def test_no_canary_sings(start: Any, wire: str, form: type[Redaction], surface: str) -> None:
    """No key, no secret and nothing that was said reaches the log, a receipt, a metric or a page."""
    bridge = await start(surface=surface, config={"keys": {"me": KEY, "other": SECRET}})
    with written(form(Secrets((KEY, SECRET)))) as log:
        await push(bridge, wire)
        for failure in FAILURES:
            fail_with(bridge, failure)
            body = long_history(wire, "gpt-4o")
            async with bridge.http.post(
                bridge.url + PATHS[wire], json=body, headers=HEADERS
            ) as answer:
                assert answer.status >= 400
        told = await everything_told(bridge)
    lines = log.getvalue()
    assert "RuntimeError" in lines
    assert "bad-call" in lines
    assert "[content]" in lines
    assert "[content]" in told
    for canary in CANARIES:
        assert canary not in lines
        assert canary not in told
    if form is JsonLines:
        assert all(json.loads(line)["from"] for line in lines.splitlines())


async def test_contents_are_kept_only_when_asked_for(start: Any) -> None:
    """With journal.contents the receipts hold what was said; the log still does not."""
    bridge = await start(config={"journal": {"contents": True}})
    with written(Redaction(Secrets())) as log:
        body = body_of("openai", "gpt-4o", SAYING)
        async with bridge.http.post(bridge.url + PATHS["openai"], json=body) as answer:
            assert answer.status == 200
        told = await everything_told(bridge)
    assert SAYING in told
    assert SAYING not in log.getvalue()


async def test_every_request_has_one_line(start: Any) -> None:
    """The line names id, client, model, upstream, status, tokens, durations and attempts, as fields."""
    bridge = await start(surface="gateway")
    with written(JsonLines(Secrets())) as log:
        body = body_of("openai", "gpt-4o")
        headers = {"User-Agent": "probe/1.0"}
        async with bridge.http.post(
            bridge.url + PATHS["openai"], json=body, headers=headers
        ) as answer:
            request_id = answer.headers["x-request-id"]
            await answer.read()
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    (line,) = [line for line in lines if line.get("id") == request_id]
    assert line["client"] == "probe/1.0"
    assert (line["model"], line["upstream"], line["status"]) == ("gpt-4o", "salesforce", 200)
    assert line["attempts"] == 1
    assert line["input"] > 0
    assert line["output"] > 0
    assert line["total_ms"] >= line["first_ms"] >= line["accepted_ms"] >= 0
    assert (line["method"], line["path"], line["verdict"]) == ("POST", PATHS["openai"], "whole")


@pytest.mark.parametrize("wire", WIRES)
async def test_a_client_that_closes_at_the_end_had_its_answer(start: Any, wire: str) -> None:
    """Many clients close as soon as they have read the end of a stream: the line has the status that they were sent."""
    bridge = await start(surface="gateway")
    end = {"openai": b"data: [DONE]\n\n", "anthropic": b"event: message_stop"}[wire]
    with written(JsonLines(Secrets())) as log:
        body = body_of(wire, "gpt-4o", stream=True)
        async with bridge.http.post(bridge.url + PATHS[wire], json=body) as answer:
            request_id = answer.headers["x-request-id"]
            await answer.content.readuntil(end)
            answer.close()
        async with asyncio.timeout(10):
            while f'"id":"{request_id}"' not in log.getvalue():
                await asyncio.sleep(0.01)
    (line,) = [
        one for one in map(json.loads, log.getvalue().splitlines()) if one.get("id") == request_id
    ]
    assert (line["status"], line["verdict"]) == (200, "whole")
