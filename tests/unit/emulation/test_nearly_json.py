"""Nearly-JSON: what is read by name, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.emulation.jsontext import NotJson, Refused
from sfbridge.emulation.repair import mend

MENDED = [
    ('{"a":"x\ny"}', {"a": "x\ny"}, ["ctrl"]),
    ('{"a":"x\ty\x01"}', {"a": "x\ty\x01"}, ["ctrl"]),
    ('{"a":[1,2,],}', {"a": [1, 2]}, ["comma"]),
    ('{"a":True,"b":None,"c":"True"}', {"a": True, "b": None, "c": "True"}, ["pylit"]),
    ("{'a': 'it\\'s', 'b': [\"x\", False]}", {"a": "it's", "b": ["x", False]}, ["pydict"]),
    ("{'a': '\\x41\\u4f60\\\\d'}", {"a": "A你\\d"}, ["pydict"]),
    ('{"a":"it\\\'s"}', {"a": "it's"}, ["esc"]),
    ('```json\n{"a":1}\n```', {"a": 1}, ["fence"]),
    ('~~~\n{"a":1,}\n~~~', {"a": 1}, ["fence", "comma"]),
    ('{"a":", }"}', {"a": ", }"}, []),
]


@pytest.mark.parametrize(("text", "value", "names"), MENDED)
def test_nearly_json_is_read_by_name(text: str, value: Any, names: list[str]) -> None:
    """Each slip on the list is corrected and named, and strings keep what they say."""
    assert mend(text) == (value, names)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"\\d"}',
        '{"a":"echo \\$HOME"}',
        '{"a":"line\\\nbreak"}',
        '{"a":1',
        '{"a":"x',
        "{'a': 'x'",
        "{'a': '\\d'}",
        "{'a': 'x' 'y'}",
        '{"a":1}{"b":2}',
        '{"a":1,"a":2}',
        "{“a”:1}",
        '{"a":NaN}',
        "{a:1}",
        '{"a":"\\ud800"}',
        "[" * 200 + "]" * 200,
        "[" * 100_000,
    ],
)
def test_what_needs_a_guess_is_not_mended(text: str) -> None:
    """Missing ends, illegal escapes, doubled keys and the like are refused."""
    with pytest.raises((NotJson, Refused)):
        mend(text)


@given(st.text(st.sampled_from("{}[]\"'\\,:1aTruenl \n`x"), max_size=40))
def test_mending_never_fails_in_another_way(text: str) -> None:
    """Any text is read, or refused by name."""
    try:
        value, _ = mend(text)
    except (NotJson, Refused):
        return
    json.dumps(value, default=str)
