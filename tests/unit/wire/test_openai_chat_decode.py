"""A chat completions body -> the neutral request: real clients' shapes, and where faults are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import (
    ChatRequest,
    ImagePart,
    Message,
    OpaquePart,
    Shape,
    TextPart,
    Thinking,
    ThoughtPart,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from sfbridge.wire.openai_chat.decode import decode

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "calculator", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "calculator", "arguments": "{}"}}


def asked(messages: Any = (USER,), **fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": messages, **fields}
    return decode(json.dumps(body).encode(), {}).request


def refusal(messages: Any = (USER,), **fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        asked(messages, **fields)
    return caught.value


# ---- messages


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (USER, Message("user", (TextPart("Hi"),))),
        ({"role": "user", "content": ""}, Message("user", ())),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}], "name": "Ann"},
            Message("user", (TextPart("a"),)),
        ),
        ({"role": "assistant"}, Message("assistant", ())),
        ({"role": "assistant", "content": "a"}, Message("assistant", (TextPart("a"),))),
        (
            {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL]},
            Message("assistant", (ToolCall("c1", "calculator", "{}"),)),
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": [CALL], "annotations": []},
            Message("assistant", (ToolCall("c1", "calculator", "{}"),)),
        ),
        (
            {"role": "assistant", "content": "a", "tool_calls": None, "function_call": None},
            Message("assistant", (TextPart("a"),)),
        ),
        (
            {"role": "assistant", "content": "a", "reasoning_content": "hm", "tool_calls": [CALL]},
            Message(
                "assistant",
                (ThoughtPart("hm"), TextPart("a"), ToolCall("c1", "calculator", "{}")),
            ),
        ),
        (
            {"role": "assistant", "content": None, "refusal": "No."},
            Message("assistant", (TextPart("No."),)),
        ),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            Message("assistant", (TextPart("No."),)),
        ),
        ({"role": "tool", "tool_call_id": "c1"}, Message("user", (ToolResult("c1"),))),
        (
            {"role": "tool", "tool_call_id": "c1", "content": None},
            Message("user", (ToolResult("c1"),)),
        ),
        (
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "42"}]},
            Message("user", (ToolResult("c1", (TextPart("42"),)),)),
        ),
        (
            {
                "role": "user",
                "content": [
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"},
                    }
                ],
            },
            Message(
                "user",
                (ImagePart(media_type="image/png", data="QUJD", path="messages[1].content[0]"),),
            ),
        ),
        (
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": "https://x/y.png"}],
            },
            Message("user", (ImagePart(address="https://x/y.png", path="messages[1].content[0]"),)),
        ),
    ],
)
def test_messages_of_real_clients(message: dict[str, Any], expected: Message) -> None:
    """Every shape that clients were seen to send is read."""
    assert asked([USER, message]).messages[1:] == (expected,)


def test_adjacent_tool_messages_are_one_user_message() -> None:
    """Results of one turn belong together; the user's words after them are a message of their own."""
    request = asked(
        [
            USER,
            {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "c2"}]},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "tool", "tool_call_id": "c2", "content": "2"},
            USER,
            {"role": "tool", "tool_call_id": "c3", "content": "3"},
        ]
    )
    assert request.messages[2:] == (
        Message("user", (ToolResult("c1", (TextPart("1"),)), ToolResult("c2", (TextPart("2"),)))),
        Message("user", (TextPart("Hi"),)),
        Message("user", (ToolResult("c3", (TextPart("3"),)),)),
    )


def test_leading_instructions_are_the_system_prompt() -> None:
    """Several system and developer messages in front are one prompt; a later one keeps its place."""
    request = asked(
        [
            {"role": "system", "content": "a"},
            {"role": "developer", "content": [{"type": "text", "text": "b"}]},
            {"role": "system", "content": ""},
            USER,
            {"role": "system", "content": "c"},
            {"role": "developer", "content": []},
        ]
    )
    assert request.system == (TextPart("a"), TextPart("b"))
    assert request.messages == (
        Message("user", (TextPart("Hi"),)),
        Message("system", (TextPart("c"),)),
    )


@pytest.mark.parametrize("kind", ["input_audio", "file", "novelty"])
def test_unknown_parts_survive_as_they_are(kind: str) -> None:
    """A part of an unknown kind is kept raw under its path."""
    part = {"type": kind, kind: {"data": "QUJD"}}
    (message,) = asked(
        [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]
    ).messages
    text, opaque = message.parts
    assert text == TextPart("a")
    assert isinstance(opaque, OpaquePart)
    assert (opaque.dialect, opaque.kind) == ("openai_chat", kind)
    assert opaque.path == "messages[0].content[1]"
    assert json.loads(bytes(opaque.raw)) == part


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ('{ "a" : 1.0 }', '{ "a" : 1.0 }'),
        ("", "{}"),
        (None, "{}"),
        ('{"a":"é\\n"}', '{"a":"é\\n"}'),
    ],
)
def test_arguments_are_kept_as_written(arguments: str | None, kept: str) -> None:
    """The argument text of an earlier call is byte-exact; none at all means an empty object."""
    call = {"id": "c1", "function": {"name": "f", "arguments": arguments}}
    (message,) = asked([{"role": "assistant", "tool_calls": [call]}]).messages
    assert message.parts == (ToolCall("c1", "f", kept),)


# ---- tools


def test_tools_are_kept_as_written() -> None:
    """Schemas are not rewritten; an absent one means any object."""
    schema = '{"type":"object", "$schema":"http://json-schema.org/draft-07/schema#"}'
    body = (
        '{"model":"m","messages":[{"role":"user","content":"x"}],"tools":['
        '{"type":"function","function":{"name":"a","description":"d","strict":true,'
        '"parameters":' + schema + "}},"
        '{"function":{"name":"b","description":null,"parameters":null,"strict":null}}]}'
    )
    first, second = decode(body.encode(), {}).request.tools
    assert (first.name, first.description, first.strict) == ("a", "d", True)
    assert bytes(first.schema) == schema.encode()
    assert (second.name, second.description, second.strict) == ("b", "", False)
    assert bytes(second.schema) == b'{"type":"object"}'


def test_vendor_tools_are_left_out_and_reported() -> None:
    """A kind of tool that only the vendor's servers can run is reported, and a choice of it is dropped."""
    request = asked(
        tools=[{"type": "web_search", "x": 1}, TOOL], tool_choice={"type": "web_search"}
    )
    assert [tool.name for tool in request.tools] == ["calculator"]
    assert set(request.extras) == {"tools.web_search"}
    assert request.choice == ToolChoice()
    assert asked(tools=[{"type": "web_search"}], tool_choice="required").choice == ToolChoice()


@pytest.mark.parametrize(
    ("given", "parallel", "choice"),
    [
        (None, None, ToolChoice()),
        ("auto", None, ToolChoice("auto")),
        ("none", True, ToolChoice("none")),
        ("required", False, ToolChoice("required", parallel=False)),
        (None, False, ToolChoice(parallel=False)),
        (
            {"type": "function", "function": {"name": "calculator"}},
            None,
            ToolChoice("named", "calculator"),
        ),
    ],
)
def test_tool_choices(given: Any, parallel: bool | None, choice: ToolChoice) -> None:
    """Each of the vendor's choices has a neutral one."""
    request = asked(tools=[TOOL], tool_choice=given, parallel_tool_calls=parallel)
    assert request.choice == choice


# ---- the rest


@pytest.mark.parametrize(
    ("given", "kind", "schema"),
    [
        (None, "text", None),
        ({"type": "text"}, "text", None),
        ({"type": "json_object"}, "json", None),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
            "schema",
            {"type": "object"},
        ),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, "json", None),
    ],
)
def test_shapes(given: Any, kind: str, schema: Any) -> None:
    """The form of the answer: text, JSON, or JSON that fits a schema."""
    shape = asked(response_format=given).shape
    assert shape.kind == kind
    assert (shape.schema and json.loads(bytes(shape.schema))) == schema


def test_knobs_and_limits() -> None:
    """Tuning knobs, stops, limits and effort arrive under their neutral names."""
    request = asked(
        temperature=0,
        top_p=1,
        top_k=5,
        seed=7,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        max_tokens=5,
        stop="x",
        reasoning_effort="high",
        stream=True,
    )
    knobs = request.sampling
    assert (knobs.temperature, knobs.top_p, knobs.top_k, knobs.seed) == (0, 1, 5, 7)
    assert (knobs.frequency_penalty, knobs.presence_penalty) == (0.5, -0.5)
    assert (request.max_output, request.words["max_output"]) == (5, "max_tokens")
    assert (request.stop, request.stream) == (("x",), True)
    assert request.thinking == Thinking(effort="high")
    assert request.extras == {}


@pytest.mark.parametrize(
    ("fields", "limit", "word"),
    [
        ({"max_completion_tokens": 7}, 7, "max_completion_tokens"),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7, "max_completion_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5, "max_tokens"),
    ],
)
def test_the_newer_limit_wins(fields: Any, limit: int, word: str) -> None:
    """There are two fields for one limit; reports use the client's."""
    request = asked(**fields)
    assert (request.max_output, request.words["max_output"]) == (limit, word)


@pytest.mark.parametrize(("stop", "texts"), [(["a", "b"], ("a", "b")), ([], ()), (None, ())])
def test_stops(stop: Any, texts: Any) -> None:
    """A list of stops, or none."""
    assert asked(stop=stop).stop == texts


@pytest.mark.parametrize("effort", ["none", None])
def test_no_effort_is_no_thinking(effort: str | None) -> None:
    """The effort "none" is a wish for no thinking at all."""
    assert asked(reasoning_effort=effort).thinking is None


def test_streamed_usage_is_a_matter_of_printing() -> None:
    """The wish for a usage chunk does not touch the neutral request."""
    body = {"model": "m", "messages": [USER], "stream": True}
    plain = decode(json.dumps(body).encode(), {})
    body["stream_options"] = {"include_usage": True, "include_obfuscation": False}
    wished = decode(json.dumps(body).encode(), {})
    assert (plain.stream_usage, wished.stream_usage) == (False, True)
    assert plain.request == wished.request


def test_who_asks() -> None:
    """The session, the program and the user's tag come from headers and the body."""
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"user":"u"}'
    caller = decode(body, {"x-session-id": "s", "user-agent": "n8n"}).request.caller
    assert (caller.client, caller.conversation, caller.user) == ("n8n", "s", "u")


def test_only_unread_wishes_are_reported() -> None:
    """Fields that say nothing are not reported; wishes that nobody reads are, as written."""
    idle = {
        "n": 1,
        "store": False,
        "logprobs": False,
        "top_logprobs": 0,
        "logit_bias": {},
        "metadata": {"a": "b"},
        "service_tier": "auto",
        "modalities": ["text"],
        "prediction": None,
        "safety_identifier": "s",
        "response_format": {"type": "text"},
        "tools": [],
        "functions": [],
        "stream": False,
        "user": "u",
    }
    assert asked(**idle).extras == {}
    wishes = {"n": 2, "logprobs": True, "logit_bias": {"1": 5}, "service_tier": "flex"}
    assert asked(**wishes).extras == {
        name: Raw(json.dumps(value).encode()) for name, value in wishes.items()
    }


# ---- faults


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": 7}, "model"),
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [USER, {"role": "user", "content": ["x"]}]}, "messages[1].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]},
            "messages[0].content[0].text",
        ),
        (
            {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "file:///etc"}}],
                    }
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        (
            {
                "messages": [
                    {"role": "system", "content": [{"type": "image_url", "image_url": "http://x"}]}
                ]
            },
            "messages[0].content",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]},
            "messages[0].tool_calls[0].id",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]},
            "messages[0].tool_calls[0].function",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]}]},
            "messages[0].tool_calls[0].type",
        ),
        *(
            (
                {
                    "messages": [
                        {
                            "role": "assistant",
                            "tool_calls": [
                                {"id": "c", "function": {"name": "f", "arguments": bad}}
                            ],
                        }
                    ]
                },
                "messages[0].tool_calls[0].function.arguments",
            )
            for bad in ("{", "[1]", '"text"', "[" * 5000, {"a": 1})
        ),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "assistant", "function_call": {"name": "f"}}]},
            "messages[0].function_call",
        ),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop": 7}, "stop"),
        ({"stop": ["a", 7]}, "stop[1]"),
        ({"user": 7}, "user"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        (
            {"tools": [TOOL, {"function": {"name": "b", "parameters": "x"}}]},
            "tools[1].function.parameters",
        ),
        ({"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "tool_choice.function.name",
        ),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": 7}}},
            "response_format.json_schema.schema",
        ),
    ],
)
def test_faults_have_the_clients_own_path(fields: dict[str, Any], param: str) -> None:
    """A refusal names the place in the client's words, in the message too."""
    error = refusal(**fields)
    assert error.kind in ("invalid_request", "unsupported")
    assert error.param == param
    assert error.message.startswith(f"{param}: ")


@pytest.mark.parametrize("field", ["model", "messages"])
def test_missing_fields_are_named(field: str) -> None:
    """A field that must be there is named when it is not."""
    body = {"model": "m", "messages": [USER]}
    del body[field]
    with pytest.raises(GatewayError) as caught:
        decode(json.dumps(body).encode(), {})
    assert caught.value.param == field


def test_messages_speak_plainly() -> None:
    """The words of a type fault are those of JSON."""
    assert (
        refusal(temperature="hot").message == "temperature: expected a number or null, got a string"
    )
    assert asked(response_format=None).shape == Shape()
