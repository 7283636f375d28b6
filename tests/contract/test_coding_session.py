"""A coding agent's session through /v1/responses: a dozen tool calls in one conversation, on every surface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from responses_stream import read_response
from speak import records

SCENARIO = str(Path(__file__).parents[1] / "scenarios" / "chores.py")
STRING = {"type": "string"}
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "name": "exec_command",
        "description": "Runs a command.",
        "strict": False,
        "parameters": {"type": "object", "properties": {"cmd": STRING}, "required": ["cmd"]},
    },
    {
        "type": "custom",
        "name": "apply_patch",
        "description": "Edits files. This is a FREEFORM tool, so do not wrap the patch in JSON.",
        "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch"'},
    },
    {
        "type": "namespace",
        "name": "agents",
        "description": "Sub-agents.",
        "tools": [
            {
                "type": "function",
                "name": "spawn",
                "parameters": {"type": "object", "properties": {"task": STRING}},
            }
        ],
    },
    {"type": "web_search", "external_web_access": False},
]
# a surface with native tools in two dialects, and one without any
PLACES = [("gateway", "gpt-4o"), ("gateway", "claude-sonnet-4-6"), ("platform", "gpt-4o")]
CALLS = ("function_call", "custom_tool_call")


def asked(items: list[dict[str, Any]], model: str) -> dict[str, Any]:
    return {
        "model": model,
        "instructions": "You are a coding agent.",
        "input": items,
        "tools": TOOLS,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
    }


async def turn(bridge: Any, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of one answer, taken from the events in which each is done, as coding agents take them."""
    async with bridge.http.post(bridge.url + "/v1/responses", json=body) as answer:
        assert answer.status == 200
        assert answer.headers["x-sfbridge-ignored"] == "tools.web_search"
        stream = records(await answer.read())
    response = read_response(stream)
    assert response["status"] == "completed"
    done = [
        json.loads(data)["item"] for name, data in stream if name == "response.output_item.done"
    ]
    assert done == response["output"]
    return done


def output_of(call: dict[str, Any], number: int) -> dict[str, Any]:
    words = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")
    said = f'result of call {number}: {words[number % 6]}\n```\n</tool_call> "x"\n```'
    kind = (
        "custom_tool_call_output" if call["type"] == "custom_tool_call" else "function_call_output"
    )
    return {"type": kind, "call_id": call["call_id"], "output": said}


def text_of(items: list[dict[str, Any]]) -> str:
    return "".join(
        p["text"] for item in items if item["type"] == "message" for p in item["content"]
    )


@pytest.mark.parametrize(("surface", "model"), PLACES)
async def test_a_dozen_calls_in_one_conversation(start: Any, surface: str, model: str) -> None:
    """Every call arrives whole and in its tool's form, and every result reaches the model, to the end."""
    bridge = await start(surface=surface, org={"scenario": SCENARIO})
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Tidy up."}]},
    ]  # fmt: skip
    made: list[dict[str, Any]] = []
    while True:
        answer = await turn(bridge, asked(items, model))
        calls = [item for item in answer if item["type"] in CALLS]
        items += answer
        if not calls:
            break
        for call in calls:
            made.append(call)
            items.append(output_of(call, len(made)))
    assert text_of(answer) == "Done. It began with bravo and ended with alpha."
    assert len(made) == 12
    assert len({call["call_id"] for call in made}) == 12
    ids = [item["id"] for item in items if "id" in item]
    assert len(set(ids)) == len(ids)
    assert json.loads(made[0]["arguments"]) == {"cmd": "step 1 && echo 'a \"b\" \\n'"}
    patches = [call for call in made if call["type"] == "custom_tool_call"]
    assert [call["input"].splitlines()[-1] for call in patches] == ["*** End Patch"] * 2
    assert patches[0]["input"].count("\n    ") == 0
    assert "\n-    x = 1\n" in patches[0]["input"]
    (spawned,) = (call for call in made if call.get("namespace"))
    assert (spawned["namespace"], spawned["name"]) == ("agents", "spawn")
    assert bridge.org.violations == []
