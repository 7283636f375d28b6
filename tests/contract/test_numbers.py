"""The numbers of the server: as JSON and for Prometheus, true over real sockets, and without a client's words."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import ClientError
from prometheus_client.parser import text_string_to_metric_families
from speak import ASK, PATHS, WIRES, ask, body_of

from sfbridge.core.statistics import Stats
from sfbridge.server.keys import RUNNING

BOTH = pytest.mark.parametrize("wire", WIRES)
NAMES = {"openai": "openai_chat", "anthropic": "anthropic"}
FAMILY = "sfdc_ai__Default"


async def stats(bridge: Any, **headers: str) -> Stats:
    async with bridge.http.get(bridge.url + "/v1/sfbridge/stats", headers=headers) as answer:
        assert answer.status == 200
        return msgspec.json.decode(await answer.read(), type=Stats, strict=True)


async def metrics(bridge: Any, **headers: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """(sample, sorted label values) -> value."""
    async with bridge.http.get(bridge.url + "/metrics", headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = await answer.text()
    return {
        (sample.name, tuple(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def summed(found: dict[tuple[str, tuple[str, ...]], float], name: str, *labels: str) -> float:
    return sum(
        value
        for (sample, has), value in found.items()
        if sample == name and set(labels) <= set(has)
    )


@BOTH
@pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
async def test_a_turn_is_counted_in_both_forms(start: Any, wire: str, stream: bool) -> None:
    """One whole turn is one in the JSON and one in the metrics, with its tokens and its times."""
    bridge = await start(surface="platform")
    answer = await ask(bridge.http, bridge.url, wire, "gpt-4o", stream=stream)
    assert answer.whole
    told = await stats(bridge)
    for share in (
        told.overall,
        told.wires[NAMES[wire]],
        told.upstreams["salesforce"],
        told.models["gpt-4o"],
    ):
        assert (share.turns, share.outcomes, share.attempts) == (1, {"whole": 1}, 1)
        assert share.input > 0
        assert share.output > 0
        assert share.total.n == share.first.n == 1
        assert share.downgrades == stream
    assert told.keys == {}
    assert told.running == ()
    assert told.gates["salesforce"].in_flight == 0
    assert told.version
    found = await metrics(bridge)
    mine = (f"wire={NAMES[wire]}", "upstream=salesforce", "model=gpt-4o", "key=", "outcome=whole")
    assert summed(found, "sfbridge_turns_total", *mine) == 1
    assert summed(found, "sfbridge_turn_seconds_count", *mine) == 1
    assert summed(found, "sfbridge_turn_seconds_bucket", *mine, "le=+Inf") == 1
    assert summed(found, "sfbridge_first_word_seconds_count", *mine) == 1
    assert summed(found, "sfbridge_input_tokens_total", *mine) == told.overall.input
    assert summed(found, "sfbridge_in_flight", "upstream=salesforce") == 0
    assert summed(found, "process_resident_memory_bytes") > 0


@BOTH
async def test_what_went_wrong_on_the_way_is_counted(start: Any, wire: str) -> None:
    """Retries, corrections, failures and requests that never were a turn each have their number."""
    bridge = await start(surface="platform")
    for model, prompt, tools in (
        (f"{FAMILY}sandbox-429", "Say hello.", False),
        (f"{FAMILY}sandbox-bad-call", ASK, True),
        ("no-such-model", "Say hello.", False),
    ):
        await ask(bridge.http, bridge.url, wire, model, prompt, tools=tools)
    async with bridge.http.post(bridge.url + PATHS[wire], data=b"{") as answer:
        assert answer.status == 415
    told = await stats(bridge)
    assert told.overall.outcomes == {"rate_limited": 1, "whole": 1, "not_found": 1}
    assert (told.overall.retries, told.overall.rounds) == (2, 1)
    assert told.refusals == {"unsupported_media": 1}
    assert told.counters["repair_rounds"] == 1
    found = await metrics(bridge)
    assert summed(found, "sfbridge_retries_total") == 2
    assert summed(found, "sfbridge_rounds_total", "outcome=whole") == 1
    assert summed(found, "sfbridge_refusals_total", "kind=unsupported_media") == 1
    assert summed(found, "sfbridge_findings_total", "name=repair_rounds") == 1


@BOTH
async def test_names_of_clients_make_no_series(start: Any, wire: str) -> None:
    """Forty invented models, keys and agents leave as many series as one: memory and scrapes stay bounded."""
    bridge = await start(surface="platform")
    sizes = []
    for round_ in range(2):
        for number in range(20):
            for model in (f"sfdc_ai__Mine{round_}{number}", f"nothing-{round_}{number}"):
                agent = {"User-Agent": f"agent-{round_}{number}"}
                await ask(bridge.http, bridge.url, wire, model, headers=agent)
        sizes.append(len(await metrics(bridge)))
    assert sizes[0] == sizes[1]
    assert set((await stats(bridge)).models) == {"other"}


async def test_what_runs_now_is_seen(start: Any) -> None:
    """A turn under way is listed with its phase, also one that waits at the gate; afterwards it is gone."""
    bridge = await start(surface="platform", upstream={"in_flight": 1})
    running = bridge.app[RUNNING]
    body = body_of("anthropic", f"{FAMILY}sandbox-slow-30")
    seen, tasks = running.feed.number, []
    async with asyncio.timeout(5):
        for _ in range(2):
            post = bridge.http.post(bridge.url + PATHS["anthropic"], json=body)
            tasks.append(asyncio.create_task(post))
            seen = await running.feed.changed(seen)
        while [turn.phase for turn in (await stats(bridge)).running] != ["asked", "queued"]:
            pass
        told = await stats(bridge)
        assert (told.gates["salesforce"].in_flight, told.gates["salesforce"].waiting) == (1, 1)
        assert told.running[0].target == f"{FAMILY}sandbox-slow-30"
        assert (await metrics(bridge))["sfbridge_queue_depth", ("upstream=salesforce",)] == 1
        for task in tasks:
            task.cancel()
            with pytest.raises((asyncio.CancelledError, ClientError)):
                await task
            seen = await running.feed.changed(seen)
        while (await stats(bridge)).running:
            pass
    assert (await stats(bridge)).overall.outcomes == {"left": 2}


async def test_heartbeats_are_counted(start: Any) -> None:
    """Each sign of life in a silent stream is in the receipt and in the totals."""
    bridge = await start(
        surface="platform", config={"stream": {"patience": 0.02, "keep_alive": 0.05}}
    )
    answer = await ask(bridge.http, bridge.url, "openai", f"{FAMILY}sandbox-slow-0.4", stream=True)
    assert answer.whole
    beats = answer.body.count(b":ka\n\n")
    assert beats > 2
    assert (await stats(bridge)).overall.heartbeats == beats


async def test_scrapers_may_ask_for_open_metrics(start: Any) -> None:
    """A scraper that asks for OpenMetrics gets it, with its end mark."""
    bridge = await start(surface="platform")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with bridge.http.get(bridge.url + "/metrics", headers=accept) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await answer.text()).endswith("# EOF\n")
