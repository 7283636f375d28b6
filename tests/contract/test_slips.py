"""An agent's task with a model that slips in form at every turn: the client sees clean turns only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from turns_of import answered, called, counted, say, tools_for, user

from tests.scenarios import slips

SCENARIO = Path(slips.__file__)
TEXT = {"type": "string"}


def _tool(required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


TOOLS = {
    "Write": _tool("file_path content", file_path=TEXT, content=TEXT),
    "Read": _tool("file_path", file_path=TEXT, limit={"type": "number"}),
    "Edit": _tool(
        "file_path old_string new_string",
        file_path=TEXT,
        old_string=TEXT,
        new_string=TEXT,
        replace_all={"type": "boolean", "default": False},
    ),
    "Bash": _tool(
        "command",
        command=TEXT,
        description=TEXT,
        timeout={"type": "number"},
        run_in_background={"type": "boolean"},
    ),
}
# Each slip by the name of its correction; the three that lose something are asked about, one round each.
COUNTED = {
    "repair_rounds": 3,
    "namecase": 1,
    "comma": 1,
    "rawnonce": 1,
    "fence": 1,
    "pylit": 1,
    "str2num": 1,
    "ctrl": 1,
    "closer": 1,
    "salvaged:hermes": 1,
    "inner": 1,
    "str2bool": 1,
    "noclose": 1,
    "doubled": 1,
    "pydict": 1,
    "fabricated_result": 1,
    "calls_delivered": 6,
}


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
@pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
async def test_a_task_full_of_slips_reaches_the_agent_clean(
    start: Any, wire: str, stream: bool
) -> None:
    """Seventeen slips of form, and every call arrives exactly as it was meant, counted by its correction."""
    bridge = await start(surface="platform", org={"scenario": str(SCENARIO)})
    messages = [user("[[acceptance loop dir=/tmp/work nonce=abc123]] Write hello.py and run it.")]
    for number, meant in enumerate(slips.turns("/tmp/work", "abc123")):
        answer = await say(
            bridge,
            wire,
            "claude-sonnet-4-6",
            stream=stream,
            messages=messages,
            tools=tools_for(wire, TOOLS),
        )
        assert (answer.status, answer.whole) == (200, True), answer.error
        assert answer.text.rstrip("\n") == meant.text
        # as text, because 0 and False are equal in Python
        assert json.dumps(answer.calls_made) == json.dumps(meant.calls), number
        if meant.calls:
            made = [(call_id, name, json.loads(text)) for call_id, name, text in answer.calls]
            messages.append(called(wire, *made, text=answer.text))
            results = [(call_id, "done", False) for call_id, _, _ in made]
            messages += answered(wire, *results)
    counters = await counted(bridge)
    assert {name: counters.get(name, 0) for name in COUNTED} == COUNTED
    assert counters.get("faults_final", 0) == 0


def test_the_task_holds_at_least_ten_different_slips() -> None:
    """The scenario keeps its promise of many different slips."""
    assert len({slip for turn in slips.SLIPS for slip in turn}) >= 10
    assert len(set(COUNTED) - {"repair_rounds", "calls_delivered"}) >= 10
