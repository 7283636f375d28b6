"""Calls that an upstream makes by itself: checked against their schema, asked for again, refused or passed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from speak import ASK, CALLED, WIRES, ask

BOTH = pytest.mark.parametrize("wire", WIRES)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
FAMILIES = pytest.mark.parametrize(
    "family",
    ["sfdc_ai__Default", "sfdc_ai__DefaultBedrockAnthropic-"],
    ids=["chat-generations", "bedrock"],
)


def model_calls(bridge: Any) -> int:
    return sum(n for (route, _), n in bridge.org.calls.counts.items() if route != "token")


@BOTH
@MODES
@FAMILIES
async def test_a_faulty_call_is_shown_to_the_model_and_made_again(
    start: Any, wire: str, stream: bool, family: str
) -> None:
    """The client sees one clean turn; the model saw its call as a failed one, in the upstream's own dialect."""
    bridge = await start(surface="gateway")
    answer = await ask(
        bridge.http, bridge.url, wire, f"{family}sandbox-bad-call", ASK, tools=True, stream=stream
    )
    assert (answer.whole, answer.finish) == (True, CALLED[wire]), answer.error
    assert answer.calls_made == [("calculator", {"input": "6*7"})]
    assert model_calls(bridge) == 2
    assert bridge.org.violations == []
    shown = json.loads(bridge.org.calls.last[-1].body)["messages"]
    assert "cannot be used" in json.dumps(shown[-1])


@BOTH
@MODES
@FAMILIES
async def test_refuse_fails_at_once(start: Any, wire: str, stream: bool, family: str) -> None:
    """With native_calls = "refuse" a faulty call is a failure after one upstream call."""
    bridge = await start(surface="gateway", upstream={"native_calls": "refuse"})
    answer = await ask(
        bridge.http, bridge.url, wire, f"{family}sandbox-bad-call", ASK, tools=True, stream=stream
    )
    assert not answer.whole
    assert answer.error["message"]
    assert model_calls(bridge) == 1


@BOTH
@FAMILIES
async def test_pass_looks_no_closer(start: Any, wire: str, family: str) -> None:
    """With native_calls = "pass" the call reaches the client as the model made it."""
    bridge = await start(surface="gateway", upstream={"native_calls": "pass"})
    answer = await ask(bridge.http, bridge.url, wire, f"{family}sandbox-bad-call", ASK, tools=True)
    assert answer.finish == CALLED[wire]
    assert model_calls(bridge) == 1


@BOTH
async def test_a_request_that_keeps_failing_ends_in_plain_words(start: Any, wire: str) -> None:
    """The same request failing again within ten minutes is answered, so that retries cannot burn rounds for ever."""
    bridge = await start(surface="gateway", upstream={"native_calls": "refuse"})
    model = "sfdc_ai__Defaultsandbox-bad-call"
    first = await ask(bridge.http, bridge.url, wire, model, ASK, tools=True)
    assert first.status == 502
    assert (
        "x-should-retry" not in first.headers
    )  # a client may try again, and then hears plain words
    second = await ask(bridge.http, bridge.url, wire, model, ASK, tools=True)
    assert (second.status, second.whole, second.calls) == (200, True, [])
    assert "left out" in second.text
