"""The same conversation in three protocols is one neutral request: what is behind the doors cannot tell them apart."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sfbridge.core.request import ChatRequest, ImagePart, Message, Shape
from sfbridge.wire import WIRES
from sfbridge.wire.base import Wire

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
NAME = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
ARGUMENTS = st.dictionaries(TEXT, TEXT | st.integers() | st.lists(TEXT, max_size=2), max_size=3)
IMAGE = st.sampled_from(["QUJD", "eHl6"])
# what a user says: text, at times with a picture; what the model does: words, calls, or both
USER = st.fixed_dictionaries({"text": TEXT, "image": st.none() | IMAGE})
MODEL = st.fixed_dictionaries(
    {"text": TEXT | st.none(), "calls": st.lists(st.tuples(NAME, ARGUMENTS, TEXT), max_size=3)}
).filter(lambda turn: turn["text"] or turn["calls"])
TURNS = st.lists(st.tuples(USER, MODEL), max_size=3)
TOOL = st.fixed_dictionaries(
    {"name": NAME, "description": TEXT, "schema": st.just({"type": "object"})}
)
WISHES = st.fixed_dictionaries(
    {
        "stream": st.booleans(),
        "temperature": st.none() | st.floats(0, 1),
        "top_p": st.none() | st.floats(0, 1),
        "limit": st.integers(1, 9999),
        "effort": st.sampled_from([None, "low", "high"]),
        "schema": st.sampled_from([None, {"type": "object"}]),
        "choice": st.sampled_from(["auto", "none", "required", "named"]),
        "parallel": st.booleans(),
    }
)


def chat(talk: dict[str, Any]) -> dict[str, Any]:
    said: list[dict[str, Any]] = [{"role": "system", "content": talk["system"]}]
    for number, (user, model) in enumerate(talk["turns"]):
        parts = [{"type": "text", "text": user["text"]}]
        if user["image"]:
            url = {"url": f"data:image/png;base64,{user['image']}"}
            parts.append({"type": "image_url", "image_url": url})
        said.append({"role": "user", "content": parts})
        calls = [
            {"id": f"c{number}_{place}", "function": {"name": n, "arguments": json.dumps(a)}}
            for place, (n, a, _) in enumerate(model["calls"])
        ]
        said.append({"role": "assistant", "content": model["text"], "tool_calls": calls})
        said += [
            {"role": "tool", "tool_call_id": f"c{number}_{place}", "content": result}
            for place, (_, _, result) in enumerate(model["calls"])
        ]
    said.append({"role": "user", "content": talk["last"]})
    tools = [
        {"type": "function", "function": {"name": t["name"], "description": t["description"], "parameters": t["schema"]}}
        for t in talk["tools"]
    ]  # fmt: skip
    body: dict[str, Any] = {"messages": said, "tools": tools, "max_tokens": talk["limit"]}
    body["reasoning_effort"] = talk["effort"]
    if talk["schema"]:
        wish = {"name": "n", "schema": talk["schema"]}
        body["response_format"] = {"type": "json_schema", "json_schema": wish}
    named = {"type": "function", "function": {"name": talk["tools"][0]["name"]}}
    body["tool_choice"] = named if talk["choice"] == "named" else talk["choice"]
    body["parallel_tool_calls"] = talk["parallel"]
    return body


def responses(talk: dict[str, Any]) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for number, (user, model) in enumerate(talk["turns"]):
        parts = [{"type": "input_text", "text": user["text"]}]
        if user["image"]:
            url = f"data:image/png;base64,{user['image']}"
            parts.append({"type": "input_image", "image_url": url})
        items.append({"role": "user", "content": parts})
        if model["text"]:
            part = {"type": "output_text", "text": model["text"]}
            items.append({"type": "message", "role": "assistant", "content": [part]})
        ids = [f"c{number}_{place}" for place in range(len(model["calls"]))]
        items += [
            {"type": "function_call", "call_id": i, "name": n, "arguments": json.dumps(a)}
            for i, (n, a, _) in zip(ids, model["calls"], strict=True)
        ]
        items += [
            {"type": "function_call_output", "call_id": i, "output": result}
            for i, (_, _, result) in zip(ids, model["calls"], strict=True)
        ]
    items.append({"role": "user", "content": talk["last"]})
    tools = [
        {"type": "function", "name": t["name"], "description": t["description"], "parameters": t["schema"]}
        for t in talk["tools"]
    ]  # fmt: skip
    body: dict[str, Any] = {"input": items, "instructions": talk["system"], "tools": tools}
    body |= {"max_output_tokens": talk["limit"], "reasoning": {"effort": talk["effort"]}}
    if talk["schema"]:
        body["text"] = {"format": {"type": "json_schema", "name": "n", "schema": talk["schema"]}}
    named = {"type": "function", "name": talk["tools"][0]["name"]}
    body["tool_choice"] = named if talk["choice"] == "named" else talk["choice"]
    body["parallel_tool_calls"] = talk["parallel"]
    return body


def anthropic(talk: dict[str, Any]) -> dict[str, Any]:
    said: list[dict[str, Any]] = []
    for number, (user, model) in enumerate(talk["turns"]):
        parts: list[dict[str, Any]] = [{"type": "text", "text": user["text"]}]
        if user["image"]:
            source = {"type": "base64", "media_type": "image/png", "data": user["image"]}
            parts.append({"type": "image", "source": source})
        said.append({"role": "user", "content": parts})
        blocks: list[dict[str, Any]] = []
        if model["text"]:
            blocks.append({"type": "text", "text": model["text"]})
        results = []
        for place, (name, arguments, result) in enumerate(model["calls"]):
            made = {"id": f"c{number}_{place}", "name": name, "input": arguments}
            blocks.append({"type": "tool_use", **made})
            results.append({"type": "tool_result", "tool_use_id": made["id"], "content": result})
        said.append({"role": "assistant", "content": blocks})
        if results:
            said.append({"role": "user", "content": results})
    said.append({"role": "user", "content": talk["last"]})
    tools = [
        {"name": t["name"], "description": t["description"], "input_schema": t["schema"]}
        for t in talk["tools"]
    ]
    body: dict[str, Any] = {"messages": said, "system": talk["system"], "tools": tools}
    body |= {"max_tokens": talk["limit"], "output_config": {"effort": talk["effort"]}}
    if talk["schema"]:
        body["output_config"]["format"] = {"type": "json_schema", "schema": talk["schema"]}
    word = {"required": "any", "named": "tool"}.get(talk["choice"], talk["choice"])
    body["tool_choice"] = {"type": word, "disable_parallel_tool_use": not talk["parallel"]}
    if word == "tool":
        body["tool_choice"]["name"] = talk["tools"][0]["name"]
    return body


WRITERS = {"openai_chat": chat, "openai_responses": responses, "anthropic": anthropic}


def understood(wire: Wire, talk: dict[str, Any]) -> ChatRequest:
    """The neutral request without what belongs to a protocol: its words and paths, and the name of a shape."""
    shared = {name: talk[name] for name in ("stream", "temperature", "top_p")}
    body = {"model": "m", **shared, **WRITERS[wire.name](talk)}
    request = wire.decode(json.dumps(body).encode(), {}).request
    messages = tuple(
        Message(
            message.role,
            tuple(replace(p, path="") if isinstance(p, ImagePart) else p for p in message.parts),
        )
        for message in request.messages
    )
    shape = Shape(request.shape.kind, request.shape.schema)
    return replace(request, messages=messages, shape=shape, words={}, dialect="")


@given(
    system=TEXT,
    turns=TURNS,
    last=TEXT,
    tools=st.lists(TOOL, min_size=1, max_size=2, unique_by=lambda tool: tool["name"]),
    wishes=WISHES,
)
@settings(max_examples=100, deadline=None)
def test_the_doors_cannot_be_told_apart(
    system: str, turns: Any, last: str, tools: Any, wishes: dict[str, Any]
) -> None:
    """Each protocol's form of a conversation decodes to the same request."""
    talk = {"system": system, "turns": turns, "last": last, "tools": tools, **wishes}
    # arguments come back as they were printed, so that they are compared as they mean
    first, *others = (meant(understood(wire, talk)) for wire in WIRES if wire.name in WRITERS)
    assert all(other == first for other in others)


def meant(request: ChatRequest) -> tuple[ChatRequest, list[Any]]:
    """The request, its calls' arguments apart from it as what they say."""
    said: list[Any] = []
    messages = []
    for message in request.messages:
        parts = []
        for part in message.parts:
            if hasattr(part, "arguments"):
                said.append(json.loads(part.arguments))
                part = replace(part, arguments="")
            parts.append(part)
        messages.append(Message(message.role, tuple(parts)))
    return replace(request, messages=tuple(messages)), said
