"""Every door's promises, over real sockets, on both surfaces of the sandbox org."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from speak import ASK, CALLED, EVERY_WIRE, PATHS, STOPPED, WIRES, ask, body_of, check_envelope

SURFACES = ("gateway", "platform")
# one model per dialect of the gateway surface; on the platform surface both speak the same one
MODELS = ("gpt-4o", "claude-sonnet-4-6")
EVERYWHERE = pytest.mark.parametrize("surface", SURFACES)
BOTH = pytest.mark.parametrize("wire", WIRES)
ALL = pytest.mark.parametrize("wire", EVERY_WIRE)
EACH = pytest.mark.parametrize("model", MODELS)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])


@EVERYWHERE
@ALL
@EACH
@MODES
async def test_text_is_answered(
    start: Any, surface: str, wire: str, model: str, stream: bool
) -> None:
    """A plain question has a whole answer with true usage, in the form that was asked for."""
    bridge = await start(surface=surface)
    answer = await ask(bridge.http, bridge.url, wire, model, stream=stream)
    assert (answer.status, answer.whole, answer.finish) == (200, True, STOPPED[wire])
    assert answer.text == "Hello! This is the sandbox org speaking."
    assert answer.model == model
    assert answer.headers["Content-Type"].startswith(
        "text/event-stream" if stream else "application/json"
    )
    assert answer.headers["x-stream-downgraded"] == (
        "true" if stream and surface == "platform" else "false"
    )
    assert bridge.org.violations == []


@EVERYWHERE
@ALL
@EACH
@MODES
async def test_a_tool_is_called_and_its_result_understood(
    start: Any, surface: str, wire: str, model: str, stream: bool
) -> None:
    """A call leaves whole with an id, and the turn after its result states what it said."""
    bridge = await start(surface=surface)
    answer = await ask(bridge.http, bridge.url, wire, model, ASK, tools=True, stream=stream)
    assert (answer.whole, answer.finish) == (True, CALLED[wire])
    assert answer.calls_made == [("calculator", {"input": "6*7"})]
    body = body_of(wire, model, ASK, tools=True, stream=stream)
    body["input" if wire == "responses" else "messages"] += after_call(wire, answer.calls[0], "42")
    async with bridge.http.post(bridge.url + PATHS[wire], json=body) as response:
        assert response.status == 200
        assert "42" in await response.text()
    assert bridge.org.violations == []


def after_call(wire: str, call: tuple[str, str, str], result: str) -> list[dict[str, Any]]:
    call_id, name, arguments = call
    if wire == "responses":
        made = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        return [made, {"type": "function_call_output", "call_id": call_id, "output": result}]
    if wire == "openai":
        made = {
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        return [
            {"role": "assistant", "content": None, "refusal": None, "tool_calls": [made]},
            {"role": "tool", "tool_call_id": call_id, "content": result},
        ]
    use = {"type": "tool_use", "id": call_id, "name": name, "input": json.loads(arguments)}
    answer = {"type": "tool_result", "tool_use_id": call_id, "content": result}
    return [{"role": "assistant", "content": [use]}, {"role": "user", "content": [answer]}]


def model_calls(bridge: Any) -> int:
    """Calls that reached the org, tokens apart."""
    return sum(n for (route, _), n in bridge.org.calls.counts.items() if route != "token")


HEADERS = (
    "x-request-id",
    "x-upstream-latency",
    "x-auth-refreshes",
    "x-stream-downgraded",
    "x-sfbridge-ignored",
)
FAILURES = [
    ("POST", "{path}", b"{not json", {}, 400),
    ("POST", "{path}", b"\xff\xfe", {}, 400),
    ("POST", "{path}", b"[]", {}, 400),
    ("POST", "{path}", b'{"model":"gpt-4o"}', {}, 400),
    (
        "POST",
        "{path}",
        b'{"model":"gpt-4o","max_tokens":5,"input":7,"messages":[{"role":"user","content":7}]}',
        {},
        400,
    ),
    (
        "POST",
        "{path}",
        b'{"model":"no-such","max_tokens":5,"input":"x","messages":[{"role":"user","content":"x"}]}',
        {},
        404,
    ),
    ("POST", "{path}", b"{}", {"Content-Type": "text/plain"}, 415),
    ("POST", "{path}", b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ("POST", "{path}", b" " * 2000, {}, 413),
    ("GET", "{path}", b"", {}, 405),
    ("POST", "{path}/nowhere/at/all", b"{}", {}, 404),
    ("POST", "{path}", b"{}", {"Host": "evil.example"}, 403),
    ("POST", "{path}", b"{}", {"Origin": "https://evil.example"}, 403),
    ("POST", "{path}", b"{}", {"Origin": "null"}, 403),
]


@ALL
@pytest.mark.parametrize(("method", "path", "body", "headers", "status"), FAILURES)
async def test_every_failure_speaks_its_doors_envelope(
    start: Any, wire: str, method: str, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    """Whatever goes wrong, the client's own library can read it, and every promised header is there."""
    bridge = await start(surface="platform", config={"server": {"max_body": 1500}})
    url = bridge.url + path.format(path=PATHS[wire])
    headers = {"Content-Type": "application/json", **headers}
    async with bridge.http.request(method, url, data=body, headers=headers) as answer:
        assert answer.status == status
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        check_envelope(wire, await answer.json(), answer.headers)
        assert all(name in answer.headers for name in HEADERS)
    assert not model_calls(bridge)


async def test_a_wrong_type_is_named_by_its_path(start: Any) -> None:
    """The path of the fault is told in the client's own words."""
    bridge = await start()
    said = [{"role": "user", "content": [{"type": "text", "text": 7}]}]
    body = {"model": "gpt-4o", "messages": said, "input": said}
    for wire, path in (
        ("openai", "messages[0].content[0].text"),
        ("responses", "input[0].content[0].text"),
        ("anthropic", "messages.0.content.0.text"),
    ):
        async with bridge.http.post(
            bridge.url + PATHS[wire], json={**body, "max_tokens": 5}
        ) as answer:
            assert path in (await answer.json())["error"]["message"]


@ALL
@pytest.mark.parametrize("header", ["Authorization", "x-api-key"])
async def test_configured_keys_are_required(start: Any, wire: str, header: str) -> None:
    """Both ways of sending the key count; a wrong or missing one is 401 in the door's envelope."""
    bridge = await start(config={"keys": {"laptop": "right-key-1234"}})
    prefix = "Bearer " if header == "Authorization" else ""
    right = await ask(
        bridge.http, bridge.url, wire, "gpt-4o", headers={header: prefix + "right-key-1234"}
    )
    assert right.status == 200
    for headers in ({}, {header: prefix + "wrong-key-1234"}, {header: ""}):
        wrong = await ask(bridge.http, bridge.url, wire, "gpt-4o", headers=headers)
        assert wrong.status == 401
        assert wrong.headers["x-should-retry"] == "false"
    for path in ("/healthz", "/readyz", "/", "/api/hello"):
        async with bridge.http.get(bridge.url + path) as answer:
            assert answer.status in (200, 503)
    for path in ("/v1/models", "/v1/sfbridge/stats", "/anthropic/v1/models", "/v1/nowhere"):
        async with bridge.http.get(bridge.url + path) as answer:
            assert answer.status == 401


@pytest.mark.parametrize("path", ["/", "/api/hello", "/anthropic", "/anthropic/api/hello"])
async def test_start_up_probes_are_answered(start: Any, path: str) -> None:
    """Claude Code's HEAD probes succeed without a key and reach no upstream."""
    bridge = await start(config={"keys": {"laptop": "right-key-1234"}}, surface="platform")
    async with bridge.http.head(bridge.url + path) as answer:
        assert answer.status == 200
    assert not model_calls(bridge)


@pytest.mark.parametrize("query", ["", "?beta=true", "?beta=true&x=1"])
@pytest.mark.parametrize("prefix", ["", "/anthropic"])
async def test_queries_are_ignored_and_anthropic_routes_stand_twice(
    start: Any, query: str, prefix: str
) -> None:
    """Claude Code's `?beta=true` and a base URL with /anthropic both work."""
    bridge = await start()
    body = body_of("anthropic", "gpt-4o")
    async with bridge.http.post(f"{bridge.url}{prefix}/v1/messages{query}", json=body) as answer:
        assert answer.status == 200
        assert answer.headers["request-id"] == answer.headers["x-request-id"]


async def test_unknown_claude_names_have_a_default(start: Any) -> None:
    """Claude Code asks for ids that nobody configured; they are answered, under the name it used."""
    bridge = await start()
    for name in ("claude-sonnet-5", "claude-opus-5-5[1m]", "sf/claude-code-gpt-4o"):
        answer = await ask(bridge.http, bridge.url, "anthropic", name)
        assert (answer.status, answer.model) == (200, name)


async def test_models_are_listed_in_both_dialects(start: Any) -> None:
    """The list has the form of whoever asks, and Claude Code's picker finds every chat model."""
    bridge = await start()
    async with bridge.http.get(bridge.url + "/v1/models") as answer:
        openai = await answer.json()
    assert openai["object"] == "list"
    ids = [model["id"] for model in openai["data"]]
    assert {"gpt-4o", "gpt-4o-mini", "claude-sonnet-4-6"} <= set(ids)
    assert len(ids) == len(set(ids))
    seen: list[str] = []
    after = ""
    while True:
        url = f"{bridge.url}/v1/models?limit=7{after}"
        async with bridge.http.get(url, headers={"anthropic-version": "2023-06-01"}) as answer:
            page = await answer.json()
        seen += [model["id"] for model in page["data"]]
        assert (page["first_id"], page["last_id"]) == (
            page["data"][0]["id"],
            page["data"][-1]["id"],
        )
        if not page["has_more"]:
            break
        after = f"&after_id={page['last_id']}"
    assert len(seen) == len(set(seen))
    assert "sf/claude-code-gpt-4o" in seen


async def test_one_model_can_be_asked_for(start: Any) -> None:
    """GET by id answers in the caller's dialect; an unknown id is 404."""
    bridge = await start()
    async with bridge.http.get(bridge.url + "/v1/models/gpt-4o") as answer:
        assert (await answer.json())["object"] == "model"
    for url in ("/anthropic/v1/models/sf/claude-code-gpt-4o", "/anthropic/v1/models/gpt-4o"):
        async with bridge.http.get(bridge.url + url) as answer:
            assert (await answer.json())["type"] == "model"
    async with bridge.http.get(bridge.url + "/v1/models/no-such") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "model_not_found"


async def test_counting_tokens_is_never_zero_and_never_paid(start: Any) -> None:
    """28 parallel counts, as `/context` sends them, are answered without one upstream call."""
    bridge = await start(surface="platform")

    async def count(n: int) -> int:
        body = {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": "foo" * n}],
            "tools": [],
        }
        url = bridge.url + "/v1/messages/count_tokens?beta=true"
        async with bridge.http.post(url, json=body) as answer:
            assert answer.status == 200
            found: dict[str, int] = await answer.json()
            return found["input_tokens"]

    counts = await asyncio.gather(*(count(n) for n in range(28, 0, -1)))
    assert min(counts) > 0
    assert list(counts) == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
    assert not model_calls(bridge)


@MODES
async def test_what_the_platform_surface_drops_is_reported(start: Any, stream: bool) -> None:
    """Parameters that cannot be honoured are named in the header, never sent, never silent."""
    bridge = await start(surface="platform")
    answer = await ask(
        bridge.http, bridge.url, "openai", "gpt-4o", stream=stream,
        temperature=0.5, max_completion_tokens=9, seed=1, logprobs=True, user="u",
    )  # fmt: skip
    assert answer.status == 200
    named = answer.headers["x-sfbridge-ignored"].split(", ")
    assert set(named) == {"temperature", "max_completion_tokens", "seed", "logprobs"}
    assert bridge.org.violations == []


@BOTH
@MODES
async def test_stop_sequences_are_cut_where_the_upstream_has_none(
    start: Any, wire: str, stream: bool
) -> None:
    """`stop` works on the platform surface, is not listed as ignored, and is told as each API tells it."""
    bridge = await start(surface="platform")
    knob = {"stop": ["sandbox"]} if wire == "openai" else {"stop_sequences": ["sandbox"]}
    answer = await ask(bridge.http, bridge.url, wire, "gpt-4o", stream=stream, **knob)
    assert (answer.whole, answer.text) == (True, "Hello! This is the ")
    assert answer.finish == ("stop" if wire == "openai" else "stop_sequence")
    assert answer.headers["x-sfbridge-ignored"] == ("" if wire == "openai" else "max_tokens")


@ALL
async def test_a_client_that_cannot_read_streams_gets_json(start: Any, wire: str) -> None:
    """force_json answers one JSON body to a client that asks for a stream, and to no other."""
    bridge = await start(config={"stream": {"force_json": ["OldClient/"]}})
    old = await ask(
        bridge.http, bridge.url, wire, "gpt-4o", stream=True, headers={"User-Agent": "OldClient/1"}
    )
    assert old.headers["Content-Type"].startswith("application/json")
    assert old.headers["x-stream-downgraded"] == "true"
    new = await ask(
        bridge.http, bridge.url, wire, "gpt-4o", stream=True, headers={"User-Agent": "NewClient/1"}
    )
    assert new.headers["Content-Type"].startswith("text/event-stream")


async def test_readiness_names_the_surface(start: Any) -> None:
    """/readyz is 200 only when a token is held and the surface known, and says which."""
    for org, surface in (({}, "gateway"), ({"gateway": False}, "platform")):
        bridge = await start(org=org)
        await ask(bridge.http, bridge.url, "openai", "gpt-4o")
        async with bridge.http.get(bridge.url + "/readyz") as answer:
            assert answer.status == 200
            state = (await answer.json())["upstreams"]["salesforce"]
        assert state["surface"] == surface


async def test_browsers_of_allowed_origins_may_call(start: Any) -> None:
    """An allowed origin passes its preflight and is echoed; nothing is called by asking."""
    bridge = await start(
        config={"server": {"allowed_origins": ["http://localhost:3000"]}}, surface="platform"
    )
    headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Headers": "content-type"}
    async with bridge.http.options(bridge.url + "/v1/chat/completions", headers=headers) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    answer = await ask(
        bridge.http, bridge.url, "openai", "gpt-4o", headers={"Origin": "http://localhost:3000"}
    )
    assert answer.status == 200
