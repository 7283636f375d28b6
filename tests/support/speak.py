"""Asks a running bridge in either protocol and reads what came back, strictly, without any SDK."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession
from responses_stream import read_all

# the two that most tests speak, whose bodies are alike; `ask`, `heard` and `body_of` know the third as well
WIRES = ("openai", "anthropic")
EVERY_WIRE = (*WIRES, "responses")
PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "responses": "/v1/responses",
}
# the field in which each wire says what was said
SAID = {"openai": "messages", "anthropic": "messages", "responses": "input"}

CALCULATOR = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "additionalProperties": False,
    "$schema": "http://json-schema.org/draft-07/schema#",
}
ASK = "Use the calculator tool to compute 6*7, then state the result."


@dataclass
class Heard:
    """One answer as its client would understand it. `whole` is False for every visible failure."""

    status: int
    headers: Any
    body: bytes
    whole: bool = False
    text: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)  # id, name, argument JSON
    finish: str = ""
    error: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    model: str = ""

    @property
    def calls_made(self) -> list[tuple[str, Any]]:
        return [(name, json.loads(arguments)) for _, name, arguments in self.calls]


def body_of(
    wire: str, model: str, prompt: str = "Say hello.", *, tools: bool = False, **more: Any
) -> dict[str, Any]:
    said = SAID[wire]
    body: dict[str, Any] = {"model": model, said: [{"role": "user", "content": prompt}]}
    if wire == "anthropic":
        body["max_tokens"] = 1000
    if tools:
        tool = {"name": "calculator", "description": "Computes an arithmetic expression."}
        if wire == "anthropic":
            body["tools"] = [{**tool, "input_schema": CALCULATOR}]
        elif wire == "responses":
            body["tools"] = [{"type": "function", **tool, "parameters": CALCULATOR}]
        else:
            body["tools"] = [{"type": "function", "function": {**tool, "parameters": CALCULATOR}}]
    if "messages" in more:
        more[said] = more.pop("messages")
    return {**body, **more}


async def ask(
    http: ClientSession, url: str, wire: str, model: str, prompt: str = "Say hello.", *,
    tools: bool = False, headers: dict[str, str] | None = None, **more: Any,
) -> Heard:  # fmt: skip
    """One request and its whole answer; a connection that breaks raises aiohttp's ClientError."""
    body = body_of(wire, model, prompt, tools=tools, **more)
    async with http.post(url + PATHS[wire], json=body, headers=headers) as answer:
        data = await answer.read()
        return heard(wire, answer.status, answer.headers, data)


async def ready(http: ClientSession, url: str) -> None:
    """Return when the bridge holds a token and knows its surface."""
    async with asyncio.timeout(5):
        while True:
            async with http.get(url + "/readyz") as answer:
                if answer.status == 200:
                    return


def heard(wire: str, status: int, headers: Any, data: bytes) -> Heard:
    found = Heard(status, headers, data)
    if headers["Content-Type"].startswith("text/event-stream"):
        _STREAMS[wire](found, records(data))
    else:
        assert headers["Content-Type"] == "application/json; charset=utf-8"
        body = json.loads(data)
        if body.get("error"):
            check_envelope(wire, body, headers)
            found.error = body["error"]
        else:
            _BODIES[wire](found, body)
    return found


def check_envelope(wire: str, body: dict[str, Any], headers: Any) -> None:
    error = body["error"]
    assert error["message"]
    assert error["type"]
    if wire != "anthropic":
        assert set(error) == {"message", "type", "param", "code"}
    else:
        assert body["type"] == "error"
        assert body["request_id"] == headers["request-id"]


def records(data: bytes) -> list[tuple[str, str]]:
    """(event, data) of an event stream; comments are left out, a broken record fails."""
    found = []
    text = data.decode()
    assert text.endswith("\n\n") or not text
    for block in text.split("\n\n")[:-1]:
        lines = block.split("\n")
        if all(line.startswith(":") for line in lines):
            continue
        event = "".join(line[7:] for line in lines if line.startswith("event: "))
        payload = [line[6:] for line in lines if line.startswith("data: ")]
        assert len(payload) == 1
        assert payload[0]
        found.append((event, payload[0]))
    return found


def _openai_body(found: Heard, body: dict[str, Any]) -> None:
    choice = body["choices"][0]
    message = choice["message"]
    assert body["object"] == "chat.completion"
    assert message["role"] == "assistant"
    found.text, found.finish, found.usage = (
        message["content"] or "",
        choice["finish_reason"],
        body["usage"],
    )
    found.model = body["model"]
    for call in message.get("tool_calls") or []:
        assert call["type"] == "function"
        found.calls.append((call["id"], call["function"]["name"], call["function"]["arguments"]))
    found.whole = True


def _openai_stream(found: Heard, stream: list[tuple[str, str]]) -> None:
    for place, (_, data) in enumerate(stream):
        if data == "[DONE]":
            assert place == len(stream) - 1
            found.whole = bool(found.finish)
            return
        chunk = json.loads(data)
        if "error" in chunk:
            found.error = chunk["error"]
            assert place == len(stream) - 1
            return
        assert chunk["object"] == "chat.completion.chunk"
        found.model = chunk["model"]
        if chunk.get("usage"):
            assert not found.usage
            found.usage = chunk["usage"]
        for choice in chunk["choices"]:
            if place == 0:
                assert choice["delta"]["role"] == "assistant"
            _openai_delta(found, choice)


def _openai_delta(found: Heard, choice: dict[str, Any]) -> None:
    assert choice["index"] == 0
    assert not found.finish
    delta = choice["delta"]
    found.text += delta.get("content") or ""
    for call in delta.get("tool_calls") or []:
        assert call["index"] == len(found.calls)  # each call leaves whole, in one delta
        found.calls.append((call["id"], call["function"]["name"], call["function"]["arguments"]))
    if choice["finish_reason"]:
        assert not delta
        found.finish = choice["finish_reason"]


def _anthropic_body(found: Heard, body: dict[str, Any]) -> None:
    assert body["type"] == "message"
    assert body["role"] == "assistant"
    found.finish, found.usage, found.model = body["stop_reason"], body["usage"], body["model"]
    for block in body["content"]:
        if block["type"] == "text":
            found.text += block["text"]
        elif block["type"] == "tool_use":
            found.calls.append((block["id"], block["name"], json.dumps(block["input"])))
    found.whole = True


def _anthropic_stream(found: Heard, stream: list[tuple[str, str]]) -> None:
    """The grammar of the Messages API: blocks open, fill and close one after the other."""
    index, kind, started = -1, "", False
    for event, data in stream:
        assert not found.whole
        assert not found.error
        body = json.loads(data)
        assert body["type"] == event
        match event:
            case "message_start":
                assert not started
                started = True
                found.usage, found.model = dict(body["message"]["usage"]), body["message"]["model"]
                assert found.usage["input_tokens"] > 0
            case "content_block_start":
                assert started
                assert not kind
                index, kind = index + 1, body["content_block"]["type"]
                assert body["index"] == index
                if kind == "tool_use":
                    assert body["content_block"]["input"] == {}
                    found.calls.append(
                        (body["content_block"]["id"], body["content_block"]["name"], "")
                    )
            case "content_block_delta":
                assert body["index"] == index
                delta = body["delta"]
                match delta["type"], kind:
                    case "text_delta", "text":
                        found.text += delta["text"]
                    case "input_json_delta", "tool_use":
                        call_id, name, _ = found.calls[-1]
                        assert isinstance(json.loads(delta["partial_json"]), dict)
                        found.calls[-1] = (call_id, name, delta["partial_json"])
                    case (("thinking_delta" | "signature_delta"), "thinking"):
                        pass
                    case wrong:
                        raise AssertionError(wrong)
            case "content_block_stop":
                assert kind
                assert body["index"] == index
                kind = ""
            case "message_delta":
                assert not kind
                found.finish = body["delta"]["stop_reason"]
                found.usage |= body["usage"]
            case "message_stop":
                found.whole = True
            case "error":
                found.error = body["error"]
            case "ping":
                pass
            case _:
                raise AssertionError(event)


def _responses_body(found: Heard, body: dict[str, Any]) -> None:
    assert body["object"] == "response"
    found.model, found.usage = body["model"], body["usage"] or {}
    for item in body["output"]:
        match item["type"]:
            case "message":
                assert item["role"] == "assistant"
                found.text += "".join(part["text"] for part in item["content"])
            case "function_call":
                found.calls.append((item["call_id"], item["name"], item["arguments"]))
            case "custom_tool_call":
                found.calls.append((item["call_id"], item["name"], json.dumps(item["input"])))
            case kind:
                assert kind == "reasoning"
    if body["status"] == "failed":
        found.error = body["error"]
        return
    found.finish = (body["incomplete_details"] or {"reason": body["status"]})["reason"]
    found.whole = True


def _responses_stream(found: Heard, stream: list[tuple[str, str]]) -> None:
    response, text = read_all(stream)
    _responses_body(found, response)
    found.text = text


_STREAMS = {
    "openai": _openai_stream,
    "anthropic": _anthropic_stream,
    "responses": _responses_stream,
}
_BODIES = {"openai": _openai_body, "anthropic": _anthropic_body, "responses": _responses_body}
STOPPED = {"openai": "stop", "anthropic": "end_turn", "responses": "completed"}
CALLED = {"openai": "tool_calls", "anthropic": "tool_use", "responses": "completed"}
CUT = {"openai": "length", "anthropic": "max_tokens", "responses": "max_output_tokens"}
