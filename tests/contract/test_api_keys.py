"""API keys over real sockets: who may ask, for what, how much, and that nobody else learns a key."""

from __future__ import annotations

import asyncio
import logging
import sys
import tomllib
from typing import Any

import pytest
from speak import PATHS, WIRES, ask, body_of, ready

from sfbridge.policy.hashes import hashed
from sfbridge.server.keys import COMPARING, QUOTAS

BOTH = pytest.mark.parametrize("wire", WIRES)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
SECRET = "SIM-SECRET-of-ann"
ANN = {"Authorization": f"Bearer {SECRET}"}
FAMILY = "sfdc_ai__Default"


async def begin(start: Any, config: dict[str, Any] | None = None, **key: Any) -> Any:
    """A bridge with the keys ann (as described) and bob (free)."""
    keys = {"ann": {"secret": SECRET, **key}, "bob": "SIM-SECRET-of-bob"}
    if "secret_hash" in key:
        del keys["ann"]["secret"]
    bridge = await start(surface="platform", config={"keys": keys, **(config or {})})
    await ready(bridge.http, bridge.url)
    return bridge


async def get(bridge: Any, path: str, **headers: str) -> tuple[int, Any]:
    async with bridge.http.get(bridge.url + path, headers={**ANN, **headers}) as answer:
        return answer.status, await answer.json()


@BOTH
@MODES
async def test_a_model_outside_the_list_is_refused(start: Any, wire: str, stream: bool) -> None:
    """403 in the door's envelope for any name of a model that the key may not use; its own ones work."""
    bridge = await begin(
        start,
        {"models": {"aliases": {"mine": "gpt-4o", "dear": "claude-sonnet-4-6"}}},
        models=["GPT-4O*"],
    )
    for model in ("gpt-4o", "mine", "gpt-4o-mini"):
        answer = await ask(bridge.http, bridge.url, wire, model, headers=ANN, stream=stream)
        assert answer.whole, model
    # by its name, by an alias, by an id that the default answers, by the org's own name
    for model in ("claude-sonnet-4-6", "dear", "claude-invented-9", f"{FAMILY}sandbox-echo"):
        answer = await ask(bridge.http, bridge.url, wire, model, headers=ANN, stream=stream)
        assert (answer.status, answer.error["type"]) == (403, "permission_error"), model
        assert "'ann'" in answer.error["message"]
    free = {"x-api-key": "SIM-SECRET-of-bob"}
    assert (await ask(bridge.http, bridge.url, wire, "dear", headers=free)).whole
    assert bridge.org.violations == []


async def test_model_lists_show_what_the_key_may_use(start: Any) -> None:
    """The lists of both dialects, single models and token counts follow the key's list."""
    bridge = await begin(start, models=["gpt-4o"])
    _, openai = await get(bridge, "/v1/models")
    assert {model["id"] for model in openai["data"]} >= {"gpt-4o"}
    assert not any("claude" in model["id"] for model in openai["data"])
    _, anthropic = await get(bridge, "/v1/models", **{"anthropic-version": "2023-06-01"})
    assert [model["id"] for model in anthropic["data"]] == ["gpt-4o", "sf/claude-code-gpt-4o"]
    assert (await get(bridge, "/v1/models/gpt-4o"))[0] == 200
    status, body = await get(bridge, "/v1/models/claude-sonnet-4-6")
    assert (status, body["error"]["code"]) == (403, "model_not_allowed")
    body = body_of("anthropic", "claude-sonnet-4-6")
    path = "/v1/messages/count_tokens"
    async with bridge.http.post(bridge.url + path, json=body, headers=ANN) as answer:
        assert answer.status == 403


async def test_fallbacks_keep_to_the_list(start: Any) -> None:
    """A model that fails is not replaced by one that the key may not use."""
    broken, route = f"{FAMILY}sandbox-500", {"fallbacks": ["gpt-4o"]}
    config = {"route": [{"model": broken, **route}]}
    bridge = await begin(start, config, models=[broken])
    assert (await ask(bridge.http, bridge.url, "openai", broken, headers=ANN)).status >= 500
    free = {"x-api-key": "SIM-SECRET-of-bob"}
    assert (await ask(bridge.http, bridge.url, "openai", broken, headers=free)).whole


@BOTH
async def test_requests_beyond_a_minute_are_told_when_to_return(start: Any, wire: str) -> None:
    """429 with retry-after after as many requests as the key may make; other keys are not touched."""
    bridge = await begin(start, requests_per_minute=2)
    for _ in range(2):
        assert (await ask(bridge.http, bridge.url, wire, "gpt-4o", headers=ANN)).whole
    answer = await ask(bridge.http, bridge.url, wire, "gpt-4o", headers=ANN)
    assert (answer.status, answer.error["type"]) == (429, "rate_limit_error")
    assert 50 <= int(answer.headers["retry-after"]) <= 60
    free = {"x-api-key": "SIM-SECRET-of-bob"}
    assert (await ask(bridge.http, bridge.url, wire, "gpt-4o", headers=free)).whole
    status, told = await get(bridge, "/v1/sfbridge/stats")
    assert status == 200
    assert (told["quotas"]["ann"]["requests"], told["quotas"]["ann"]["refused"]) == (2, 1)
    assert told["keys"]["ann"]["outcomes"] == {"whole": 2, "rate_limited": 1}
    assert told["keys"]["bob"]["turns"] == 1


@BOTH
@MODES
async def test_tokens_are_charged_as_they_were(start: Any, wire: str, stream: bool) -> None:
    """A turn costs what its answer reported; the next is refused when the minute's tokens are used."""
    bridge = await begin(start, tokens_per_minute=2000)
    prompt = "Say hello to everyone. " * 100
    used = 0
    for _ in range(9):
        answer = await ask(
            bridge.http, bridge.url, wire, "gpt-4o", prompt, headers=ANN, stream=stream
        )
        if answer.status == 429:
            break
        turn = (await get(bridge, f"/v1/sfbridge/turns/{answer.headers['x-request-id']}"))[1]
        used += turn["turn"]["input"] + turn["turn"]["output"]
        _, told = await get(bridge, "/v1/sfbridge/stats")
        assert told["quotas"]["ann"]["tokens"] == used
    assert answer.status == 429
    assert "tokens_per_minute" in answer.error["message"]
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert 0 < used <= 2000


@BOTH
async def test_a_refused_prompt_costs_nothing(start: Any, wire: str) -> None:
    """What no upstream took is not charged."""
    bridge = await begin(start, tokens_per_minute=2000)
    for model in ("no-such", f"{FAMILY}sandbox-500"):
        await ask(bridge.http, bridge.url, wire, model, headers=ANN)
    _, told = await get(bridge, "/v1/sfbridge/stats")
    assert told["quotas"]["ann"]["tokens"] == 0
    answer = await ask(bridge.http, bridge.url, wire, "gpt-4o", "word " * 9000, headers=ANN)
    assert answer.status == 429
    assert answer.headers["x-should-retry"] == "false"


@MODES
async def test_turns_at_once_are_counted_down_whatever_ends_them(start: Any, stream: bool) -> None:
    """Leaving clients and failing upstreams give their place back; beyond the limit it is 429."""
    bridge = await begin(start, in_flight=2)
    quota = bridge.app[QUOTAS].quota("ann")
    body = body_of("openai", f"{FAMILY}sandbox-slow-30", stream=stream)
    async with asyncio.timeout(10):
        for _ in range(3):
            tasks = [
                asyncio.create_task(
                    bridge.http.post(bridge.url + PATHS["openai"], json=body, headers=ANN)
                )
                for _ in range(2)
            ]
            while quota.running < 2:
                await asyncio.sleep(0.005)
            answer = await ask(bridge.http, bridge.url, "openai", "gpt-4o", headers=ANN)
            assert answer.status == 429
            assert int(answer.headers["retry-after"]) >= 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            while quota.running:
                await asyncio.sleep(0.005)
    failed = await ask(bridge.http, bridge.url, "openai", f"{FAMILY}sandbox-cut", headers=ANN)
    assert not failed.whole
    assert quota.running == 0


async def test_a_hashed_key_opens_and_its_secret_is_nowhere(start: Any, caplog: Any) -> None:
    """A key of which only the hash is configured lets its owner in, many at once; guesses stay outside."""
    caplog.set_level(logging.DEBUG, "sfbridge")
    bridge = await begin(start, secret_hash=hashed(SECRET, b"0123456789abcdef"))
    answers = await asyncio.gather(
        *[
            ask(bridge.http, bridge.url, WIRES[n % 2], "gpt-4o", headers=headers)
            for n in range(8)
            for headers in (ANN, {"x-api-key": "SIM-SECRET-guess"})
        ]
    )
    assert [answer.status for answer in answers] == [200, 401] * 8
    gate = bridge.app[COMPARING]
    assert (gate.inside, gate.waiting, gate.peak) == (0, 0, 1)
    _, told = await get(bridge, "/v1/sfbridge/stats")
    assert told["keys"]["ann"]["turns"] == 8
    assert told["refusals"] == {"authentication": 8}
    assert "SIM-SECRET" not in caplog.text


async def test_a_guess_at_a_hashed_key_opens_no_door(start: Any) -> None:
    """Also the dashboard compares a key that was never seen before it lets anybody look."""
    bridge = await begin(start, secret_hash=hashed(SECRET, b"0123456789abcdef"))
    for key, status in (("SIM-SECRET-guess", 401), ("", 401), (SECRET, 200)):
        async with bridge.http.post(bridge.url + "/dashboard/enter", json={"key": key}) as answer:
            assert answer.status == status
            assert ("Set-Cookie" in answer.headers) is (status == 200)


async def test_metrics_want_a_key_unless_told_otherwise(start: Any) -> None:
    """/metrics is a door like every other; server.open_metrics opens this one alone."""
    for opened in (False, True):
        bridge = await begin(start, {"server": {"open_metrics": opened}})
        async with bridge.http.get(bridge.url + "/metrics") as answer:
            assert answer.status == (200 if opened else 401)
        async with bridge.http.get(bridge.url + "/metrics", headers=ANN) as answer:
            assert answer.status == 200
        async with bridge.http.get(bridge.url + "/v1/sfbridge/stats") as answer:
            assert answer.status == 401


@BOTH
async def test_no_page_tells_a_secret(start: Any, wire: str) -> None:
    """Keys, wrong keys and the org's secret are in no statistics, metrics, receipts or errors."""
    bridge = await begin(start, models=["gpt-4o"], requests_per_minute=5)
    texts = []
    for headers in (ANN, {"x-api-key": "SIM-SECRET-wrong"}, {}):
        for model in ("gpt-4o", "claude-sonnet-4-6"):
            answer = await ask(bridge.http, bridge.url, wire, model, headers=headers)
            texts.append(answer.body.decode())
    for path in ("/metrics", "/v1/sfbridge/stats", "/v1/sfbridge/turns", "/readyz", "/v1/models"):
        async with bridge.http.get(bridge.url + path, headers=ANN) as page:
            texts.append(await page.text())
    assert 'key="ann"' in texts[-5]
    assert not any("SIM-SECRET" in text or "sandbox-secret" in text for text in texts)


async def test_embeddings_are_at_the_expense_of_their_key(start: Any) -> None:
    """The embeddings door knows the same lists and limits as the chat's."""
    bridge = await begin(start, models=["text-embedding-ada-002"], tokens_per_minute=40)
    statuses = []
    for model, texts in (
        ("text-embedding-ada-002", ["word " * 20]),
        ("claude-sonnet-4-6", ["word"]),
        ("text-embedding-ada-002", ["word " * 30]),
    ):
        body = {"model": model, "input": texts}
        async with bridge.http.post(bridge.url + "/v1/embeddings", json=body, headers=ANN) as told:
            statuses.append(told.status)
            usage = (await told.json()).get("usage")
        if usage:
            used = bridge.app[QUOTAS].quota("ann").state().tokens
            assert used == usage["total_tokens"] > 0
    assert statuses == [200, 403, 429]
    assert bridge.app[QUOTAS].quota("ann").running == 0


async def test_a_hash_made_by_the_command_opens(start: Any) -> None:
    """What `hash-key --new` prints is a key and the hash that lets it in, and two runs never agree."""
    printed = []
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sfbridge", "hash-key", "--new", stdout=asyncio.subprocess.PIPE
        )
        printed.append((await process.communicate())[0].decode())
        assert process.returncode == 0
    assert printed[0] != printed[1]
    key = printed[0].split()[1]
    bridge = await begin(
        start, secret_hash=tomllib.loads(printed[0].splitlines()[1])["secret_hash"]
    )
    headers = {"Authorization": f"Bearer {key}"}
    assert (await ask(bridge.http, bridge.url, "openai", "gpt-4o", headers=headers)).whole
    assert (await ask(bridge.http, bridge.url, "openai", "gpt-4o", headers=ANN)).status == 401
