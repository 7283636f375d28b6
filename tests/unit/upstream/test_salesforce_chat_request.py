"""Requests in the gateway's chat dialect."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Raw

from sfbridge.core.request import (
    ChatRequest,
    Message,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from sfbridge.upstream.salesforce.chat_request import body

HI = Message("user", (TextPart("hi"),))
TOOL = Tool(name="f", schema=Raw(b'{"type":"object"}'))


def sent(**fields: Any) -> dict[str, Any]:
    request = ChatRequest(**{"model": "m", "messages": (HI,), **fields})
    decoded: dict[str, Any] = json.loads(body("sfdc_ai__DefaultGPT4Omni", request, 64))
    return decoded


def test_the_smallest_request() -> None:
    """Model, messages, settings and the strategy that every known client sends."""
    assert sent() == {
        "model": "sfdc_ai__DefaultGPT4Omni",
        "messages": [{"role": "user", "content": "hi"}],
        "generation_settings": {"max_tokens": 64},
        "system_prompt_strategy": "use_model_parameter",
    }


def test_knobs_go_under_generation_settings() -> None:
    """Sampling and stops stand where this dialect has them."""
    got = sent(
        sampling=Sampling(temperature=1.8, frequency_penalty=0.1, presence_penalty=0.2),
        stop=("END",),
    )
    assert got["generation_settings"] == {
        "max_tokens": 64,
        "temperature": 1.0,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "stop_sequences": ["END"],
    }


def test_calls_and_results() -> None:
    """Calls are `tool_invocations`, results turns of the role `tool` directly behind them."""
    got = sent(
        system=(TextPart("Be terse."),),
        messages=(
            HI,
            Message("assistant", (TextPart("on it"), ToolCall("1", "f", '{"a": 1}'), ToolCall("2", "f", ""))),
            Message("user", (TextPart("also"), ToolResult("1", (TextPart("r"),)), ToolResult("2", (TextPart("no"),), True))),
        ),
        tools=(TOOL,),
    )  # fmt: skip
    assert got["messages"] == [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "on it",
            "tool_invocations": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
                {"id": "2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "r"},
        {"role": "tool", "tool_call_id": "2", "content": "Error: no"},
        {"role": "user", "content": "also"},
    ]
    assert got["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    ]
    assert got["tool_config"] == {"mode": "auto", "parallel_calls": True}


def test_tools_that_must_not_be_called_are_left_out() -> None:
    """This dialect has no word for "none", so the tools stay at home."""
    got = sent(tools=(TOOL,), choice=ToolChoice("none"))
    assert not {"tools", "tool_config"} & set(got)


def test_one_call_at_a_time() -> None:
    """Parallel calls can be switched off."""
    got = sent(tools=(TOOL,), choice=ToolChoice(parallel=False))
    assert got["tool_config"] == {"mode": "auto", "parallel_calls": False}
