"""Fragments of tool calls, numbered in every way that was seen in the field."""

from __future__ import annotations

import itertools
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfbridge.core.errors import GatewayError
from sfbridge.core.stream import CallArguments, CallClosed, CallOpened
from sfbridge.formats.salesforce import Invocation
from sfbridge.upstream.calls import Calls

_decode = msgspec.json.Decoder(Invocation).decode

WANTED = [
    ("call_a", "get_weather", '{"city": "Oslo"}'),
    ("call_b", "get_time", '{"zone": "Europe/Oslo", "at": {"h": 1}}'),
    ("call_c", "get_weather", '{"city": "Bergen"}'),
]
INDEXES = ["right", "all 0", "null", "gaps"]
IDS = ["each time", "once", "never"]
NAMES = ["once", "each time"]


def fragments(indexes: str, ids: str, names: str, size: int = 7) -> list[Invocation]:
    """The wanted calls as a provider of these habits would send them."""
    found = []
    for number, (call_id, name, arguments) in enumerate(WANTED):
        pieces = [""] + [arguments[i : i + size] for i in range(0, len(arguments), size)]
        for place, piece in enumerate(pieces):
            function = {"arguments": piece}
            if names == "each time" or place == 0:
                function["name"] = name
            fragment: dict[str, object] = {"type": "function", "function": function}
            fragment["index"] = {"right": number, "all 0": 0, "null": None, "gaps": number * 3 + 1}[
                indexes
            ]
            fragment["id"] = (
                call_id if ids == "each time" or (ids == "once" and place == 0) else None
            )
            found.append(_decode(json.dumps(fragment)))
    return found


def gathered(given: list[Invocation], *, cut: bool = False) -> list[tuple[str, str, str]]:
    calls = Calls()
    for fragment in given:
        calls.add(fragment)
    pieces = calls.pieces(cut=cut)
    closed = {p.key for p in pieces if isinstance(p, CallClosed)}
    opened = {p.key: p for p in pieces if isinstance(p, CallOpened) and p.key in closed}
    said = {p.key: p.json for p in pieces if isinstance(p, CallArguments)}
    return [(call.id, call.name, said[key]) for key, call in opened.items()]


@pytest.mark.parametrize(("indexes", "ids", "names"), list(itertools.product(INDEXES, IDS, NAMES)))
def test_every_habit_gives_the_same_calls(indexes: str, ids: str, names: str) -> None:
    """Whatever a provider does with index, id and name, its three calls arrive whole and apart."""
    expected = [("" if ids == "never" else i, name, arguments) for i, name, arguments in WANTED]
    assert gathered(fragments(indexes, ids, names)) == expected


@given(st.sampled_from(INDEXES), st.sampled_from(IDS), st.sampled_from(NAMES), st.integers(1, 60))
@settings(max_examples=80, deadline=None)
def test_the_size_of_fragments_does_not_matter(
    indexes: str, ids: str, names: str, size: int
) -> None:
    """Arguments may be cut anywhere."""
    expected = [(name, arguments) for _, name, arguments in WANTED]
    assert [call[1:] for call in gathered(fragments(indexes, ids, names, size))] == expected


def test_interleaved_calls_are_kept_apart_by_their_index() -> None:
    """Fragments that take turns belong to the call of their index."""
    parts = fragments("right", "once", "once")
    by_call = [[f for f in parts if f.index == number] for number in range(3)]
    mixed = [f for turn in itertools.zip_longest(*by_call) for f in turn if f is not None]
    assert gathered(mixed) == WANTED


def test_ids_that_repeat_do_not_merge_calls() -> None:
    """Two calls with one id at two places are two calls."""
    same = [
        _decode(json.dumps({"id": "x", "index": n, "function": {"name": "f", "arguments": f'{{"n":{n}}}'}}))
        for n in range(2)
    ]  # fmt: skip
    assert gathered(same) == [("x", "f", '{"n":0}'), ("x", "f", '{"n":1}')]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [('"{}"', "{}"), ('{"a": 1}', '{"a": 1}'), ("null", ""), ('""', ""), ('"{\\"a\\":\\"\\u00e9\\"}"', '{"a":"é"}')],
)  # fmt: skip
def test_arguments_come_as_text_or_as_an_object(arguments: str, expected: str) -> None:
    """A JSON string is unwrapped, an object is taken as it is written, nothing is nothing."""
    whole = '{"id":"x","function":{"name":"f","arguments":' + arguments + "}}"
    assert gathered([_decode(whole)]) == [("x", "f", expected)]


def test_the_last_call_of_a_cut_answer_stays_open() -> None:
    """When the output limit ended the answer, only the calls before the last one are closed."""
    given = fragments("right", "once", "once")[:-1]
    assert gathered(given, cut=True) == WANTED[:2]


def test_a_call_without_a_name_fails() -> None:
    """A call that names no tool cannot be delivered and is not guessed."""
    calls = Calls()
    calls.add(_decode('{"id":"x","function":{"arguments":"{}"}}'))
    with pytest.raises(GatewayError):
        calls.pieces(cut=False)
