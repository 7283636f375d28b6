"""Paths that are nearly right reach their door, with that door's key check and dialect; no other path opens one."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientSession
from speak import body_of, check_envelope
from yarl import URL

from sfbridge.server.paths import likely

KEYED = {"keys": {"me": "right-key-1234"}}
RIGHT = {"Authorization": "Bearer right-key-1234"}


async def asked(
    http: ClientSession, method: str, url: str, path: str, **more: Any
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a path that is sent exactly as written."""
    target = URL(url + path, encoded=True)
    async with http.request(method, target, allow_redirects=False, **more) as answer:
        told = await answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
        if answer.status >= 400:
            wire = "anthropic" if "request-id" in answer.headers else "openai"
            check_envelope(wire, told, answer.headers)
        return answer.status, told


@pytest.mark.parametrize(
    ("path", "wire"),
    [
        ("//v1//chat/completions", "openai"),
        ("/v1//chat/completions", "openai"),
        ("/v1/v1/chat/completions", "openai"),
        ("///chat///completions", "openai"),
        ("/chat/completions?x=1", "openai"),
        ("//v1//chat/completions?x=//1", "openai"),
        ("/messages", "anthropic"),
        ("//v1//messages?beta=true", "anthropic"),
        ("/anthropic/messages", "anthropic"),
        ("//anthropic//v1//messages", "anthropic"),
        ("/anthropic/v1/v1/messages", "anthropic"),
    ],
)
async def test_chat_doors_are_found(start: Any, path: str, wire: str) -> None:
    """What a base URL with one slash too many, or without /v1, makes of a path is answered all the same."""
    bridge = await start()
    status, told = await asked(bridge.http, "POST", bridge.url, path, json=body_of(wire, "gpt-4o"))
    assert status == 200
    assert told["object" if wire == "openai" else "type"] in ("chat.completion", "message")


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ("/v1/v1/models", "object", "list"),
        ("//v1//models", "object", "list"),
        ("//models", "object", "list"),
        ("//v1//models//gpt-4o", "object", "model"),
        ("//anthropic//v1/models//gpt-4o", "type", "model"),
        ("//sfbridge//stats", "counters", None),
        ("//healthz", "status", "ok"),
    ],
)
async def test_other_doors_are_found(start: Any, path: str, key: str, value: Any) -> None:
    """Lists, single models and pages too, in the dialect of their door."""
    bridge = await start()
    status, told = await asked(bridge.http, "GET", bridge.url, path)
    assert status == 200
    assert key in told
    assert value in (None, told[key])


async def test_embeddings_are_found(start: Any) -> None:
    """n8n's embeddings node with a base URL without /v1."""
    bridge = await start()
    body = {"model": "text-embedding-ada-002", "input": "x"}
    for path in ("/embeddings", "//v1//embeddings"):
        assert (await asked(bridge.http, "POST", bridge.url, path, json=body))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "//v1//models", "/v1/v1/models", "//models", "/healthz/../v1/models", "//healthz//../v1/models",
        "/healthz//v1/models", "/v1/models//healthz", "/healthz/%2e%2e/v1/models", "/%2fhealthz",
        "//sfbridge//turns", "/sfbridge/stats", "/anthropic//v1//models", "/anthropic/v1//v1/models",
        "/anthropic//sfbridge/stats", "/v1/healthz/x", "/v1//", "/anthropic%2fapi/hello",
        "/healthz%2f..%2fv1/models", "/;/healthz", "/healthz;/v1/models", "/./v1/models",
    ],
)  # fmt: skip
async def test_no_path_slips_past_the_key(start: Any, path: str) -> None:
    """Whatever stands in a path, a door that needs a key needs it, and nothing else is served without one."""
    bridge = await start(config=KEYED)
    assert (await asked(bridge.http, "GET", bridge.url, path))[0] == 401
    assert (await asked(bridge.http, "GET", bridge.url, path, headers=RIGHT))[0] in (200, 404)


@pytest.mark.parametrize(
    "path", ["/healthz", "//", "//healthz", "///readyz", "//api//hello", "/%68ealthz"]
)
async def test_open_doors_stay_open(start: Any, path: str) -> None:
    """Health and probes need no key, however they are spelled: they are what is served there."""
    bridge = await start(config=KEYED)
    async with bridge.http.get(URL(bridge.url + path, encoded=True)) as answer:
        assert answer.status in (200, 503)
        assert "models" not in await answer.text()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "//v1//chat/completions", 405),
        ("GET", "/embeddings", 405),
        ("POST", "//healthz", 405),
        ("POST", "//v1//nowhere", 404),
        ("POST", "/v1/v1/nowhere", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1//", 404),
    ],
)
async def test_wrong_methods_and_places_say_so(
    start: Any, method: str, path: str, status: int
) -> None:
    """A path that leads nowhere is 404, one with another method 405, in an envelope."""
    bridge = await start()
    assert (await asked(bridge.http, method, bridge.url, path))[0] == status


def test_the_likely_path() -> None:
    """/v1 stands once, after the prefix; a likely path is its own."""
    for path, meant in (
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/v1/models", "/v1/models"),
        ("/anthropic/messages", "/anthropic/v1/messages"),
        ("/anthropic//v1/v1/messages", "/anthropic/v1/messages"),
        ("/v1x/models", "/v1/v1x/models"),
        ("/", ""),
        ("//", ""),
    ):
        assert likely(path) == meant
        assert likely(meant) == meant or not meant
