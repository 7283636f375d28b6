"""What clients may demand of calls, with models that obey and models that do not: choice x model x wire x upstream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from speak import CALLED, STOPPED, WIRES, Heard
from turns_of import choice_for, counted, say, tools_for, user

from tests.scenarios import choices

SCENARIO = str(Path(choices.__file__))
SCHEMAS = {
    "get_weather": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "get_time": {
        "type": "object",
        "properties": {"zone": {"type": "string"}},
        "required": ["zone"],
        "additionalProperties": False,
    },
}
UPSTREAMS = {
    "chat-generations": ("gateway", "gpt-4o"),
    "bedrock": ("gateway", "claude-sonnet-4-6"),
    "platform": ("platform", "gpt-4o"),
}
# Where a demand is met by instruction, because the upstream has no field for it.
JUDGED = {
    "chat-generations": ("auto", "required", "single", "get_time"),
    "bedrock": ("auto", "none", "required", "single", "get_time"),
    "platform": ("auto", "none", "required", "single", "get_time"),
}
W, T, WORDS = [choices.WEATHER], [choices.TIME], choices.WORDS

# choice, model -> text, calls, further calls of the upstream. A model that a demand leaves free is right in all.
FREE = {
    ("auto", "obeys"): ("", W, 0),
    ("auto", "refuses"): (WORDS, [], 0),
    ("auto", "another"): ("", T, 0),
    ("auto", "two"): ("", W + T, 0),
    ("none", "obeys"): (WORDS, [], 0),
    ("required", "obeys"): ("", W, 0),
    ("required", "another"): ("", T, 0),
    ("required", "two"): ("", W + T, 0),
    ("get_time", "obeys"): ("", T, 0),
    ("single", "obeys"): ("", W, 0),
    ("single", "refuses"): (WORDS, [], 0),
    ("single", "another"): ("", T, 0),
}
# One that breaks a demand is told, and only what was allowed reaches the client.
TOLD = {
    ("none", "refuses"): (WORDS, [], 1),
    ("none", "another"): (WORDS, [], 1),
    ("none", "two"): (WORDS, [], 1),
    ("required", "refuses"): (WORDS, W, 1),
    ("get_time", "refuses"): (WORDS, T, 1),
    ("get_time", "another"): ("", T, 1),
    ("get_time", "two"): ("", T, 1),
    ("single", "two"): ("", W, 0),
}
STUBBORN = ("none refuses", "none two", "required refuses", "get_time refuses", "get_time another")

GRID = [
    pytest.param(upstream, wire, stream, id=f"{upstream}-{wire}-{'stream' if stream else 'fold'}")
    for upstream in UPSTREAMS
    for wire in WIRES
    for stream in (False, True)
]
EVERYWHERE = pytest.mark.parametrize(("upstream", "wire", "stream"), GRID)


async def demand(
    bridge: Any, upstream: str, wire: str, stream: bool, choice: str, model: str
) -> tuple[Heard, int]:
    """One answer under a choice by a kind of model, and how often the org was asked for it."""
    before = bridge.org.calls.count() - bridge.org.calls.count("token")
    answer = await say(
        bridge,
        wire,
        UPSTREAMS[upstream][1],
        stream=stream,
        messages=[user(f"[[choice {choice}; model {model}]] What about Oslo?")],
        tools=tools_for(wire, SCHEMAS),
        **choice_for(wire, choice),
    )
    return answer, bridge.org.calls.count() - bridge.org.calls.count("token") - before


@EVERYWHERE
async def test_what_a_demand_allows_is_delivered_as_it_was_said(
    start: Any, upstream: str, wire: str, stream: bool
) -> None:
    """A model within its rights costs one upstream call, and its words and calls arrive as they are."""
    bridge = await start(surface=UPSTREAMS[upstream][0], org={"scenario": SCENARIO})
    for (choice, model), (text, calls, more) in FREE.items():
        answer, asked = await demand(bridge, upstream, wire, stream, choice, model)
        assert (answer.status, answer.whole) == (200, True), (choice, model, answer.error)
        if upstream == "chat-generations" and choice == "none":
            text = (
                answer.text
            )  # the tools are not shown there, so this model does not play its part
            assert text
        assert (answer.text, answer.calls_made) == (text, calls), (choice, model)
        assert answer.finish == (CALLED if calls else STOPPED)[wire]
        assert asked == 1 + more, (choice, model)
    assert bridge.org.violations == []


@EVERYWHERE
async def test_a_broken_demand_is_told_to_the_model_and_never_seen_by_a_tool(
    start: Any, upstream: str, wire: str, stream: bool
) -> None:
    """A call that was forbidden or a call that is missing is put right with the model, in one round."""
    bridge = await start(surface=UPSTREAMS[upstream][0], org={"scenario": SCENARIO})
    for (choice, model), (text, calls, more) in TOLD.items():
        if choice not in JUDGED[upstream]:
            continue
        answer, asked = await demand(bridge, upstream, wire, stream, choice, model)
        assert (answer.status, answer.whole) == (200, True), (choice, model, answer.error)
        assert (answer.text, answer.calls_made) == (text, calls), (choice, model)
        assert answer.finish == (CALLED if calls else STOPPED)[wire]
        assert asked == 1 + more, (choice, model)
    if "single" in JUDGED[upstream]:
        assert (await counted(bridge))["extra_calls"] == 1


@EVERYWHERE
async def test_a_demand_that_a_model_never_meets_is_a_visible_failure(
    start: Any, upstream: str, wire: str, stream: bool
) -> None:
    """A stubborn model ends in a clean error, never in a forbidden call or a normal ending without one."""
    bridge = await start(surface=UPSTREAMS[upstream][0], org={"scenario": SCENARIO})
    for case in STUBBORN:
        choice, model = case.split()
        if choice not in JUDGED[upstream]:
            continue
        answer, asked = await demand(bridge, upstream, wire, stream, choice, f"stubborn {model}")
        assert not answer.whole, case
        assert answer.calls == [], case
        assert answer.error["message"], case
        assert answer.status == (200 if stream and answer.text else 502), case
        assert asked == 2, case  # the same fault twice: no third time


@EVERYWHERE
async def test_a_forbidden_call_beside_an_allowed_one_is_left_out_and_named(
    start: Any, upstream: str, wire: str, stream: bool
) -> None:
    """Of two calls where only one was demanded, a stubborn model's other one becomes a line of prose."""
    if "get_time" not in JUDGED[upstream]:
        return
    bridge = await start(surface=UPSTREAMS[upstream][0], org={"scenario": SCENARIO})
    answer, _ = await demand(bridge, upstream, wire, stream, "get_time", "stubborn two")
    assert (answer.whole, answer.calls_made) == (True, T)
    assert "get_weather" in answer.text
    assert "left out" in answer.text


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_a_demand_for_a_tool_that_is_not_offered_is_refused(
    start: Any, upstream: str, wire: str
) -> None:
    """A name that no tool has, or a demand without tools, is a 400 that names the field; nothing is asked."""
    bridge = await start(surface=UPSTREAMS[upstream][0])
    for choice, tools in (("get_news", SCHEMAS), ("required", {}), ("get_time", {})):
        answer = await say(
            bridge,
            wire,
            UPSTREAMS[upstream][1],
            messages=[user("What about Oslo?")],
            tools=tools_for(wire, tools),
            **choice_for(wire, choice),
        )
        assert answer.status == 400, (choice, answer.body)
        assert "tool_choice" in answer.error["message"]
    assert bridge.org.calls.count() == bridge.org.calls.count("token")
