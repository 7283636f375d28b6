"""What the transcript writes, the reader reads: the same arguments, for any JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.core.request import ChatRequest, Tool
from sfbridge.core.stream import Text
from sfbridge.emulation import LINE_PARAMS, Dressed, Reader
from sfbridge.emulation.jsontext import read, write
from sfbridge.emulation.transcript import Script

MARK = "k7f2x"
ANY = Tool(name="Any", schema=msgspec.Raw(b'{"type":"object"}'))
PIECES = (
    f"<tool_call {MARK} ",
    f"</tool_call {MARK}>",
    f"</raw {MARK}>",
    f'<raw {MARK} name="x">',
    "</tool_call>",
    "</raw>",
    MARK,
    "\\",
    "\\u006b",
    '"',
    "'",
    "\n",
    "\r\n",
    "\r",
    "```",
    "<think>",
    "{",
    "}",
    "\x00",
    "\x7f",
    "\u2028",
    "😀",
    " ",
    "word",
)

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.sampled_from(PIECES).map(lambda piece: piece * 40),
)
keys = st.one_of(
    texts, st.sampled_from(["", "content", "/a/b", "a~b", "a/b", "name", "x y", 'q"', MARK])
)
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        texts,
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)


def delivered(text: str, pieces: int = 1) -> list[Any]:
    dressed = Dressed(
        request=ChatRequest(model="m", messages=()),
        mark=MARK,
        tools=(ANY,),
        line_params=LINE_PARAMS,
    )
    reader = Reader(dressed)
    size = max(1, len(text) // pieces)
    for at in range(0, len(text), size):
        assert not [p for p in reader.feed(text[at : at + size]) if isinstance(p, Text)]
    verdict = reader.drain("stop")
    assert verdict.faults == ()
    assert not set(verdict.notes) - {"unknown_parameter"}
    return [json.loads(call.arguments) for call in verdict.calls]


@given(st.dictionaries(keys, values, max_size=5), st.booleans(), st.integers(1, 50))
def test_arguments_survive_writing_and_reading(
    arguments: dict[str, Any], pointers: bool, pieces: int
) -> None:
    """Any arguments, written as history is written, are read back as the same arguments."""
    if len(arguments) <= 2 and {"arguments", "args", "parameters", "input"} & arguments.keys():
        return
    script = Script(MARK, LINE_PARAMS, pointers=pointers)
    text = script.call("Any", json.dumps(arguments))
    assert delivered(text, pieces) == [arguments]
    assert delivered(f"{text}\n{text}", pieces) == [arguments, arguments]


@given(st.dictionaries(keys, values, max_size=5), st.booleans())
def test_writing_is_stable(arguments: dict[str, Any], pointers: bool) -> None:
    """A call that was read from the canonical form is written in the canonical form again."""
    script = Script(MARK, LINE_PARAMS, pointers=pointers)
    once = script.call("Any", json.dumps(arguments))
    (again,) = delivered(once) or [{}]
    twice = script.call("Any", json.dumps(again))
    assert script.call("Any", json.dumps(json.loads(json.dumps(again)))) == twice


@given(values)
def test_exact_json_keeps_every_value(value: Any) -> None:
    """The exact reader and writer agree with the standard ones, and add no change of their own."""
    text = json.dumps(value, ensure_ascii=False)
    assert json.loads(write(read(text))) == value


@pytest.mark.parametrize(
    "number",
    [
        "12345678901234567890123",
        "0.1000000000000000055511151231257827",
        "1e5",
        "1E+02",
        "-0.0",
        "3.10",
    ],
)
def test_numbers_keep_their_characters(number: str) -> None:
    """A number that a double cannot hold is written back in its own characters."""
    assert write(read(f'{{"a":[{number}]}}')) == f'{{"a":[{number}]}}'


def test_half_a_surrogate_pair_never_reaches_the_upstream_bare() -> None:
    """History with half a surrogate pair becomes text that can be sent as UTF-8."""
    text = Script(MARK, LINE_PARAMS, pointers=True).call(
        "Any", '{"a":"\\ud800","\\udc00":"' + "x" * 90 + '"}'
    )
    assert text.encode().decode() == text
    assert "\\ud800" in text


def test_history_that_is_no_json_still_becomes_text() -> None:
    """A client's own broken past does not stop the conversation."""
    script = Script(MARK, LINE_PARAMS, pointers=False)
    assert "not json" in script.call("Any", "not json")
    assert script.call("Any", "") == script.call("Any", "{}")
    assert math.isfinite(len(script.call("Any", "[" * 5000)))
