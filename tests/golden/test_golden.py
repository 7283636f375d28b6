"""The golden matrix: what clients send -> what the org receives, what the org says -> what clients receive.

Everything is taken on the real path, over sockets. `pytest tests/golden --bless` rewrites the results; the
difference is then to be read, not believed. Texts that one read of the upstream brought leave as one delta.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from exact_org import GATEWAY, PLATFORM, ExactOrg, event_stream
from goldens import Goldens, lasting, mark_of, neutral, pretty, without_mark
from speak import EVERY_WIRE, PATHS, Heard, heard

from sfbridge.wire.anthropic import anthropic
from sfbridge.wire.openai_chat import openai_chat
from sfbridge.wire.openai_responses import openai_responses

ROOT = Path(__file__).parent
DECODERS = {
    "openai": openai_chat.decode,
    "anthropic": anthropic.decode,
    "responses": openai_responses.decode,
}
# kind of upstream -> surface of the org, and a model that is served there in this way
KINDS = {
    "bedrock": ("gateway", "claude-sonnet-4-6"),
    "chat-generations": ("gateway", "gpt-4o"),
    "platform": ("platform", "gpt-4o"),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def goldens(request: pytest.FixtureRequest) -> Goldens:
    return Goldens(ROOT, bless=request.config.getoption("--bless"))


def cases(wire: str) -> list[str]:
    """Names of the requests of one wire."""
    return sorted(p.stem for p in (ROOT / "requests" / wire).glob("*.json") if "." not in p.stem)


def sent(wire: str, case: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Body and headers of one client request."""
    stem = ROOT / "requests" / wire / case
    headers = stem.with_name(f"{case}.headers.json")
    told = json.loads(headers.read_text()) if headers.exists() else {}
    return json.loads(stem.with_name(f"{case}.json").read_text()), told


@pytest.mark.parametrize("wire", EVERY_WIRE)
def test_requests_are_understood(wire: str, goldens: Goldens) -> None:
    """Each client request decodes to the neutral request that stands in its file."""
    for case in cases(wire):
        body, headers = sent(wire, case)
        lower = {name.lower(): value for name, value in headers.items()}
        asked = DECODERS[wire](json.dumps(body, ensure_ascii=False).encode(), lower)
        goldens.check(f"requests/{wire}/{case}.core.json", pretty(neutral(asked.request)))
    goldens.finish(f"requests/{wire}/*.core.json")


@EVERY_KIND
async def test_the_org_receives_what_was_meant(kind: str, start: Any, goldens: Goldens) -> None:
    """Each client request reaches the org as the body in its file, or is refused as the file says."""
    surface, model = KINDS[kind]
    bridge = await start(surface=surface, org={"keep_requests": 1000})
    for wire in EVERY_WIRE:
        for case in cases(wire):
            body, headers = sent(wire, case)
            bridge.org.calls.last.clear()
            async with bridge.http.post(
                bridge.url + PATHS[wire], json={**body, "model": model}, headers=headers
            ) as answer:
                text = await answer.text()
            asked = [record for record in bridge.org.calls.last if record.route != "token"]
            found: dict[str, Any] = {"ignored": answer.headers["x-sfbridge-ignored"]}
            if asked:
                found["route"] = asked[0].route
                found["body"] = json.loads(without_mark(asked[0].body.decode()))
            else:
                found["status"] = answer.status
                found["error"] = json.loads(text)["error"]
            goldens.check(f"requests/{wire}/{case}.{kind}.json", pretty(found))
    goldens.finish(f"requests/*/*.{kind}.json")
    assert bridge.org.violations == []


# ---- answers

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FILE = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["path", "content"],
}
TOOLS = {"get_weather": CITY, "get_time": {"type": "object", "properties": {}}, "write_file": FILE}


def question(wire: str, model: str, *, tools: bool, stream: bool) -> dict[str, Any]:
    """The request that every upstream answer of the matrix answers."""
    if wire == "responses":
        body: dict[str, Any] = {"model": model, "stream": stream, "max_output_tokens": 500}
        body["input"] = "Go ahead."
        if tools:
            body["tools"] = [
                {"type": "function", "name": n, "parameters": s} for n, s in TOOLS.items()
            ]
        return body
    body = {"model": model, "stream": stream, "max_tokens": 500}
    body["messages"] = [{"role": "user", "content": "Go ahead."}]
    if wire == "openai" and stream:
        body["stream_options"] = {"include_usage": True}
    if tools and wire == "openai":
        body["tools"] = [
            {"type": "function", "function": {"name": n, "parameters": s}} for n, s in TOOLS.items()
        ]
    elif tools:
        body["tools"] = [{"name": n, "input_schema": s} for n, s in TOOLS.items()]
    return body


def spoken(kind: str, case: str) -> dict[str, tuple[str, Callable[[str], bytes]]]:
    """What the exact org says at which door in one case."""
    stem = ROOT / "streams" / kind / case
    given = stem.with_name(f"{case}.in").read_text()
    if kind == "platform":

        def marked(prompt: str) -> bytes:
            return given.replace("MARK", mark_of(prompt) or "MARK").encode()

        return {
            f"{PLATFORM}/models/sfdc_ai__DefaultGPT4Omni/chat-generations": (
                "application/json",
                marked,
            )
        }
    whole = stem.with_name(f"{case}.whole.in").read_text()
    if kind == "chat-generations":
        return {
            f"{GATEWAY}/chat/generations/stream": ("text/event-stream", lambda _: given.encode()),
            f"{GATEWAY}/chat/generations": ("application/json", lambda _: whole.encode()),
        }
    frames = event_stream(json.loads(given))
    base = f"{GATEWAY}/model/sfdc_ai__DefaultBedrockAnthropicClaude46Sonnet/invoke"
    return {
        f"{base}-with-response-stream": ("application/vnd.amazon.eventstream", lambda _: frames),
        base: ("application/json", lambda _: whole.encode()),
    }


def received(answer: Heard) -> str:
    """What the client received, ready for a file: a stream as it is, a body in lines."""
    if answer.headers["Content-Type"].startswith("text/event-stream"):
        return lasting(answer.body.decode())
    body = json.loads(answer.body)
    if answer.status != 200:
        body = {"status": answer.status, **body}
    return lasting(pretty(body))


def meaning(answer: Heard) -> tuple[Any, ...]:
    """What a client makes of an answer. A stream begins with an estimate of the prompt, which its end corrects."""
    usage = {name: count for name, count in answer.usage.items() if name != "estimated"}
    return answer.text, answer.calls_made, answer.finish, usage, answer.error.get("message")


@pytest.fixture
async def exact() -> AsyncIterator[tuple[ExactOrg, str]]:
    """An exact org and where it listens."""
    org = ExactOrg()
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(org.app, shutdown_timeout=0.5, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield org, f"http://127.0.0.1:{runner.addresses[0][1]}"


@EVERY_KIND
async def test_clients_receive_what_was_said(
    kind: str, start: Any, exact: tuple[ExactOrg, str], goldens: Goldens
) -> None:
    """Each upstream answer reaches each client as the stream and as the body in its files, and both agree."""
    org, url = exact
    surface, model = KINDS[kind]
    bridge = await start(surface=surface, upstream={"my_domain": url})
    names = sorted(
        p.name[:-3] for p in (ROOT / "streams" / kind).glob("*.in") if p.name.count(".") == 1
    )
    disagreed: list[str] = []
    for case in names:
        org.says = spoken(kind, case)
        for wire in EVERY_WIRE:
            heard_as = {}
            for stream, end in ((True, "sse"), (False, "json")):
                org.asked.clear()
                body = question(wire, model, tools="call" in case, stream=stream)
                async with bridge.http.post(bridge.url + PATHS[wire], json=body) as response:
                    answer = heard(wire, response.status, response.headers, await response.read())
                assert len(org.asked) == 1, (case, org.asked)
                goldens.check(f"streams/{kind}/{case}.{wire}.{end}", received(answer))
                heard_as[end] = meaning(answer)
            if heard_as["sse"] != heard_as["json"]:
                disagreed.append(f"{case}, {wire}: {heard_as['sse']}\n    {heard_as['json']}")
    goldens.finish(f"streams/{kind}/*.sse", f"streams/{kind}/*.json")
    assert not disagreed, "\n".join(["the stream and the body differ:", *disagreed])
