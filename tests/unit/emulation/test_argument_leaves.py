"""Arguments over random schemas and random slips: what is delivered is what was meant, and stands in the text."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.core.request import Tool
from sfbridge.emulation import REPAIRS
from sfbridge.emulation.arguments import Unfit, settle

ABSENT = "\0absent"


class Written(NamedTuple):
    """A parameter: its schema, what is meant, and the JSON or nearly-JSON text that the model writes for it."""

    schema: Any
    meant: Any
    text: str
    optional: bool = False


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def raw_controls(text: str) -> str:
    """A JSON string with its line breaks and tabs unescaped."""
    return (
        dumps(text).replace("\\n", "\n").replace("\\t", "\t") if "\\" not in text else dumps(text)
    )


words = st.text("abcdn \"'{}:,\\\n\té😀0", max_size=8)
plain_words = st.sampled_from(["a", "b c", "it's", "é", "😀", "x\ny", 'say "hi"', "C:\\d"])
integers = st.one_of(st.integers(-20, 20), st.sampled_from([10**20, 2**53 + 1]))
decimals = st.sampled_from(["0.1", "5.10", "-1.5e3", "3.0", "0.30000000000000000001", "1e5", "7"])


def forms(schema: Any, meant: Any, *texts: str) -> st.SearchStrategy[Written]:
    return st.sampled_from(texts).map(lambda text: Written(schema, meant, text))


def a_string(meant: str) -> st.SearchStrategy[Written]:
    return forms({"type": "string"}, meant, dumps(meant), raw_controls(meant))


def an_integer(meant: int) -> st.SearchStrategy[Written]:
    return forms({"type": "integer"}, meant, f"{meant}", f'"{meant}"', f"{meant}.0")


def a_number(text: str) -> st.SearchStrategy[Written]:
    return forms({"type": "number"}, Exact(text), text, f'"{text}"')


def number_as_text(text: str) -> st.SearchStrategy[Written]:
    return forms({"type": "string"}, text, text, f'"{text}"')


def a_list(items: list[str]) -> st.SearchStrategy[Written]:
    whole = dumps(items)
    texts = [whole, dumps(whole)] + (
        [whole[:-1] + ", ]", dumps(items[0])] if len(items) == 1 else []
    )
    return forms({"type": "array", "items": {"type": "string"}}, items, *texts)


def numbers_in_list(items: list[int]) -> st.SearchStrategy[Written]:
    texts = [dumps(items), dumps([str(item) for item in items]), dumps(dumps(items))]
    texts += [str(items[0]), f'"{items[0]}"'] if len(items) == 1 else []
    return forms({"type": "array", "items": {"$ref": "#/$defs/whole"}}, items, *texts)


def an_object(entries: dict[str, bool]) -> st.SearchStrategy[Written]:
    texts = [dumps(entries), str(entries).replace("'", '"'), dumps(dumps(entries))]
    texts.append(dumps({key: str(value) for key, value in entries.items()}))
    return forms({"type": "object", "additionalProperties": {"type": "boolean"}}, entries, *texts)


class Exact(str):
    """A number by its characters."""


parameter = st.one_of(
    words.flatmap(a_string),
    integers.flatmap(an_integer),
    decimals.flatmap(a_number),
    decimals.flatmap(number_as_text),
    st.lists(plain_words, max_size=3).flatmap(a_list),
    st.lists(integers, max_size=3).flatmap(numbers_in_list),
    st.dictionaries(st.sampled_from("abc"), st.booleans(), max_size=2).flatmap(an_object),
    forms({"type": "boolean"}, True, "true", "True", '"true"', '"True"', '"TRUE"'),
    forms({"type": "boolean"}, False, "false", "False", '"false"'),
    forms({"type": "string"}, "true", '"true"', "true", "True"),
    forms({"type": ["integer", "null"]}, None, "null", "None", '"null"', '"None"'),
    forms({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 7, "7", '"7"', "7.0"),
    forms({"enum": ["Fast", "slow", "ÉTÉ"]}, "Fast", '"Fast"', '"fast"', '"FAST"'),
    forms({"enum": ["Fast", "slow", "ÉTÉ"]}, "ÉTÉ", '"ÉTÉ"', '"été"'),
    forms({"type": "number"}, ABSENT, "null", "None").map(lambda w: w._replace(optional=True)),
)


class Call(NamedTuple):
    tool: Tool
    meant: dict[str, Any]
    text: str


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """A tool, what is meant for it, and a text with any number of slips of form that lose nothing."""
    written = draw(
        st.dictionaries(st.sampled_from(["a", "b", "long name", "é", "x"]), parameter, min_size=1)
    )
    schema = {
        "type": "object",
        "properties": {name: one.schema for name, one in written.items()},
        "required": [name for name, one in written.items() if not one.optional],
        "additionalProperties": False,
        "$defs": {"whole": {"type": "integer"}},
    }
    body = ", ".join(f"{dumps(name)}: {one.text}" for name, one in written.items())
    text = draw(st.sampled_from([f"{{{body}}}", f"{{{body},}}", f"{{\n  {body} ,\n}}"]))
    wrapped = [
        text,
        f"```json\n{text}\n```",
        f'{{"arguments": {text}}}',
        f'{{"name": "T", "input": {text}}}',
    ]
    if strict(text):
        wrapped += [dumps(text), f'{{"args": {dumps(text)}}}']
    tool = Tool(name="t", schema=msgspec.Raw(dumps(schema).encode()))
    meant = {name: one.meant for name, one in written.items() if one.meant != ABSENT}
    return Call(tool, meant, draw(st.sampled_from(wrapped)))


def strict(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def same(found: Any, meant: Any) -> bool:
    """Equal in type too; numbers by their characters where the text gave them a fraction."""
    match meant:
        case Exact():
            return isinstance(found, Exact | int) and str(found) == str(meant)
        case dict():
            return (
                isinstance(found, dict)
                and found.keys() == meant.keys()
                and all(same(found[key], meant[key]) for key in meant)
            )
        case list():
            return (
                isinstance(found, list)
                and len(found) == len(meant)
                and all(map(same, found, meant))
            )
        case _:
            return type(found) is type(meant) and bool(found == meant)


@given(calls())
def test_any_slips_together_deliver_what_was_meant(call: Call) -> None:
    """However the lossless slips meet, exactly the meant arguments are delivered, and each step has a known name."""
    text, names = settle(call.tool, call.text)
    assert same(json.loads(text, parse_float=Exact), call.meant), (text, call.meant)
    assert set(names) <= REPAIRS
    if names == [] and ".0" not in call.text:
        assert text == call.text.strip()


def squashed(text: str) -> str:
    """A text without what escaping and quoting may add to it."""
    for sequence in ("\\n", "\n", "\\t", "\t", "\\", '"', "'"):
        text = text.replace(sequence, "")
    return text.lower()


def leaves(value: Any) -> list[Any]:
    match value:
        case dict():
            return [*value, *(leaf for item in value.values() for leaf in leaves(item))]
        case list():
            return [leaf for item in value for leaf in leaves(item)]
        case _:
            return [value]


def stands(leaf: Any, text: str) -> bool:
    match leaf:
        case bool():
            return str(leaf).lower() in text
        case None:
            return "null" in text or "none" in text
        case _:
            return squashed(str(leaf)) in text


damage = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.integers(0, 6),
        st.sampled_from(
            [
                "",
                "",
                "",
                ",",
                '"',
                "'",
                "}",
                "]",
                "{",
                "[",
                "\\",
                ":",
                "null",
                "1",
                "a",
                "\n",
                "\\d",
            ]
        ),
    ),
    min_size=1,
    max_size=3,
)


@given(calls(), damage)
def test_every_delivered_leaf_stands_in_the_text(
    call: Call, edits: list[tuple[int, int, str]]
) -> None:
    """Whatever happened to the text, nothing is filled in, renamed, guessed or made longer: it is there, or a fault."""
    text = call.text
    for at, cut, new in edits:
        at %= len(text) + 1
        text = text[:at] + new + text[at + cut :]
    try:
        delivered, _ = settle(call.tool, text)
    except Unfit:
        return
    seen = squashed(text)
    for leaf in leaves(json.loads(delivered, parse_float=Exact)):
        assert stands(leaf, seen), (leaf, text)


@given(calls(), st.integers(0, 400))
def test_cut_text_is_never_delivered(call: Call, at: int) -> None:
    """Arguments that end too early are a fault, wherever they end."""
    text = call.text.rstrip("`\n ") if call.text.startswith("```") else call.text.rstrip()
    cut = text[: at % len(text)]
    if cut.strip():
        with pytest.raises(Unfit):
            settle(call.tool, cut)
