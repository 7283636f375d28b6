"""Surface B in its three dialects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from org_desk import ASK, CALCULATOR, CLAUDE, GPT, B, Desk, bedrock, turns

TOOLS = [{"type": "function", "function": CALCULATOR}]
CLAUDE_TOOLS = [
    {"name": "calculator", "description": "Computes.", "input_schema": CALCULATOR["parameters"]}
]
RESPONSE_TOOLS = [{"type": "function", **CALCULATOR}, {"type": "web_search"}]
SAYS_HELLO = "Hello! This is the sandbox org speaking."
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "calculator", "arguments": '{"input":"6*7"}'},
}


def chat(*messages: Any, model: str = GPT, **more: Any) -> dict[str, Any]:
    said = turns(*messages) if isinstance(messages[0], str) else list(messages)
    return {"model": model, "messages": said, **more}


def generation(told: dict[str, Any]) -> dict[str, Any]:
    found = told["generation_details"]["generations"][0]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/generations", chat("hi")),
        ("chat/generations/stream", chat("hi")),
        (f"model/{CLAUDE}/invoke", bedrock("hi")),
        (f"model/{CLAUDE}/invoke-with-response-stream", bedrock("hi")),
        ("responses", {"model": GPT, "input": "hi"}),
    ],
)
async def test_surface_can_be_off(open_org: Any, path: str, body: Any) -> None:
    """An org without surface B answers all of its paths with 404."""
    off, on = await open_org(gateway=False), await open_org()
    assert (await off.post(f"{B}/{path}", body))[0] == 404
    response = await on.send(f"{B}/{path}", body)
    assert response.status == 200
    await response.read()


# ---- chat/generations


async def test_chat(desk: Desk) -> None:
    """A chat answer is snake_case and tells its usage."""
    told = (await desk.post(f"{B}/chat/generations", chat("Say hello.")))[1]
    assert generation(told)["content"] == SAYS_HELLO
    assert generation(told)["parameters"]["finish_reason"] == "stop"
    assert told["generation_details"]["parameters"]["usage"]["total_tokens"] == 13


async def test_chat_tool_loop(desk: Desk) -> None:
    """A calculation is called for, and its result stated."""
    body = chat(ASK, tools=TOOLS, tool_config={"mode": "auto", "parallel_calls": True})
    told = generation((await desk.post(f"{B}/chat/generations", body))[1])
    assert told["parameters"]["finish_reason"] == "tool_calls"
    (call,) = told["tool_invocations"]
    assert json.loads(call["function"]["arguments"]) == {"input": "6*7"}
    body["messages"] += [
        {"role": "assistant", "content": "", "tool_invocations": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "42"},
    ]
    told = generation((await desk.post(f"{B}/chat/generations", body))[1])
    assert told["content"] == "The result is 42."
    assert "tool_invocations" not in told


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (chat({"role": "user", "content": [{"type": "text", "text": "x"}]}), "must be a string"),
        (chat({"role": "developer", "content": "x"}), "role"),
        (chat({"role": "tool", "tool_call_id": "c9", "content": "x"}), "preceding message"),
        (
            chat({"role": "assistant", "content": "", "tool_invocations": [CALL]}),
            "must be followed by tool messages",
        ),
        (
            chat({"role": "assistant", "content": "", "tool_invocations": [CALL, CALL]}),
            "duplicate",
        ),
        (chat("x", generation_settings={"max_tokens": 1_000_000}), "max_tokens is too large"),
        ({"model": GPT, "messages": []}, "non-null"),
        (chat("x", model="gpt-4"), "gpt-4 was not found"),
    ],
)
async def test_chat_refusals(desk: Desk, body: Any, words: str) -> None:
    """Broken conversations are refused in the provider's words."""
    status, told = await desk.post(f"{B}/chat/generations", body)
    assert status in (400, 404)
    assert words in told["message"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (
            chat({"role": "assistant", "content": "", "tool_calls": [CALL]}),
            "messages[0].tool_calls",
        ),
        (chat("x", stream=True), "stream"),
        (chat("x", generation_settings={"seed": 1}), "generation_settings.seed"),
        (chat("x", tool_config={"mode": "any"}), "tool_config.mode=any"),
    ],
)
async def test_chat_strict(open_org: Any, body: Any, named: str) -> None:
    """What this dialect drops, OpenAI's `tool_calls` first of all, is a violation."""
    desk = await open_org()
    status, told = await desk.post(f"{B}/chat/generations", body)
    assert (status, told["errorCode"]) == (400, "SANDBOX_STRICT")
    assert desk.org.violations == [f"chat/generations: {named}"]


async def test_tool_calls_are_dropped(open_org: Any) -> None:
    """Without strict mode `tool_calls` vanish, and the result after them has nothing to answer."""
    desk = await open_org(strict=False)
    body = chat(
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    )
    status, told = await desk.post(f"{B}/chat/generations", body)
    assert (status, "preceding message" in told["message"]) == (400, True)


@pytest.mark.parametrize("model", [GPT, "sfdc_ai__DefaultVertexAIGemini35Flash"])
async def test_chat_stream(desk: Desk, model: str) -> None:
    """A stream is deltas, one end, a usage frame, scores that repeat the text, and one of two sentinels."""
    events = await desk.sse(f"{B}/chat/generations/stream", chat("Say hello.", model=model))
    names = [name for name, _ in events if name != "generation"]
    assert names == ["scoringStarted", "scores", "scoringCompleted"]
    frames = [
        json.loads(data) for name, data in events if name == "generation" and b"DONE" not in data
    ]
    said = [g for f in frames for g in f["generation_details"]["generations"]]
    assert "".join(g["content"] for g in said) == SAYS_HELLO
    assert len([g for g in said if g["content"]]) == 3
    assert [g["parameters"]["finish_reason"] for g in said] == [None] * 3 + ["stop"]
    bare = [f for f in frames if not f["generation_details"]["generations"]]
    assert len(bare) == 1
    assert "usage" in bare[0]["generation_details"]["parameters"]
    scores = next(json.loads(data) for name, data in events if name == "scores")
    assert generation(scores)["content"] == SAYS_HELLO
    place, sentinel = (-4, b"[DONE]") if model == GPT else (-1, b"DONE")
    assert events[place] == ("generation", sentinel)


@pytest.mark.parametrize("model", [GPT, "sfdc_ai__DefaultVertexAIGemini35Flash"])
async def test_chat_stream_calls(desk: Desk, model: str) -> None:
    """Tool deltas come keyed by index, or as fragments without id, by family."""
    events = await desk.sse(f"{B}/chat/generations/stream", chat(ASK, model=model, tools=TOOLS))
    frames = [
        json.loads(data) for name, data in events if name == "generation" and b"DONE" not in data
    ]
    deltas = [
        delta
        for frame in frames
        for g in frame["generation_details"]["generations"]
        for delta in g.get("tool_invocations", ())
    ]
    assert deltas[0]["id"]
    assert deltas[0]["function"]["name"] == "calculator"
    assert json.loads("".join(d["function"]["arguments"] for d in deltas)) == {"input": "6*7"}
    for delta in deltas[1:]:
        assert delta.get("index") == (0 if model == GPT else None)
        assert delta.get("id") is None


async def test_limits_and_stops(desk: Desk) -> None:
    """The output limit and stop sequences end an answer where they should."""
    path = f"{B}/chat/generations"
    cut = chat("Say hello.", generation_settings={"max_tokens": 2})
    told = generation((await desk.post(path, cut))[1])
    assert (told["content"], told["parameters"]["finish_reason"]) == ("Hello! T", "length")
    stopped = chat("Say hello.", generation_settings={"stop_sequences": ["org", " This"]})
    told = generation((await desk.post(path, stopped))[1])
    assert (told["content"], told["parameters"]["finish_reason"]) == ("Hello!", "stop")


# ---- invoke


async def test_invoke(desk: Desk) -> None:
    """`invoke` answers one Anthropic message."""
    path = f"{B}/model/{CLAUDE}/invoke"
    told = (await desk.post(path, bedrock("Say hello.", system="Be brief.")))[1]
    assert told["content"] == [{"type": "text", "text": SAYS_HELLO}]
    assert (told["type"], told["role"], told["stop_reason"]) == ("message", "assistant", "end_turn")
    assert told["usage"]["input_tokens"] == 5
    assert told["usage"]["output_tokens"] == 10


async def test_invoke_stream_tool_loop(open_org: Any) -> None:
    """The binary stream keeps Anthropic's order of events in whatever pieces it arrives."""
    desk = await open_org(split_bytes=64)
    ask = bedrock(ASK, tools=CLAUDE_TOOLS)
    events = await desk.invoke_stream(CLAUDE, ask)
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[0]["message"]["usage"]["input_tokens"] > 0
    block = events[1]["content_block"]
    arguments = "".join(
        e["delta"]["partial_json"] for e in events if e["type"] == "content_block_delta"
    )
    assert (block["type"], block["name"], json.loads(arguments)) == (
        "tool_use",
        "calculator",
        {"input": "6*7"},
    )
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] > 0
    use = {"type": "tool_use", "id": block["id"], "name": "calculator", "input": {"input": "6*7"}}
    result = {
        "type": "tool_result",
        "tool_use_id": block["id"],
        "content": [{"type": "text", "text": "42"}],
    }
    ask["messages"] += [
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]
    events = await desk.invoke_stream(CLAUDE, ask)
    text = "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta")
    assert text == "The result is 42."


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def bot(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


USE = {"type": "tool_use", "id": "t1", "name": "calculator", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "42"}
TEXT = {"type": "text", "text": "x"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (bedrock("x", model="y"), "model: Extra inputs"),
        (bedrock("x", stream=True), "stream: Extra inputs"),
        (bedrock("x", tools=[CLAUDE_TOOLS[0] | {"strict": True}]), "tools.0.strict: Extra"),
        (bedrock("x") | {"anthropic_version": "2023-06-01"}, "anthropic_version"),
        (bedrock("x", max_tokens=None), "max_tokens: Field required"),
        (bedrock("x", max_tokens=64_001), "max_tokens: 64001 > 64000"),
        (
            bedrock("x", thinking={"type": "enabled", "budget_tokens": 1024}),
            "thinking.type.adaptive",
        ),
        (bedrock("x", thinking={"type": "adaptive"}, temperature=1), "temperature"),
        (
            bedrock("x", thinking={"type": "adaptive"}, output_config={"effort": "max"}),
            "output_config.effort",
        ),
        (bedrock(), "at least one message"),
        (bedrock(bot(TEXT)), "alternate"),
        (bedrock("x", "y"), "alternate"),
        (bedrock({"role": "system", "content": "x"}), "Input should be 'user' or 'assistant'"),
        (bedrock("x", bot(TEXT)), "prefill"),
        (bedrock(""), "must be non-empty"),
        (bedrock(" \n"), "non-whitespace"),
        (bedrock("x", system=[{"type": "text", "text": ""}]), "system: text"),
        (bedrock(user()), "non-empty content"),
        (bedrock(user({"type": "server_tool_use"})), "is not expected"),
        (bedrock(user(USE)), "can only be in `assistant`"),
        (bedrock("x", bot(USE), "y"), "without `tool_result` blocks"),
        (bedrock("x", bot(USE), user(TEXT, RESULT)), "must come before"),
        (bedrock("x", bot(USE), user(RESULT, RESULT)), "single result"),
        (bedrock(user(RESULT)), "unexpected `tool_use_id`"),
        (bedrock("x", bot(USE, USE), user(RESULT)), "must be unique"),
        (bedrock("x", bot(USE | {"input": "{}"}), user(RESULT)), "valid dictionary"),
        (bedrock("x", tool_choice={"type": "any"}), "while providing tools"),
        (
            bedrock("x", tools=CLAUDE_TOOLS, tool_choice={"type": "tool", "name": "z"}),
            "'z' not found",
        ),
        (bedrock("x", tools=CLAUDE_TOOLS * 2), "must be unique"),
        (
            bedrock("x", tools=[{"name": "a b", "input_schema": {"type": "object"}}]),
            "match pattern",
        ),
        (bedrock("x", tools=[{"name": "a", "input_schema": {}}]), "input_schema.type"),
    ],
)
async def test_invoke_refusals(desk: Desk, body: Any, words: str) -> None:
    """Anthropic on Bedrock is strict about fields and about what may follow what."""
    status, told = await desk.post(f"{B}/model/{CLAUDE}/invoke", body)
    assert (status, told["errorCode"]) == (400, "BAD_ARGUMENT")
    assert words in told["message"]


async def test_thinking_blocks(desk: Desk) -> None:
    """A thinking block in the history is answered with 502 and a bare sentence."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    told = await desk.post(f"{B}/model/{CLAUDE}/invoke", bedrock("x", bot(thought, TEXT), "y"))
    assert told == (502, "No user context has been created!")


async def test_invoke_accepts(desk: Desk) -> None:
    """Adaptive thinking, pictures, forced tools and error results are fine."""
    picture = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
    }
    path = f"{B}/model/{CLAUDE}/invoke"
    body = bedrock(
        user(picture, TEXT), thinking={"type": "adaptive"}, output_config={"effort": "low"}
    )
    assert (await desk.post(path, body))[1]["content"][0]["text"] == "Echo: [image image/png]\nx"
    forced = bedrock("6*7?", tools=CLAUDE_TOOLS, tool_choice={"type": "tool", "name": "calculator"})
    assert (await desk.post(path, forced))[1]["content"][0]["input"] == {"input": "6*7"}
    failed = bedrock(
        ASK, bot(USE), user(RESULT | {"is_error": True, "content": "no"}), tools=CLAUDE_TOOLS
    )
    assert (await desk.post(path, failed))[1]["content"][0]["text"] == "Tool calculator failed: no"


async def test_invoke_is_for_claude(desk: Desk) -> None:
    """Other models are not served in this dialect."""
    assert (await desk.post(f"{B}/model/{GPT}/invoke", bedrock("x")))[0] == 404


# ---- responses


async def test_responses(desk: Desk) -> None:
    """A response is a whole object with output and usage."""
    told = (await desk.post(f"{B}/responses", {"model": GPT, "input": "Say hello."}))[1]
    assert (told["object"], told["status"]) == ("response", "completed")
    assert told["output"][0]["content"][0]["text"] == SAYS_HELLO
    assert told["usage"]["total_tokens"] == 13


async def test_responses_stream_tool_loop(desk: Desk) -> None:
    """The stream has every event that clients need, and a call is answered in the next input."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": ASK}]}
    body: dict[str, Any] = {"model": GPT, "input": [item], "tools": RESPONSE_TOOLS, "stream": True}
    events = [(name, json.loads(data)) for name, data in await desk.sse(f"{B}/responses", body)]
    assert [name for name, _ in events] == [told["type"] for _, told in events]
    assert [told["sequence_number"] for _, told in events] == list(range(len(events)))
    assert events[0][0] == "response.created"
    name, final = events[-1]
    assert (name, final["response"]["status"]) == ("response.completed", "completed")
    (call,) = final["response"]["output"]
    assert json.loads(call["arguments"]) == {"input": "6*7"}
    deltas = [t["delta"] for n, t in events if n == "response.function_call_arguments.delta"]
    assert "".join(deltas) == call["arguments"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "42"}
    body["input"] += [call, output]
    events = [(name, json.loads(data)) for name, data in await desk.sse(f"{B}/responses", body)]
    text = "".join(t["delta"] for n, t in events if n == "response.output_text.delta")
    assert text == "The result is 42."


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"reasoning": {"effort": "max"}}, "Unexpected value 'max'"),
        ({"reasoning": {"effort": "low"}, "temperature": 0.5}, "temperature"),
        ({"input": []}, "at least one item"),
        ({"max_output_tokens": 4}, "max_output_tokens"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
            "No tool call",
        ),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
            "No tool output",
        ),
        ({"input": [{"type": "message", "role": "robot", "content": "x"}]}, "input[0]"),
    ],
)
async def test_responses_refusals(desk: Desk, more: Any, words: str) -> None:
    """What OpenAI refuses is refused."""
    status, told = await desk.post(f"{B}/responses", {"model": GPT, "input": "x", **more})
    assert status == 400
    assert words in told["message"]


async def test_responses_options(desk: Desk) -> None:
    """Schemas, forced tools, instructions and limits are obeyed; other families are not served."""
    path = f"{B}/responses"
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    body: dict[str, Any] = {
        "model": GPT,
        "input": "The capital of France?",
        "instructions": "Be brief.",
    }
    shaped = body | {"text": {"format": {"type": "json_schema", "name": "r", "schema": city}}}
    told = (await desk.post(path, shaped))[1]
    assert json.loads(told["output"][0]["content"][0]["text"]) == {"city": "Paris"}
    tool = {"type": "function", "name": "City", "parameters": city}
    for choice in ("required", {"type": "function", "name": "City"}):
        told = (await desk.post(path, body | {"tools": [tool], "tool_choice": choice}))[1]
        assert json.loads(told["output"][0]["arguments"]) == {"city": "Paris"}
    long = body | {"input": "x" * 200, "max_output_tokens": 16}
    told = (await desk.post(path, long))[1]
    assert (told["status"], told["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    assert (await desk.post(path, body | {"model": CLAUDE}))[0] == 404
