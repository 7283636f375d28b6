"""Whatever bytes come in at any door, a request or a GatewayError comes out, never anything else."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfbridge.core.errors import GatewayError
from sfbridge.wire import WIRES
from sfbridge.wire.base import Asked, Wire

GOOD: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "é"}, {"type": "file"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "42"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "stop": ["x"],
        "max_tokens": 5,
        "stream_options": {"include_usage": True},
        "n": 2,
    },
    "openai_responses": {
        "model": "m",
        "instructions": "s",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "é"}, {"type": "novelty"}]},
            {"type": "reasoning", "summary": [{"text": "hm"}], "encrypted_content": "c2ln"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [{"type": "input_text", "text": "42"}],
            },
            {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"},
            {"type": "custom_tool_call_output", "call_id": "d", "output": "y"},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_file", "file_data": "QUJD"}],
            },
            {"type": "item_reference", "id": "msg_1"},
            {"type": "web_search_call", "id": "ws_1"},
            {"type": "novelty"},
        ],
        "tools": [
            {"type": "function", "name": "f", "parameters": {}},
            {"type": "custom", "name": "g", "format": {"type": "grammar", "definition": "x"}},
            {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "h"}]},
            {"type": "web_search"},
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "f"}]},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        "reasoning": {"effort": "low"},
        "max_output_tokens": 5,
        "include": ["reasoning.encrypted_content"],
        "metadata": {"a": "b"},
        "background": True,
    },
    "openai_completions": {
        "model": "m",
        "prompt": ["é", "b"],
        "n": 2,
        "best_of": 3,
        "echo": True,
        "stop": ["x"],
        "max_tokens": 5,
        "temperature": 0.5,
        "logprobs": 2,
        "suffix": "",
        "stream_options": {"include_usage": True},
        "user": "u",
    },
    "anthropic": {
        "model": "m",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "é"}, {"type": "novelty"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f"}]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [{"type": "tool_reference", "tool_name": "g"}],
                    },
                    {"type": "document", "source": {"type": "text", "data": "d"}},
                ],
            },
        ],
        "tools": [{"name": "f", "input_schema": {}}, {"type": "web_search_1", "name": "w"}],
        "tool_choice": {"type": "tool", "name": "w"},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {}}},
        "metadata": {"user_id": "u"},
        "context_management": {},
    },
}
WIRE = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
WORDS = st.sampled_from(
    [
        "type",
        "text",
        "content",
        "role",
        "user",
        "source",
        "input",
        "tool_use",
        "image",
        "function",
        "arguments",
    ]
)
JSON_TREES = st.recursive(
    SCALARS | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


def attempt(wire: Wire, body: bytes) -> Asked | GatewayError:
    try:
        return wire.decode(body, {})
    except GatewayError as error:
        wire.fault(error, "req_1")
        return error


def refused(wire: Wire, body: bytes) -> GatewayError:
    result = attempt(wire, body)
    assert isinstance(result, GatewayError)
    assert result.kind == "invalid_request"
    return result


@WIRE
def test_the_good_body_passes(wire: Wire) -> None:
    """The body that the other tests spoil is good."""
    assert isinstance(attempt(wire, json.dumps(GOOD[wire.name]).encode()), Asked)


@WIRE
@given(body=st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_random_bytes(wire: Wire, body: bytes) -> None:
    """Bytes that are not JSON are refused."""
    assert isinstance(attempt(wire, body), GatewayError)


@WIRE
@given(tree=JSON_TREES, data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_random_tree_in_a_random_place(wire: Wire, tree: Any, data: st.DataObject) -> None:
    """Any value in any place of a good body is read or refused."""
    body = json.loads(json.dumps(GOOD[wire.name]))
    node: Any = body
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not node[key] or not isinstance(node[key], dict | list) or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = tree
    attempt(wire, json.dumps(body).encode("utf-8", "replace"))


@WIRE
@pytest.mark.parametrize("seed", range(40))
def test_spoilt_bytes(wire: Wire, seed: int) -> None:
    """A good body with bytes changed, doubled or cut is read or refused."""
    dice = random.Random(seed)
    good = json.dumps(GOOD[wire.name], ensure_ascii=False).encode()
    for _ in range(20):
        body = bytearray(good)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(body))
            match dice.randrange(4):
                case 0:
                    body[at] = dice.randrange(256)
                case 1:
                    body[at:at] = dice.choice([b'"', b"{", b"]", b"\\u", b"\xff", b"null", b"\x00"])
                case 2:
                    del body[max(at, 1) : at + dice.randrange(1, 9)]
                case 3:
                    del body[max(at, 1) :]
        attempt(wire, bytes(body))


@WIRE
@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"[]", "not an array"),
        (b'"x"', "not a string"),
        (b"7", "not an integer"),
        (b"null", "not null"),
        (b'{"model":"m",\n "messages":[}', "line 2, column 14"),
        (b'{"model":"m"', "line 1, column 13"),
        (b'{"model":"m"} x', "byte 14"),
        (b'{"model":"\xff","messages":[]}', "not UTF-8: byte 10"),
        (b'{"model":"m","messages":[],"x":"\xff"}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "byte 0"),
        (b'{"model":"a\x01"}', "byte 11"),
        (b'{"model":"\\ud800","messages":[]}', "surrogate pair, at line 1, column 11"),
        (b'{"model":"m","messages":[],"x":"\\udc00"}', "surrogate pair"),
        (b'{"model":NaN}', "not valid JSON"),
    ],
)
def test_malformed_bodies_say_where(wire: Wire, body: bytes, part: str) -> None:
    """A body that is no JSON object is refused with what is wrong and where."""
    assert part in refused(wire, body).message


@WIRE
@pytest.mark.parametrize(
    "head",
    [
        b"",
        b'{"x":',
        b'{"model":"m","messages":[{"role":"user","content":[',
        b'{"model":"m","input":[{"role":"user","content":[',
        b'{"model":"m","input":"x","tools":[{"type":"custom","name":"a","format":',
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"'
        b',"content":[',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"name":"a","input_schema":',
        b'{"model":"m","metadata":',
    ],
)
@pytest.mark.parametrize("depth", [200, 900, 990, 1000, 100_000])
def test_deep_bodies(wire: Wire, head: bytes, depth: int) -> None:
    """Depth never ends in anything but an answer or a refusal, also when all brackets are closed."""
    closing = b"".join(b"]" if c == 91 else b"}" for c in reversed(head) if c in b"[{")
    attempt(wire, head + b"[" * depth)
    attempt(wire, head + b"[" * depth + b"]" * depth + closing)
    attempt(wire, head + b'{"type":"tool_result","tool_use_id":"t","content":[' * depth)
    nested = b'{"type":"tool_result","tool_use_id":"t","content":[' * depth + b"]}" * depth
    attempt(wire, head + nested + closing)


@WIRE
def test_huge_numbers_are_refused_with_their_path(wire: Wire) -> None:
    """A number that no machine word holds is a fault of its field."""
    for literal in (b"9" * 5000, b"1e999"):
        body = b'{"model":"m","messages":[],"temperature":' + literal + b"}"
        assert refused(wire, body).param == "temperature"


@WIRE
def test_characters_survive(wire: Wire) -> None:
    """Escaped control characters, pairs and separators arrive as they were meant."""
    text = "a\x00b\u2028🦊\ufffe"
    for ascii_only in (True, False):
        said = [{"role": "user", "content": text}]
        body = {"model": "m", "messages": said, "input": said}
        if wire.choices is not None:
            body["prompt"] = text
        result = attempt(wire, json.dumps(body, ensure_ascii=ascii_only).encode())
        assert isinstance(result, Asked)
        assert result.request.messages[0].parts[0].text == text  # type: ignore[union-attr]
