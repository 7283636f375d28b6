"""Answers that must be JSON: asked for in words, checked, asked for again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from sfbridge.core.request import ChatRequest, Message, Shape, TextPart, text_of
from sfbridge.emulation import ask_shape, check_shape, shape_correction

ANY = Shape("json")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
FITTING = Shape("schema", Raw(json.dumps(SCHEMA).encode()), "person")


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, 2.50]}',
        '  {"a": [1, 2.50]}\n',
        '```json\n{"a": [1, 2.50]}\n```',
        '```\n{"a": [1, 2.50]}\n```\n',
        'Here it is:\n\n```json\n{"a": [1, 2.50]}\n```\nAnything else?',
    ],
)
def test_json_alone_is_taken_out(text: str) -> None:
    """White space, a fence and words outside a fence go; the JSON keeps its characters."""
    assert check_shape(text, ANY) == ('{"a": [1, 2.50]}', ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sure!",
        'Here it is: {"a": 1}',
        '{"a": 1} I hope that helps.',
        '{"a": 1}{"b": 2}',
        '{"a": 1',
        '```json\n{"a": 1}\n```\nor\n```json\n{"b": 1}\n```',
        '{"a": 1, "a": 2}',
    ],
)
def test_anything_else_is_a_problem(text: str) -> None:
    """Words around bare JSON, two values or a broken one are refused with a reason."""
    _, problems = check_shape(text, ANY)
    assert len(problems) == 1


def test_object_is_demanded() -> None:
    """json_object means an object."""
    assert check_shape("[1]", ANY)[1] == ("expected a JSON object, got a list",)
    assert check_shape("null", ANY)[1] == ("expected a JSON object, got null",)


def test_schema_is_checked_by_path() -> None:
    """Every problem is told with its place in the answer."""
    assert check_shape('{"name":"Ann","age":30}', FITTING) == ('{"name":"Ann","age":30}', ())
    _, problems = check_shape('{"name":"Ann","age":"30","x":1}', FITTING)
    assert set(problems) == {
        '/age: expected integer, got text "30"',
        "unknown parameter x; known: name, age",
    }
    assert check_shape("[]", Shape("schema", Raw(b'{"type":"array"}'))) == ("[]", ())


def test_slip_that_loses_nothing_is_corrected() -> None:
    """A last comma or Python's words cost no round."""
    assert check_shape('{"a": True,}', ANY) == ('{"a":true}', ())


def test_broken_schema_checks_nothing() -> None:
    """With a schema that cannot be used, any JSON is the answer."""
    assert check_shape("1", Shape("schema", Raw(b'{"type":"nothing"}'))) == ("1", ())


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3
        ),
        max_leaves=5,
    )
)
def test_any_json_object_passes_unchanged(value: Any) -> None:
    """Whatever object it is, plain or fenced, it comes out as it was written."""
    text = json.dumps({"v": value}, ensure_ascii=False)
    assert check_shape(text, ANY) == (text, ())
    assert check_shape(f"```json\n{text}\n```", ANY) == (text, ())


def test_demand_stands_at_the_end_of_the_last_user_turn() -> None:
    """The words are appended, the shape is cleared, everything else stays."""
    messages = (Message("user", (TextPart("Who?"),)), Message("assistant", (TextPart("{"),)))
    request = ChatRequest(model="m", messages=messages, shape=FITTING)
    asked = ask_shape(request)
    assert asked.shape == Shape()
    assert asked.messages[1] == messages[1]
    assert asked.messages[0].parts[0] == messages[0].parts[0]
    assert json.dumps(SCHEMA) in text_of(asked.messages[0].parts)
    assert "JSON object" in text_of(
        ask_shape(ChatRequest(model="m", messages=(), shape=ANY)).messages[0].parts
    )
    plain = ChatRequest(model="m", messages=messages)
    assert ask_shape(plain) is plain


def test_correction_repeats_answer_and_problems() -> None:
    """The repair round shows the model its answer and what is wrong with it."""
    said, asked = shape_correction("Sure: {}", ("/age: missing",))
    assert (said.role, text_of(said.parts)) == ("assistant", "Sure: {}")
    assert asked.role == "user"
    assert "- /age: missing" in text_of(asked.parts)
