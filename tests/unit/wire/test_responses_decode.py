"""Responses bodies as real clients send them -> the neutral request, and every fault by its path."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import (
    DocumentPart,
    ImagePart,
    Message,
    OpaquePart,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from sfbridge.wire.base import Asked, ToolForm
from sfbridge.wire.openai_responses.decode import continued, decode

USER = {"role": "user", "content": "Hi"}
HI = Message("user", (TextPart("Hi"),))
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}


def asked(body: dict[str, Any], headers: dict[str, str] | None = None) -> Asked:
    return decode(json.dumps({"model": "m", **body}).encode(), headers or {})


def messages(*items: Any) -> tuple[Message, ...]:
    return asked({"input": list(items)}).request.messages


def refused(body: dict[str, Any]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        asked(body)
    assert caught.value.param
    assert caught.value.message.startswith(caught.value.param)
    return caught.value


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (USER, HI),
        ({"type": "message", **USER}, HI),
        ({"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}, HI),
        ({"role": "user", "content": [{"type": "text", "text": "Hi"}]}, HI),
        (
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Yes", "annotations": []}],
            },
            Message("assistant", (TextPart("Yes"),)),
        ),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]},
            Message("assistant", (TextPart("No"),)),
        ),
        (
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": "data:image/png;base64,QUJD"}],
            },
            Message(
                "user",
                (ImagePart(media_type="image/png", data="QUJD", path="input[1].content[0]"),),
            ),
        ),
        (
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": {"url": "https://x/y.png"}}],
            },
            Message("user", (ImagePart(address="https://x/y.png", path="input[1].content[0]"),)),
        ),
        (
            {
                "role": "user",
                "content": [{"type": "input_file", "filename": "a.pdf", "file_data": "QUJD"}],
            },
            Message(
                "user",
                (
                    DocumentPart(
                        media_type="application/pdf",
                        data="QUJD",
                        title="a.pdf",
                        path="input[1].content[0]",
                    ),
                ),
            ),
        ),
        (CALL, Message("assistant", (ToolCall("c1", "f", '{"a": 1}'),))),
        (
            {**CALL, "arguments": "", "namespace": "n"},
            Message("assistant", (ToolCall("c1", "n__f", "{}"),)),
        ),
        (OUTPUT, Message("user", (ToolResult("c1", (TextPart("42"),)),))),
        (
            {**OUTPUT, "output": [{"type": "input_text", "text": "42"}]},
            Message("user", (ToolResult("c1", (TextPart("42"),)),)),
        ),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "p", "input": 'a"b'},
            Message("assistant", (ToolCall("c", "p", '{"input":"a\\"b"}'),)),
        ),
        (
            {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"},
            Message("user", (ToolResult("c", (TextPart("ok"),)),)),
        ),
        (
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "encrypted_content": "c2ln",
            },
            Message("assistant", (ThoughtPart("hm", "c2ln"),)),
        ),
        (
            {"type": "reasoning", "summary": [], "content": [{"type": "t", "text": "raw"}]},
            Message("assistant", (ThoughtPart("raw"),)),
        ),
    ],
)
def test_items_of_real_clients(item: dict[str, Any], expected: Message) -> None:
    """Every shape that clients were seen to send is read."""
    assert messages(USER, item) == (HI, expected)


def test_one_turn_of_the_model_is_one_message() -> None:
    """Thoughts, words and calls that stand together are one turn; their results are one, too."""
    second = {**CALL, "call_id": "c2"}
    found = messages(
        USER,
        {"type": "reasoning", "summary": [{"text": "hm"}]},
        {"role": "assistant", "content": "So:"},
        CALL,
        second,
        OUTPUT,
        {**OUTPUT, "call_id": "c2"},
        {"role": "assistant", "content": "One."},
        {"role": "assistant", "content": "Two."},
        USER,
    )
    assert [(m.role, [type(p).__name__ for p in m.parts]) for m in found] == [
        ("user", ["TextPart"]),
        ("assistant", ["ThoughtPart", "TextPart", "ToolCall", "ToolCall"]),
        ("user", ["ToolResult", "ToolResult"]),
        ("assistant", ["TextPart"]),
        ("assistant", ["TextPart"]),
        ("user", ["TextPart"]),
    ]


def test_instructions_and_developers_lead() -> None:
    """Instructions stand before what developers say at the start; later words keep their place."""
    request = asked(
        {
            "instructions": "a",
            "input": [
                {"role": "developer", "content": "b"},
                {"role": "system", "content": [{"type": "input_text", "text": "c"}]},
                USER,
                {"role": "developer", "content": "d"},
            ],
        }
    ).request
    assert [part.text for part in request.system] == ["a", "b", "c"]
    assert request.messages == (HI, Message("system", (TextPart("d"),)))


def test_a_plain_text_is_a_message() -> None:
    """The shortest form of input."""
    assert asked({"input": "Hi"}).request.messages == (HI,)


def test_items_of_the_vendors_own_tools_are_named_and_left_out() -> None:
    """What cannot be passed on is told, unless it is what somebody said; that is kept to be refused by its path."""
    request = asked({"input": [USER, {"type": "web_search_call", "id": "w"}]}).request
    assert request.messages == (HI,)
    assert request.extras == {"input.web_search_call": Raw(b'"web_search_call"')}
    (part,) = messages({"type": "compaction", "encrypted_content": "x"})[0].parts
    assert isinstance(part, OpaquePart)
    assert (part.kind, part.path) == ("compaction", "input[0]")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"model": "", "input": "x"}, "model"),
        ({"input": [7]}, "input[0]"),
        ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "message", "content": "x"}]}, "input[0].role"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": 7}]}]},
            "input[0].content[0].text",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0].image_url",
        ),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}
                ]
            },
            "input[0].content[0].image_url",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0].file_data",
        ),
        (
            {
                "input": [
                    {
                        "role": "user",
                        "content": [{"type": "input_file", "file_data": "!", "filename": "a.txt"}],
                    }
                ]
            },
            "input[0].content[0].file_data",
        ),
        ({"input": [USER, {**CALL, "arguments": "[1]"}]}, "input[1].arguments"),
        ({"input": [USER, {**CALL, "arguments": {}}]}, "input[1].arguments"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        (
            {
                "input": [
                    {
                        "role": "system",
                        "content": [{"type": "input_image", "image_url": "https://x/y.png"}],
                    }
                ]
            },
            "input[0].content",
        ),
        ({"input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"input": "x", "tools": [{**TOOL, "parameters": 7}]}, "tools[0].parameters"),
        (
            {"input": "x", "tools": [{"type": "namespace", "name": "n", "tools": [{}]}]},
            "tools[0].tools[0].name",
        ),
        (
            {"input": "x", "tools": [{"type": "custom", "name": "p", "format": 7}]},
            "tools[0].format",
        ),
        ({"input": "x", "tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
        ({"input": "x", "tool_choice": "required"}, "tool_choice"),
        (
            {"input": "x", "tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}},
            "tool_choice.name",
        ),
        ({"input": "x", "tools": [TOOL], "tool_choice": {"type": "mcp"}}, "tool_choice.type"),
        (
            {
                "input": "x",
                "tools": [TOOL],
                "tool_choice": {"type": "allowed_tools", "mode": "no", "tools": [{"name": "f"}]},
            },
            "tool_choice.mode",
        ),
        (
            {
                "input": "x",
                "tools": [TOOL],
                "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []},
            },
            "tool_choice.tools",
        ),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "x", "truncation": "middle"}, "truncation"),
        ({"input": "x", "text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"input": "x", "text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"input": "x", "conversation": "conv_1"}, "conversation"),
        ({"input": "x", "prompt": {"id": "p"}}, "prompt"),
        ({"input": "x", "temperature": "warm"}, "temperature"),
    ],
)
def test_faults_are_named_by_their_path(body: dict[str, Any], param: str) -> None:
    """What cannot be read is told in the client's own words."""
    assert refused(body).param == param


@pytest.mark.parametrize(
    ("fields", "ignored"),
    [
        ({"background": False, "service_tier": "auto", "top_logprobs": 0, "store": True}, set()),
        ({"metadata": {"a": "b"}, "prompt_cache_key": "k", "client_metadata": {"x": "y"}}, set()),
        ({"include": ["reasoning.encrypted_content"], "text": {"verbosity": "medium"}}, set()),
        ({"background": True, "max_tool_calls": 3}, {"background", "max_tool_calls"}),
        ({"include": ["message.output_text.logprobs"]}, {"include"}),
        ({"text": {"verbosity": "low"}}, {"text.verbosity"}),
        ({"tools": [{"type": "web_search"}, TOOL]}, {"tools.web_search"}),
        (
            {
                "tools": [{"type": "web_search"}, TOOL],
                "tool_choice": {"type": "web_search"},
            },
            {"tools.web_search"},
        ),
    ],
)
def test_wishes_that_nobody_reads_are_named(fields: dict[str, Any], ignored: set[str]) -> None:
    """Unknown fields and tools never refuse a request; those that ask for something are reported."""
    assert set(asked({"input": "x", **fields}).request.extras) == ignored


def test_knobs_are_read_under_their_own_words() -> None:
    """What is dropped later is reported as the client wrote it."""
    request = asked(
        {
            "input": "x",
            "max_output_tokens": 9,
            "temperature": 0.5,
            "top_p": 0.9,
            "reasoning": {"effort": "low", "summary": "auto"},
            "truncation": "auto",
            "parallel_tool_calls": False,
            "user": "u",
            "stream": True,
        },
        {"session-id": "s-1", "user-agent": "codex"},
    ).request
    assert (request.max_output, request.truncate, request.stream) == (9, True, True)
    assert (request.sampling.temperature, request.sampling.top_p) == (0.5, 0.9)
    assert request.thinking is not None
    assert request.thinking.effort == "low"
    assert request.choice == ToolChoice(parallel=False)
    assert (request.caller.conversation, request.caller.user) == ("s-1", "u")
    assert request.words["thinking"] == "reasoning.effort"


def test_shapes() -> None:
    """Text, JSON, and JSON that fits a schema."""
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    for wish, kind in (
        ({"type": "text"}, "text"),
        ({"type": "json_object"}, "json"),
        (schema, "schema"),
    ):
        shape = asked({"input": "x", "text": {"format": wish}}).request.shape
        assert shape.kind == kind
    assert shape.name == "n"
    assert json.loads(bytes(shape.schema or b"")) == {"type": "object"}


def test_tools_in_their_three_forms() -> None:
    """Inside all are functions; the forms tell how the client writes them."""
    found = asked(
        {
            "input": "x",
            "tools": [
                TOOL,
                {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "G"}},
                {"type": "namespace", "name": "n", "tools": [TOOL, {"type": "custom", "name": "q"}]},
            ],
            "tool_choice": {"type": "custom", "name": "p"},
        }
    )  # fmt: skip
    tools = found.request.tools
    assert [tool.name for tool in tools] == ["f", "p", "n__f", "n__q"]
    assert found.forms == {
        "p": ToolForm(name="p", custom=True),
        "n__f": ToolForm(name="f", namespace="n"),
        "n__q": ToolForm(name="q", namespace="n", custom=True),
    }
    schema = json.loads(bytes(tools[1].schema))
    assert schema["required"] == ["input"]
    assert schema["properties"]["input"]["description"].endswith("lark grammar:\nG")
    assert found.request.choice == ToolChoice("named", "p")


def test_only_allowed_tools_are_offered() -> None:
    """A choice of some tools offers only those."""
    allowed = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "g"}],
    }
    request = asked(
        {"input": "x", "tools": [TOOL, {**TOOL, "name": "g"}], "tool_choice": allowed}
    ).request
    assert [tool.name for tool in request.tools] == ["g"]
    assert request.choice == ToolChoice("required")


def test_echo_is_what_was_sent() -> None:
    """Fields that answers repeat are kept as they were written."""
    echo = asked({"input": "x", "temperature": 0.5, "metadata": {"a": "b"}, "n": 1}).echo
    assert {name: bytes(raw) for name, raw in echo.items()} == {
        "temperature": b"0.5",
        "metadata": b'{"a": "b"}',
    }


def test_a_request_goes_on_from_an_earlier_answer() -> None:
    """Earlier messages stand before the new ones; instructions were for their own answer only."""
    body = {"instructions": "new", "input": [OUTPUT, {"role": "developer", "content": "d"}]}
    given = asked({**body, "previous_response_id": "resp_1"})
    assert given.chain is not None
    assert (given.chain.follows, given.chain.store) == ("resp_1", None)
    earlier = (HI, Message("assistant", (ToolCall("c1", "f", "{}"),)))
    request = continued(given, {}, (TextPart("dev"),), earlier).request
    assert [part.text for part in request.system] == ["new", "dev"]
    assert request.messages == (
        *earlier,
        Message("user", (ToolResult("c1", (TextPart("42"),)),)),
        Message("system", (TextPart("d"),)),
    )


def test_references_stand_for_items() -> None:
    """An item that stands elsewhere is put in its place; one that nobody has is an error of the vendor's words."""
    given = asked(
        {"input": [USER, {"type": "item_reference", "id": "fc_1"}, {"id": "msg_1"}, OUTPUT]}
    )
    assert given.chain is not None
    assert given.chain.refers == ("fc_1", "msg_1")
    said = {"role": "assistant", "content": "So."}
    found = {"fc_1": Raw(json.dumps(CALL).encode()), "msg_1": Raw(json.dumps(said).encode())}
    assert continued(given, found).request.messages == messages(USER, CALL, said, OUTPUT)
    with pytest.raises(GatewayError, match="Item with id 'msg_1' not found") as caught:
        continued(given, {"fc_1": found["fc_1"]})
    assert (caught.value.kind, caught.value.param) == ("not_found", "input")


def test_a_reference_names_its_item() -> None:
    """A reference to nothing is refused by its path, also beside items that say something."""
    with pytest.raises(GatewayError) as caught:
        asked({"input": [USER, {"type": "item_reference"}]})
    assert (caught.value.kind, caught.value.param) == ("invalid_request", "input[1].id")
