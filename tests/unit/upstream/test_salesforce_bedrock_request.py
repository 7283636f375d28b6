"""Requests in the Anthropic dialect, as Bedrock takes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import (
    ChatRequest,
    DocumentPart,
    ImagePart,
    Message,
    OpaquePart,
    Sampling,
    SealedPart,
    TextPart,
    Thinking,
    ThoughtPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from sfbridge.upstream.salesforce.bedrock import body

HI = Message("user", (TextPart("hi"),))
SCHEMA = Raw(b'{"type": "object",  "properties": {"b": {}, "a": {}}}')
TOOL = Tool(name="f", description="does f", schema=SCHEMA)


def sent(*, thinks: bool = False, **fields: Any) -> dict[str, Any]:
    request = ChatRequest(**{"model": "m", "messages": (HI,), **fields})
    decoded: dict[str, Any] = json.loads(body(request, 100, thinks=thinks))
    return decoded


def test_the_smallest_request() -> None:
    """Version, limit and messages; no model and no stream, which the path says."""
    assert sent(stream=True) == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "hi"}],
    }


def test_everything_that_the_dialect_has() -> None:
    """System, knobs and stops go along under Anthropic's names; a temperature above 1 becomes 1."""
    got = sent(
        system=(TextPart("a", True), TextPart("b")),
        sampling=Sampling(temperature=1.5, top_p=0.5, top_k=3),
        stop=("END",),
    )
    assert got["system"] == "a\n\nb"
    assert (got["temperature"], got["top_p"], got["top_k"]) == (1.0, 0.5, 3)
    assert got["stop_sequences"] == ["END"]


def test_schemas_and_arguments_are_passed_byte_for_byte() -> None:
    """What the client and the model wrote is not parsed and printed again."""
    turns = (HI, Message("assistant", (ToolCall("t", "f", '{"b":1, "a":1.50}'),)))
    request = ChatRequest(model="m", messages=turns, tools=(TOOL,))
    encoded = body(request, 1, thinks=False)
    assert bytes(SCHEMA) in encoded
    assert b'{"b":1, "a":1.50}' in encoded


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice(), None),
        (ToolChoice(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("required"), {"type": "any"}),
        (ToolChoice("named", "f"), {"type": "tool", "name": "f"}),
        (ToolChoice("named", "f", False), {"type": "tool", "name": "f", "disable_parallel_tool_use": True}),
        (ToolChoice("none"), {"type": "none"}),
    ],
)  # fmt: skip
def test_tool_choice(choice: ToolChoice, expected: dict[str, Any] | None) -> None:
    """Each choice has Anthropic's word."""
    got = sent(tools=(TOOL,), choice=choice)
    assert got.get("tool_choice") == expected
    assert got["tools"] == [
        {"name": "f", "description": "does f", "input_schema": json.loads(bytes(SCHEMA))}
    ]


def test_results_stand_first_in_one_user_turn() -> None:
    """Neighbours of one role are one turn, and results go before what the user says."""
    got = sent(
        messages=(
            HI,
            Message("assistant", (TextPart("on it"),)),
            Message("assistant", (ToolCall("1", "f", "{}"), ToolCall("2", "f", ""))),
            Message("user", (TextPart("also"), ToolResult("1", (TextPart("r1"),)))),
            Message("user", (ToolResult("2", (TextPart("no"),), True), TextPart("  \n"))),
        ),
        tools=(TOOL,),
    )
    assert got["messages"] == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "on it"},
                {"type": "tool_use", "id": "1", "name": "f", "input": {}},
                {"type": "tool_use", "id": "2", "name": "f", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "r1"},
                {"type": "tool_result", "tool_use_id": "2", "content": "no", "is_error": True},
                {"type": "text", "text": "also"},
            ],
        },
    ]


def test_a_history_of_calls_without_tools_gets_tools_that_may_not_be_called() -> None:
    """Anthropic refuses calls in a history without tools, so their names are declared."""
    got = sent(
        messages=(
            HI,
            Message("assistant", (ToolCall("1", "f", "{}"),)),
            Message("user", (ToolResult("1"),)),
        )
    )
    assert got["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]
    assert got["tool_choice"] == {"type": "none"}


def test_images_go_as_base64_also_inside_results() -> None:
    """Pictures keep their place, in messages and in results."""
    image = ImagePart(media_type="image/jpeg", data="aGk=")
    block = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/jpeg", "data": "aGk="},
    }
    got = sent(
        messages=(
            HI,
            Message("assistant", (ToolCall("1", "f", "{}"),)),
            Message("user", (ToolResult("1", (TextPart("see"), image)), image)),
        ),
        tools=(TOOL,),
    )
    assert got["messages"][-1]["content"] == [
        {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "see"}, block]},
        block,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(address="https://x.example/a.png", path="messages.0.content.1"),
        DocumentPart(media_type="application/pdf", data="aGk=", path="messages.0.content.1"),
        OpaquePart(dialect="anthropic", kind="new", raw=Raw(b"{}"), path="messages.0.content.1"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_path(part: Any) -> None:
    """A part that the route cannot take is named in the client's own words."""
    with pytest.raises(GatewayError) as caught:
        sent(messages=(Message("user", (TextPart("x"), part)),))
    assert (caught.value.kind, caught.value.param) == ("unsupported", "messages.0.content.1")


THOUGHTFUL = (
    HI,
    Message("assistant", (ThoughtPart("hm", "c2ln"), SealedPart("xx"), TextPart("yes"))),
    Message("user", (TextPart("go"),)),
)


def test_thinking_is_stripped_from_request_and_history() -> None:
    """By default nothing about thinking is sent, because several routes answer it with 502."""
    got = sent(messages=THOUGHTFUL, thinking=Thinking(budget=2000))
    assert "thinking" not in json.dumps(got)
    assert got["messages"][1] == {"role": "assistant", "content": "yes"}


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        (Thinking(), None),
        (Thinking(budget=1024), "low"),
        (Thinking(budget=8000), "medium"),
        (Thinking(budget=32000), "high"),
        (Thinking(effort="minimal"), "low"),
        (Thinking(effort="medium"), "medium"),
        (Thinking(effort="xhigh"), "high"),
    ],
)
def test_adaptive_thinking(thinking: Thinking, effort: str | None) -> None:
    """When thoughts are passed on, the knobs that exclude them are not, and signed thoughts go back."""
    got = sent(
        thinks=True,
        messages=THOUGHTFUL,
        thinking=thinking,
        sampling=Sampling(temperature=0.5, top_k=1),
    )
    assert got["thinking"] == {"type": "adaptive"}
    assert got.get("output_config") == (None if effort is None else {"effort": effort})
    assert not {"temperature", "top_p", "top_k"} & set(got)
    assert got["messages"][1]["content"][:2] == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "xx"},
    ]
