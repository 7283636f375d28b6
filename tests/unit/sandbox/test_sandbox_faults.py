"""Misbehaviour by model name, on every surface that can show it."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientTimeout
from org_desk import ASK, CALCULATOR, A, B, Desk, bedrock, turns

from sfbridge.formats.eventstream import Frames
from sfbridge.sandbox.faults import Fault, fault_of

TOOLS = [{"type": "function", "function": CALCULATOR}]
CLAUDE_TOOLS = [
    {"name": "calculator", "description": "Computes.", "input_schema": CALCULATOR["parameters"]}
]


def paths(fault: str, *, streams: bool) -> list[tuple[str, Any]]:
    """A request of each surface for a model with a fault."""
    name = f"sandbox-{fault}"
    claude = f"sfdc_ai__DefaultBedrockAnthropic-{name}"
    if streams:
        return [
            (f"{B}/chat/generations/stream", {"model": name, "messages": turns("hi")}),
            (f"{B}/model/{claude}/invoke-with-response-stream", bedrock("hi")),
            (f"{B}/responses", {"model": name, "input": "hi", "stream": True}),
        ]
    return [
        (f"{A}/models/sfdc_ai__Default{name}/chat-generations", {"messages": turns("hi")}),
        (f"{B}/chat/generations", {"model": name, "messages": turns("hi")}),
        (f"{B}/model/{claude}/invoke", bedrock("hi")),
        (f"{B}/responses", {"model": name, "input": "hi"}),
    ]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("sandbox-cut", Fault("cut")),
        ("sfdc_ai__DefaultGPT4Omni-sandbox-cut", Fault("cut")),
        ("sandbox-slow-0.25", Fault("slow", 0.25)),
        ("sandbox-chunks-1000", Fault("chunks", 1000.0)),
        ("sandbox-429-once", Fault("429", once=True)),
        ("sandbox-401-once", Fault("401-once", once=True)),
        ("sandbox-429-ra", Fault("429-ra")),
        ("sandbox-nonsense", None),
        ("sfdc_ai__DefaultGPT41", None),
    ],
)
def test_names(name: str, fault: Fault | None) -> None:
    """The end of a model's name is its fault."""
    assert fault_of(name) == fault


@pytest.mark.parametrize(
    ("fault", "status"),
    [("429", 429), ("429-ra", 429), ("423", 423), ("500", 500), ("503", 503), ("403", 403)],
)
async def test_statuses(desk: Desk, fault: str, status: int) -> None:
    """Error statuses come with the envelope, on every surface, always."""
    for path, body in paths(fault, streams=False) + paths(fault, streams=True):
        response = await desk.send(path, body)
        assert response.status == status
        assert (await response.json())["errorCode"]
        assert response.headers.get("Retry-After") == ("1" if fault == "429-ra" else None)


@pytest.mark.parametrize("fault", ["429-once", "500-once", "503-once"])
async def test_once(desk: Desk, fault: str) -> None:
    """Faults of one time strike every other request, so that a single retry helps."""
    path, body = paths(fault, streams=False)[0]
    failing = int(fault.partition("-")[0])
    statuses = [(await desk.post(path, body))[0] for _ in range(4)]
    assert statuses == [failing, 200, failing, 200]


async def test_401_once(desk: Desk) -> None:
    """`401-once` revokes the token in use: only another token helps."""
    path, body = paths("401-once", streams=False)[0]
    assert [(await desk.post(path, body))[0] for _ in range(2)] == [401, 401]
    desk._token = ""
    assert (await desk.post(path, body))[0] == 200


async def test_other_bodies(desk: Desk) -> None:
    """HTML, overflow and masking errors look like the real ones."""
    path, body = paths("html", streams=False)[0]
    response = await desk.send(path, body)
    assert (response.status, response.content_type) == (502, "text/html")
    path, body = paths("overflow", streams=False)[0]
    assert (
        "prompt is too long: 208310 tokens > 200000" in (await desk.post(path, body))[1]["message"]
    )
    path, body = paths("masking", streams=False)[0]
    assert (await desk.post(path, body))[1]["messageCode"] == "E30036"


@pytest.mark.parametrize("streams", [True, False])
async def test_200_with_an_error(desk: Desk, streams: bool) -> None:
    """A 200 can hold an error as JSON, also where a stream was asked for."""
    for path, body in paths("200-json-error", streams=streams):
        response = await desk.send(path, body)
        assert (response.status, response.content_type) == (200, "application/json")
        assert (await response.json())["errorCode"] == "INTERNAL_ERROR"


@pytest.mark.parametrize("streams", [True, False])
async def test_cut(desk: Desk, streams: bool) -> None:
    """A cut answer begins well and ends without its end."""
    for path, body in paths("cut", streams=streams):
        response = await desk.send(path, body)
        assert response.status == 200
        with pytest.raises(ClientPayloadError):
            await response.read()
    assert desk.org.disconnects == 0


@pytest.mark.parametrize("streams", [True, False])
async def test_stall_and_disconnect(desk: Desk, streams: bool) -> None:
    """A stalled answer keeps the connection until the client goes, which the org notices."""
    for number, (path, body) in enumerate(paths("stall", streams=streams), start=1):
        response = await desk.send(path, body)
        assert await response.content.readany()
        assert desk.org.open_connections == 1
        response.close()
        async with asyncio.timeout(5):
            await desk.org.quiet()
        assert desk.org.disconnects == number
        assert desk.org.calls.last[-1].disconnected


async def test_slow(open_org: Any) -> None:
    """A slow model sends nothing, not even headers, before its time."""
    desk = await open_org(slow_seconds=30)
    for fault in ("slow-first", "slow-30"):
        path, body = paths(fault, streams=False)[0]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await desk.send(path, body)
    path, body = paths("slow-0.01", streams=False)[0]
    assert (await desk.post(path, body))[0] == 200


async def test_bad_json(desk: Desk) -> None:
    """Broken JSON arrives in an otherwise proper answer."""
    for path, body in paths("bad-json", streams=False):
        response = await desk.send(path, body)
        with pytest.raises(json.JSONDecodeError):
            json.loads(await response.read())
    (chat, body), (invoke, claude), _ = paths("bad-json", streams=True)
    events = await desk.sse(chat, body)
    broken = [data for name, data in events if name == "generation" and not _is_json(data)]
    assert len([data for data in broken if b"DONE" not in data]) == 1
    response = await desk.send(invoke, claude)
    frames = Frames().feed(await response.read())
    assert len([frame for frame in frames if not _is_json(frame.payload)]) == 1


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except json.JSONDecodeError:
        return False
    return True


async def test_error_in_mid_stream(desk: Desk) -> None:
    """Each dialect has its own way to fail after a 200 and some text."""
    (chat, body), (invoke, claude), (responses, asked) = paths("error-mid", streams=True)
    events = await desk.sse(chat, body)
    assert len(events) > 2
    assert events[-1][0] == "error"
    assert json.loads(events[-1][1])["errorCode"] == "INTERNAL_ERROR"
    events = await desk.sse(responses, asked)
    assert events[-1][0] == "response.failed"
    assert json.loads(events[-1][1])["response"]["error"]["code"] == "server_error"
    frames = Frames().feed(await (await desk.send(invoke, claude)).read())
    assert [frame.headers[":message-type"] for frame in frames[-2:]] == ["event", "exception"]
    assert json.loads(base64.b64decode(json.loads(frames[-2].payload)["bytes"]))


async def test_empty(desk: Desk) -> None:
    """An empty answer is well-formed and says nothing."""
    (platform, told), (chat, asked), (invoke, claude), (responses, item) = paths(
        "empty", streams=False
    )
    generations = (await desk.post(platform, told))[1]["generationDetails"]["generations"]
    assert generations[0]["content"] == ""
    assert (await desk.post(chat, asked))[1]["generation_details"]["generations"] == []
    assert (await desk.post(invoke, claude))[1]["content"] == []
    assert (await desk.post(responses, item))[1]["output"] == []
    model = "sfdc_ai__DefaultBedrockAnthropic-sandbox-empty"
    events = [event["type"] for event in await desk.invoke_stream(model, bedrock("hi"))]
    assert events == ["message_start", "message_delta", "message_stop"]


async def test_toxic_and_length(desk: Desk) -> None:
    """Toxic text is only reported; a cut text says so."""
    generation = (await desk.chat("sandbox-toxic", "hi"))[1]["generationDetails"]["generations"][0]
    assert generation["contentQuality"]["scanToxicity"]["isDetected"] is True
    assert generation["content"] == "Echo: hi"
    generation = (await desk.chat("sandbox-length", "hi"))[1]["generationDetails"]["generations"][0]
    assert generation["parameters"]["finish_reason"] == "length"


async def test_chunks(desk: Desk) -> None:
    """As many deltas come as the name says."""
    body = {"model": "sandbox-chunks-250", "messages": turns("hi")}
    events = await desk.sse(f"{B}/chat/generations/stream", body)
    assert (
        len([1 for name, data in events if name == "generation" and b'"content":"w' in data]) == 250
    )


async def test_split_tool(desk: Desk) -> None:
    """Arguments come character by character, frames in whatever pieces."""
    model = "sfdc_ai__DefaultBedrockAnthropic-sandbox-split-tool"
    events = await desk.invoke_stream(model, bedrock(ASK, tools=CLAUDE_TOOLS))
    pieces = [e["delta"]["partial_json"] for e in events if e["type"] == "content_block_delta"]
    assert pieces == ["", *'{"input":"6*7"}']


async def test_cut_call(desk: Desk) -> None:
    """The output limit ends the answer inside a call."""
    body = {"model": "sandbox-cut-call", "messages": turns(ASK), "tools": TOOLS}
    told = (await desk.post(f"{B}/chat/generations", body))[1]["generation_details"]["generations"][
        0
    ]
    assert told["parameters"]["finish_reason"] == "length"
    assert told["tool_invocations"][0]["function"]["arguments"] == '{"input'


async def test_bad_call(desk: Desk) -> None:
    """The first call breaks the schema; when its result is an error, the second one is right."""
    body: dict[str, Any] = {"model": "sandbox-bad-call", "messages": turns(ASK), "tools": TOOLS}

    async def call() -> Any:
        told = (await desk.post(f"{B}/chat/generations", body))[1]
        return told["generation_details"]["generations"][0]["tool_invocations"][0]

    first = await call()
    assert json.loads(first["function"]["arguments"]) == {"input": {"broken": True}}
    body["messages"] += [
        {"role": "assistant", "content": "", "tool_invocations": [first]},
        {"role": "tool", "tool_call_id": first["id"], "content": "Error: input must be text"},
    ]
    assert json.loads((await call())["function"]["arguments"]) == {"input": "6*7"}


async def test_chunk_delay(open_org: Any) -> None:
    """Chunks can be spread over time, and an answer can be late as a whole."""
    desk = await open_org(chunk_delay=0.01, first_byte_delay=0.01, delta_characters=4)
    body = {"model": "sandbox-echo", "messages": turns("hi")}
    client = desk.client.session
    assert isinstance(client.timeout, ClientTimeout)
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert len(await desk.sse(f"{B}/chat/generations/stream", body)) == 8
    assert loop.time() - start >= 0.09
