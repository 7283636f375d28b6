"""The fault matrix over real sockets: every misbehaviour of the org x stream and fold x every wire x both dialects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from speak import ASK, CALLED, CUT, EVERY_WIRE, STOPPED, ask, ready

from sfbridge.state.clock import SystemClock

ALL = pytest.mark.parametrize("wire", EVERY_WIRE)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
# dialects of the gateway surface, and the platform surface
SURFACES = pytest.mark.parametrize(
    ("surface", "family"),
    [
        ("gateway", "sfdc_ai__Default"),
        ("gateway", "sfdc_ai__DefaultBedrockAnthropic-"),
        ("platform", "sfdc_ai__Default"),
    ],
    ids=["chat-generations", "bedrock", "platform"],
)

# fault -> status on the OpenAI wire, on the Anthropic wire; upstream calls made
REFUSALS = {
    "429": (429, 429, 3),
    "429-ra": (429, 429, 3),
    "423": (503, 529, 3),
    "503": (503, 529, 3),
    "500": (502, 502, 1),
    "403": (403, 403, 1),
    "html": (502, 502, 1),
    "overflow": (400, 400, 1),
    "masking": (400, 400, 1),
    "200-json-error": (502, 502, 1),
    "empty": (502, 502, 1),
}
RECOVERED = {"429-once": 2, "503-once": 2, "401-once": 2}
BROKEN = ("cut", "bad-json", "error-mid")


class Hasty(SystemClock):
    """Real time, but the waits between attempts (at most 1 s) take none; patience (5 s) stays what it is."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds if seconds > 2 else 0)


def calls(bridge: Any) -> int:
    """Model calls that reached the org."""
    return sum(n for (route, _), n in bridge.org.calls.counts.items() if route != "token")


async def at_rest(bridge: Any) -> None:
    """Nothing is left: no request open on either side, no task of an answer."""
    async with asyncio.timeout(1):
        while bridge.org.open_connections or any(
            task.get_name() == "keep-alive" for task in asyncio.all_tasks()
        ):
            await asyncio.sleep(0.01)


@SURFACES
@ALL
@MODES
@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_refusal_keeps_its_own_status(
    start: Any, surface: str, family: str, wire: str, stream: bool, fault: str
) -> None:
    """An early failure has its own HTTP status, in a stream too, and is tried at most three times."""
    bridge = await start(surface=surface, clock=Hasty())
    # a gateway that has answered is not asked again whether it is there
    assert (await ask(bridge.http, bridge.url, wire, "gpt-4o")).whole
    before = calls(bridge)
    answer = await ask(bridge.http, bridge.url, wire, f"{family}sandbox-{fault}", stream=stream)
    openai, anthropic, made = REFUSALS[fault]
    assert answer.status == (anthropic if wire == "anthropic" else openai), answer.error
    assert not answer.whole
    assert calls(bridge) - before == made
    assert ("retry-after" in answer.headers) == (fault == "429-ra")
    await at_rest(bridge)


@SURFACES
@ALL
@MODES
@pytest.mark.parametrize("fault", RECOVERED)
async def test_what_passes_by_itself_is_not_seen_by_the_client(
    start: Any, surface: str, family: str, wire: str, stream: bool, fault: str
) -> None:
    """A rate limit, an overload or a revoked token that passes costs time, not the answer."""
    bridge = await start(surface=surface, clock=Hasty())
    await ready(bridge.http, bridge.url)
    answer = await ask(bridge.http, bridge.url, wire, f"{family}sandbox-{fault}", stream=stream)
    assert (answer.status, answer.whole) == (200, True)
    assert calls(bridge) == RECOVERED[fault]
    assert answer.headers["x-auth-refreshes"] == ("1" if fault == "401-once" else "0")
    await at_rest(bridge)


@SURFACES
@ALL
@MODES
@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_answer_is_never_a_whole_one(
    start: Any, surface: str, family: str, wire: str, stream: bool, fault: str
) -> None:
    """Cut, garbled or failed in the middle: a status before the first byte, the protocol's error after it."""
    bridge = await start(surface=surface)
    answer = await ask(bridge.http, bridge.url, wire, f"{family}sandbox-{fault}", stream=stream)
    assert not answer.whole
    assert not answer.finish
    assert answer.error["message"]
    assert answer.status == (200 if stream and surface == "gateway" and answer.text else 502)
    await at_rest(bridge)


@SURFACES
@ALL
@MODES
async def test_a_stalled_upstream_is_given_up(
    start: Any, surface: str, family: str, wire: str, stream: bool
) -> None:
    """Silence beyond the configured limit is a timeout that the client sees."""
    limits = {"stream_idle_timeout": 0.3, "read_timeout": 0.3}
    bridge = await start(surface=surface, upstream=limits)
    answer = await ask(bridge.http, bridge.url, wire, f"{family}sandbox-stall", stream=stream)
    assert not answer.whole
    assert answer.status == (200 if answer.text else 504)
    await at_rest(bridge)


@SURFACES
@ALL
@MODES
async def test_a_late_failure_is_told_inside_the_stream(
    start: Any, surface: str, family: str, wire: str, stream: bool
) -> None:
    """After patience the status is gone, so the failure becomes the protocol's in-stream error."""
    limits = {"stream_idle_timeout": 0.5, "read_timeout": 0.5}
    bridge = await start(
        surface=surface, upstream=limits, config={"stream": {"patience": 0.1, "keep_alive": 0.1}}
    )
    answer = await ask(bridge.http, bridge.url, wire, f"{family}sandbox-slow-30", stream=stream)
    assert answer.status == (200 if stream else 504)
    assert not answer.whole
    assert answer.error["message"]
    assert (b":ka\n\n" in answer.body) is stream
    await at_rest(bridge)


@SURFACES
@ALL
@MODES
async def test_a_slow_answer_arrives_whole(
    start: Any, surface: str, family: str, wire: str, stream: bool
) -> None:
    """A prompt that is held for long is kept alive and then answered."""
    bridge = await start(
        surface=surface,
        config={"stream": {"patience": 0.05, "keep_alive": 0.05, "hold_after": 0.2}},
    )
    answer = await ask(bridge.http, bridge.url, wire, f"{family}sandbox-slow-0.6", stream=stream)
    assert (answer.status, answer.whole) == (200, True)
    assert answer.text == "Hello! This is the sandbox org speaking."
    await at_rest(bridge)


@SURFACES
@ALL
@MODES
async def test_a_cut_call_never_reaches_a_tool(
    start: Any, surface: str, family: str, wire: str, stream: bool
) -> None:
    """A call that the output limit cut is dropped, and the limit is told."""
    bridge = await start(surface=surface)
    answer = await ask(
        bridge.http, bridge.url, wire, f"{family}sandbox-cut-call", ASK, tools=True, stream=stream
    )
    assert (answer.whole, answer.calls, answer.finish) == (True, [], CUT[wire])


@SURFACES
@ALL
@MODES
async def test_the_output_limit_is_told(
    start: Any, surface: str, family: str, wire: str, stream: bool
) -> None:
    """A truncated text is never reported as finished."""
    bridge = await start(surface=surface)
    answer = await ask(bridge.http, bridge.url, wire, f"{family}sandbox-length", stream=stream)
    assert (answer.status, answer.finish) == (200, CUT[wire])


@SURFACES
@ALL
@MODES
async def test_fragmented_calls_arrive_exact(
    start: Any, surface: str, family: str, wire: str, stream: bool
) -> None:
    """However the upstream cuts a call into pieces, it leaves whole and exact."""
    bridge = await start(surface=surface)
    answer = await ask(
        bridge.http, bridge.url, wire, f"{family}sandbox-split-tool", ASK, tools=True, stream=stream
    )
    assert (answer.finish, answer.calls_made) == (CALLED[wire], [("calculator", {"input": "6*7"})])


@ALL
@MODES
async def test_a_faulty_emulated_call_is_corrected_by_the_model(
    start: Any, wire: str, stream: bool
) -> None:
    """A call that breaks its schema is asked for again; the client sees one clean turn."""
    bridge = await start(surface="platform")
    model = "sfdc_ai__Defaultsandbox-bad-call"
    answer = await ask(bridge.http, bridge.url, wire, model, ASK, tools=True, stream=stream)
    assert (answer.finish, answer.calls_made) == (CALLED[wire], [("calculator", {"input": "6*7"})])
    assert calls(bridge) == 2
    async with bridge.http.get(bridge.url + "/v1/sfbridge/stats") as stats:
        assert (await stats.json())["counters"]["repair_rounds"] == 1


@ALL
@pytest.mark.parametrize("family", ["sfdc_ai__Default", "sfdc_ai__DefaultBedrockAnthropic-"])
async def test_streams_survive_any_packet_boundaries(start: Any, wire: str, family: str) -> None:
    """Frames split anywhere by the network change nothing."""
    for size in (1, 7, 50):
        bridge = await start(surface="gateway", org={"split_bytes": size})
        answer = await ask(
            bridge.http, bridge.url, wire, f"{family}sandbox-echo", "héllo ✓ 😀 " * 9, stream=True
        )
        assert answer.finish == STOPPED[wire]
        assert "héllo ✓ 😀 " * 8 in answer.text
