"""The platform surface: what is sent, and how its answers are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import ChatRequest, Message, Sampling, TextPart, ToolCall, ToolResult
from sfbridge.core.stream import Closed, Opened, Text, Usage
from sfbridge.upstream.salesforce.faults import Asked
from sfbridge.upstream.salesforce.platform_api import body, capabilities, path, whole_answer

ASKED = Asked(model="m")
REQUEST = ChatRequest(
    model="m",
    system=(TextPart("Be terse."), TextPart("Always.")),
    messages=(
        Message("user", (TextPart("a"), TextPart("b"))),
        Message("assistant", (ToolCall("1", "f", "{}"),)),
        Message("assistant", (TextPart("é"),)),
        Message("user", (ToolResult("1", (TextPart("r"),)),)),
    ),
    sampling=Sampling(temperature=0.1, seed=1),
    max_output=5,
    stop=("x",),
    stream=True,
)


def test_only_what_the_surface_knows_is_sent() -> None:
    """Texts with one leading system message and nothing else, because the rest would vanish in silence."""
    assert json.loads(body(REQUEST, "")) == {
        "messages": [
            {"role": "system", "content": "Be terse.\n\nAlways."},
            {"role": "user", "content": "a\nb"},
            {"role": "assistant", "content": "é"},
            {"role": "user", "content": "r"},
        ]
    }


def test_the_locale_is_sent_where_it_is_set() -> None:
    """A configured locale goes along in the form that the specification requires."""
    assert json.loads(body(REQUEST, "en_US"))["localization"] == {
        "defaultLocale": "en_US",
        "expectedLocales": ["en_US"],
    }


def answer(parameters: Any, content: str | None = "Paris.", generation: Any = None) -> bytes:
    details = {
        "generations": [{"id": "u", "role": "assistant", "content": content, "timestamp": 1782536893000, "parameters": generation, "contentQuality": None}],
        "parameters": parameters,
    }  # fmt: skip
    return json.dumps({"id": "x", "generationDetails": details}).encode()


@pytest.mark.parametrize(
    ("parameters", "usage"),
    [
        (None, Usage()),
        ({}, Usage()),
        ({"usage": {"prompt_tokens": 91, "completion_tokens": 2, "total_tokens": 93}}, Usage(input=91, output=2)),
        ({"usage": {"inputTokenCount": 7, "outputTokenCount": 8, "cacheReadInputTokenCount": 2, "cacheWriteInputTokenCount": 1}}, Usage(input=7, output=8, cache_read=2, cache_write=1)),
        ({"inputTokenCount": 7.0, "outputTokenCount": 8.0}, Usage(input=7, output=8)),
        ({"usage": {"promptTokenCount": 5, "candidatesTokenCount": 6, "totalTokenCount": 11}}, Usage(input=5, output=6)),
        ({"usage": {"input_tokens": 3, "output_tokens": 4}}, Usage(input=3, output=4)),
        ({"usage": None, "promptTokenCount": 5}, Usage(input=5)),
    ],
)  # fmt: skip
def test_usage_under_every_providers_names(parameters: Any, usage: Usage) -> None:
    """Usage is found under each provider's names, inside `usage` or beside it."""
    end = whole_answer(answer(parameters), ASKED)[-1]
    assert isinstance(end, Closed)
    assert end.usage == usage


@pytest.mark.parametrize(
    ("generation", "reason"),
    [
        ({"finish_reason": "stop", "refusal": None, "logprobs": None, "annotations": []}, "stop"),
        ({"finish_reason": "LENGTH"}, "length"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"finish_reason": None, "stop_reason": "end_turn"}, "stop"),
        ({"finish_reason": "SAFETY"}, "content_filter"),
        (None, "stop"),
    ],
)
def test_why_it_ended(generation: Any, reason: str) -> None:
    """The finish reason is read in any case and under both of its names."""
    end = whole_answer(answer(None, generation=generation), ASKED)[-1]
    assert isinstance(end, Closed)
    assert end.reason == reason


def test_the_model_that_answered_is_told() -> None:
    """One text, the model that the provider names, the end."""
    assert whole_answer(answer({"model": "gpt-4o-mini-2024-07-18"}), ASKED) == [
        Opened(model="gpt-4o-mini-2024-07-18", id="x"),
        Text("Paris."),
        Closed(reason="stop", raw=""),
    ]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"errorCode":"INTERNAL_ERROR","messageCode":"E1","message":"x"}', "upstream_failed"),
        (b'{"id":"x","generationDetails":{"generations":[]}}', "upstream_failed"),
        (b"", "upstream_failed"),
        (b'{"errorCode":"LIMIT_EXCEEDED","message":"x"}', "rate_limited"),
    ],
)
def test_a_200_that_is_no_answer(data: bytes, kind: str) -> None:
    """An error under a 200, or an answer without a generation, is a failure."""
    with pytest.raises(GatewayError) as caught:
        whole_answer(data, ASKED)
    assert caught.value.kind == kind


def test_capabilities_promise_nothing() -> None:
    """Nothing is promised that this surface would drop."""
    can = capabilities(None)
    promised = (can.streams, can.native_tools, can.max_output, can.stop, can.images)
    assert promised == (False,) * 5
    assert (can.knobs, can.choices, can.alternation) == (frozenset(), frozenset(), True)


def test_the_path_holds_the_model() -> None:
    """The model's name is part of the path."""
    assert path("my%2Fmodel") == "/einstein/platform/v1/models/my%2Fmodel/chat-generations"
