"""A Messages body -> the neutral request: what must pass, what it becomes, and where faults are."""

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
    SealedPart,
    Shape,
    TextPart,
    Thinking,
    ThoughtPart,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from sfbridge.wire.anthropic.decode import decode, decode_count

USER = {"role": "user", "content": "Hi"}
TOOL = {"name": "Read", "description": "reads", "input_schema": {"type": "object"}}


def asked(messages: Any = (USER,), **fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 10, "messages": messages, **fields}
    return decode(json.dumps(body).encode(), {}).request


def parts(*blocks: Any, role: str = "user") -> tuple[Any, ...]:
    (message,) = asked([{"role": role, "content": list(blocks)}]).messages
    assert message.role == role
    return message.parts


def refusal(messages: Any = (USER,), **fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        asked(messages, **fields)
    return caught.value


# ---- messages


def test_a_plain_request() -> None:
    """Strings become texts, and what was not said stays unsaid."""
    request = asked()
    assert request.model == "m"
    assert request.messages == (Message("user", (TextPart("Hi"),)),)
    assert request.max_output == 10
    assert request.stream is False
    assert (request.system, request.tools, request.stop) == ((), (), ())
    assert (request.thinking, request.shape, request.choice) == (None, Shape(), ToolChoice())
    assert request.extras == {}


@pytest.mark.parametrize(
    ("system", "texts"),
    [
        (None, ()),
        ("", ()),
        ("Be brief.", (TextPart("Be brief."),)),
        (
            [
                {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": ""},
                {"type": "text", "text": "b", "cache_control": None},
            ],
            (TextPart("a", cache=True), TextPart("b")),
        ),
    ],
)
def test_the_system_prompt_is_text(system: Any, texts: Any) -> None:
    """A system prompt is a string or text blocks; cache marks are kept, empty texts are not."""
    assert asked(system=system).system == texts


@pytest.mark.parametrize(
    "content", ["Rules.", [{"type": "text", "text": "Rules."}]], ids=["string", "blocks"]
)
def test_leading_system_messages_join_the_system_prompt(content: Any) -> None:
    """A system message before the first turn is part of the system prompt."""
    request = asked([{"role": "system", "content": content}, USER], system="First.")
    assert request.system == (TextPart("First."), TextPart("Rules."))
    assert [message.role for message in request.messages] == ["user"]


def test_later_system_messages_stay_where_they_are() -> None:
    """A system message after a turn keeps its place; an empty one says nothing and goes."""
    request = asked(
        [
            USER,
            {"role": "system", "content": [], "output_config": {"effort": "high"}},
            {"role": "system", "content": "Now be brief."},
            {"role": "system", "content": [{"type": "tool_addition", "tool": {"name": "X"}}]},
        ]
    )
    assert request.messages[1:] == (Message("system", (TextPart("Now be brief."),)),)


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "a"}, TextPart("a")),
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            TextPart("a", cache=True),
        ),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"},
            },
            ImagePart(media_type="image/png", data="QUJD", path="messages.0.content.0"),
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            ImagePart(address="https://x/y.png", path="messages.0.content.0"),
        ),
        (
            {
                "type": "document",
                "title": "T",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"},
            },
            DocumentPart(
                media_type="application/pdf", data="QUJD", title="T", path="messages.0.content.0"
            ),
        ),
        (
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "words"},
            },
            DocumentPart(media_type="text/plain", text="words", path="messages.0.content.0"),
        ),
        (
            {
                "type": "document",
                "source": {
                    "type": "content",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                },
            },
            DocumentPart(media_type="text/plain", text="a\nb", path="messages.0.content.0"),
        ),
        ({"type": "thinking", "thinking": "hm", "signature": "s"}, ThoughtPart("hm", "s")),
        ({"type": "thinking", "thinking": "hm"}, ThoughtPart("hm", "")),
        ({"type": "redacted_thinking", "data": "xyz"}, SealedPart("xyz")),
        (
            {"type": "tool_use", "id": "t1", "name": "Read", "input": {}},
            ToolCall("t1", "Read", "{}"),
        ),
        (
            {"type": "tool_use", "id": "t1", "name": "Read", "input": None},
            ToolCall("t1", "Read", "{}"),
        ),
        ({"type": "tool_use", "id": "t1", "name": "Read"}, ToolCall("t1", "Read", "{}")),
        ({"type": "tool_result", "tool_use_id": "t1"}, ToolResult("t1")),
        (
            {"type": "tool_result", "tool_use_id": "t1", "content": "out", "is_error": True},
            ToolResult("t1", (TextPart("out"),), True),
        ),
        (
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "is_error": None,
                "content": [
                    {"type": "text", "text": "shot:"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="},
                    },
                ],
            },
            ToolResult(
                "t1",
                (
                    TextPart("shot:"),
                    ImagePart(
                        media_type="image/png",
                        data="QQ==",
                        path="messages.0.content.0.content.1",
                    ),
                ),
            ),
        ),
        (
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "content": [
                    {"type": "tool_reference", "tool_name": "CronList"},
                    {"type": "tool_reference", "tool_name": "WebFetch"},
                ],
            },
            ToolResult("t1", (TextPart("Loaded: CronList, WebFetch"),)),
        ),
    ],
)
def test_blocks_become_parts(block: dict[str, Any], part: Any) -> None:
    """Every kind of block that we know has one neutral part."""
    assert parts(block) == (part,)
    unknown = {"type": "novelty"}
    assert parts(block, unknown)[0] == part, "an unknown neighbour changes nothing"


def test_arguments_are_byte_exact() -> None:
    """The input of an earlier call is the JSON text as the client wrote it, spaces and escapes included."""
    literal = '{ "path":"\\u00e9\\n" ,"n": 1.0,  "deep":{"a":[ ]}}'
    body = (
        '{"model":"m","messages":[{"role":"assistant","content":[{"input": '
        + literal
        + ' ,"name":"Read","id":"t","type":"tool_use"}]}]}'
    )
    (message,) = decode(body.encode(), {}).request.messages
    assert message.parts == (ToolCall("t", "Read", literal),)


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ({"type": "novelty", "source": 7}, "messages.0.content.0"),
        ({"type": "search_result", "source": "http://x", "content": []}, "messages.0.content.0"),
        ({"type": "image", "source": {"type": "file", "file_id": "f1"}}, "messages.0.content.0"),
        ({"type": "document", "source": {"type": "url", "url": "x"}}, "messages.0.content.0"),
    ],
)
def test_unknown_blocks_survive_as_they_are(block: dict[str, Any], path: str) -> None:
    """A block of an unknown kind is kept raw under its path, and so is one with an unknown source."""
    (part,) = parts(block)
    assert isinstance(part, OpaquePart)
    assert (part.dialect, part.kind, part.path) == ("anthropic", block["type"], path)
    assert json.loads(bytes(part.raw)) == block


def test_an_unknown_block_inside_a_tool_result_has_its_path() -> None:
    """Tools may answer with blocks of any kind; the path tells which one it was."""
    block = {"type": "tool_result", "tool_use_id": "t", "content": ["x"]}
    assert refusal([USER, {"role": "user", "content": [block]}]).param == (
        "messages.1.content.0.content.0"
    )
    block["content"] = [{"type": "text", "text": "a"}, {"type": "novelty"}]
    (result,) = parts(block)
    assert result.parts[1].path == "messages.0.content.0.content.1"


def test_an_empty_text_block_says_nothing() -> None:
    """Upstreams refuse empty texts, so none leaves the door."""
    assert parts({"type": "text", "text": ""}, {"type": "text", "text": " "}) == (TextPart(" "),)


# ---- tools


def test_tools_are_kept_as_written() -> None:
    """Deferred tools are ordinary, the placeholder goes, and schemas are not rewritten."""
    schema = '{"type": "object",  "$ref":"#/x"}'
    body = (
        '{"model":"m","messages":[{"role":"user","content":"x"}],"tools":['
        '{"name":"A","description":"d","input_schema":' + schema + ',"defer_loading":true},'
        '{"name":"DeferredToolPlaceholder","input_schema":{}},'
        '{"name":"B","type":"custom","input_schema":null,"strict":true},{"name":"C"}]}'
    )
    tools = decode(body.encode(), {}).request.tools
    assert [(tool.name, bytes(tool.schema), tool.strict) for tool in tools] == [
        ("A", schema.encode(), False),
        ("B", b'{"type":"object"}', True),
        ("C", b'{"type":"object"}', False),
    ]
    assert tools[0].description == "d"


def test_the_last_tool_of_a_name_counts() -> None:
    """Clients send a name twice; the later definition wins."""
    (tool,) = asked(tools=[TOOL, {**TOOL, "description": "newer"}]).tools
    assert tool.description == "newer"


def test_vendor_tools_are_left_out_and_reported() -> None:
    """A tool that only the vendor's servers can run is reported by name, and a choice of it is dropped."""
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    request = asked(tools=[search, TOOL, {"type": "mcp_toolset"}], tool_choice={"type": "auto"})
    assert [tool.name for tool in request.tools] == ["Read"]
    assert set(request.extras) == {"tools.web_search", "tools.mcp_toolset"}
    chosen = asked(tools=[search], tool_choice={"type": "tool", "name": "web_search"})
    assert chosen.choice == ToolChoice()
    assert asked(tools=[search], tool_choice={"type": "any"}).choice == ToolChoice()


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ({"type": "auto"}, ToolChoice("auto")),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "none"}, ToolChoice("none")),
        ({"type": "tool", "name": "Read"}, ToolChoice("named", "Read")),
        (
            {"type": "auto", "disable_parallel_tool_use": True},
            ToolChoice("auto", parallel=False),
        ),
        (
            {"type": "any", "disable_parallel_tool_use": False},
            ToolChoice("required", parallel=True),
        ),
    ],
)
def test_tool_choices(given: Any, choice: ToolChoice) -> None:
    """Each of the vendor's choices has a neutral one."""
    assert asked(tools=[TOOL], tool_choice=given).choice == choice


# ---- the rest


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, Thinking(budget=2048)),
        ({"thinking": {"type": "adaptive", "display": "updates"}}, Thinking()),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
            Thinking(effort="high"),
        ),
        ({"output_config": {"effort": "medium"}}, Thinking(effort="medium")),
        ({"output_config": {}}, None),
    ],
)
def test_thinking(fields: Any, thinking: Thinking | None) -> None:
    """A budget, an effort, or neither."""
    assert asked(**fields).thinking == thinking


@pytest.mark.parametrize("field", ["output_config", "output_format"])
def test_an_answer_may_be_asked_for_in_a_schema(field: str) -> None:
    """The schema of the answer is kept as written, in today's field and in the older one."""
    wish = {"type": "json_schema", "schema": {"type": "object", "properties": {}}}
    shape = asked(**{field: {"format": wish} if field == "output_config" else wish}).shape
    assert shape.kind == "schema"
    assert shape.schema is not None
    assert json.loads(bytes(shape.schema)) == wish["schema"]


def test_who_asks() -> None:
    """The session, the program and the user's tag come from headers and metadata."""
    body = (
        b'{"model":"m[1m]","messages":[{"role":"user","content":"x"}],"metadata":{"user_id":"u"}}'
    )
    headers = {"x-claude-code-session-id": "s1", "user-agent": "claude-cli/2"}
    request = decode(body, headers).request
    assert request.model == "m[1m]"
    caller = request.caller
    assert (caller.client, caller.conversation, caller.user) == ("claude-cli/2", "s1", "u")
    assert decode(body, {"x-session-id": "s2"}).request.caller.conversation == "s2"


def test_knobs_and_limits() -> None:
    """Tuning knobs, stops and the stream wish arrive under their neutral names."""
    request = asked(temperature=1, top_p=0.5, top_k=3, stop_sequences=["</b>", ""], stream=True)
    knobs = request.sampling
    assert (knobs.temperature, knobs.top_p, knobs.top_k) == (1.0, 0.5, 3)
    assert (knobs.seed, knobs.presence_penalty) == (None, None)
    assert request.stop == ("</b>",)
    assert request.stream is True
    assert request.words["max_output"] == "max_tokens"
    assert request.words["stop"] == "stop_sequences"


def test_only_unread_wishes_are_reported() -> None:
    """Fields that say nothing are not reported; wishes that nobody reads are, as written."""
    request = asked(
        context_management={"edits": []},
        safeguards=[{"type": "x"}],
        service_tier="auto",
        mcp_servers=[],
        container=None,
        cache_control={"type": "ephemeral"},
        metadata={},
        stream=False,
        temperature=None,
        novelty=False,
        inference_geo="eu",
    )
    assert request.extras == {
        "context_management": Raw(b'{"edits": []}'),
        "safeguards": Raw(b'[{"type": "x"}]'),
        "inference_geo": Raw(b'"eu"'),
    }


def test_a_count_needs_no_limit() -> None:
    """A body of count_tokens is the same request without a length limit."""
    body = b'{"model":"m","messages":[{"role":"user","content":"foo"}],"tools":[{"name":"A"}]}'
    request = decode_count(body, {}).request
    assert (request.max_output, request.stream) == (None, False)
    assert [tool.name for tool in request.tools] == ["A"]


# ---- faults


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "x"}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"messages": [USER, {"role": "user", "content": ["x"]}]}, "messages.1.content.0"),
        (
            {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
            "messages.0.content.0.type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]},
            "messages.0.content.0.text",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
            "messages.0.content.0.source.type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "messages.0.content.0.tool_use_id",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "t", "name": "n", "input": "x"}],
                    }
                ]
            },
            "messages.0.content.0.input",
        ),
        ({"system": [{"type": "image", "source": {"type": "url", "url": "u"}}]}, "system.0.type"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stream": 1}, "stream"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": [TOOL, {"name": "B", "input_schema": []}]}, "tools.1.input_schema"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "X"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": {}}, "tool_choice.type"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
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
