"""Turns of a conversation with tools, as each wire's client writes them."""

from __future__ import annotations

import json
from typing import Any

from speak import PATHS, Heard, heard

# id, name, arguments
Made = tuple[str, str, dict[str, Any]]
# id, content (text, or blocks of the wire), and whether the tool failed
Given = tuple[str, Any, bool]


def tools_for(wire: str, schemas: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The tools of these schemas."""
    if wire == "anthropic":
        return [{"name": name, "input_schema": schema} for name, schema in schemas.items()]
    return [
        {"type": "function", "function": {"name": name, "parameters": schema}}
        for name, schema in schemas.items()
    ]


def choice_for(wire: str, choice: str) -> dict[str, Any]:
    """The fields for a choice: auto, none, required, single (at most one call), or a tool's name."""
    if wire == "anthropic":
        words: dict[str, dict[str, Any]] = {
            "auto": {"type": "auto"},
            "none": {"type": "none"},
            "required": {"type": "any"},
            "single": {"type": "auto", "disable_parallel_tool_use": True},
        }
        return {"tool_choice": words.get(choice, {"type": "tool", "name": choice})}
    if choice == "single":
        return {"parallel_tool_calls": False}
    if choice in ("auto", "none", "required"):
        return {"tool_choice": choice}
    return {"tool_choice": {"type": "function", "function": {"name": choice}}}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def called(wire: str, *calls: Made, text: str = "") -> dict[str, Any]:
    """The assistant's turn that made these calls."""
    if wire == "openai":
        made = [
            {
                "id": call_id,
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
            }
            for call_id, name, arguments in calls
        ]
        return {"role": "assistant", "content": text or None, "tool_calls": made}
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    blocks += [
        {"type": "tool_use", "id": call_id, "name": name, "input": arguments}
        for call_id, name, arguments in calls
    ]
    return {"role": "assistant", "content": blocks}


def answered(wire: str, *results: Given, text: str = "") -> list[dict[str, Any]]:
    """The turn or turns that give these results, and what the user says behind them."""
    if wire == "openai":
        turns = [
            {"role": "tool", "tool_call_id": call_id, "content": content}
            for call_id, content, _ in results
        ]
        return [*turns, user(text)] if text else turns
    blocks: list[dict[str, Any]] = []
    for call_id, content, failed in results:
        block = {"type": "tool_result", "tool_use_id": call_id, "content": content}
        blocks.append({**block, "is_error": True} if failed else block)
    if text:
        blocks.append({"type": "text", "text": text})
    return [{"role": "user", "content": blocks}]


async def say(bridge: Any, wire: str, model: str, **body: Any) -> Heard:
    """One request, its body as given, and its whole answer."""
    if wire == "anthropic":
        body = {"max_tokens": 4000, **body}
    url = bridge.url + PATHS[wire]
    async with bridge.http.post(url, json={"model": model, **body}) as answer:
        return heard(wire, answer.status, answer.headers, await answer.read())


async def counted(bridge: Any) -> dict[str, int]:
    """What the bridge has counted since its start."""
    async with bridge.http.get(bridge.url + "/v1/sfbridge/stats") as answer:
        found: dict[str, int] = (await answer.json())["counters"]
        return found
