"""Schemas: which way they are checked, and that none of them hangs, crashes or fetches anything."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.core.request import Tool
from sfbridge.emulation.arguments import Unfit, settle
from sfbridge.emulation.jsontext import read
from sfbridge.emulation.schema import BrokenSchema, compiled
from sfbridge.emulation.typed import exact_type


def tool(schema: Any, name: str = "T") -> Tool:
    return Tool(name=name, schema=msgspec.Raw(json.dumps(schema).encode()))


def one(schema: Any, *, required: bool = True, **more: Any) -> Tool:
    """A tool with the parameter `x`."""
    return tool(
        {
            "type": "object",
            "properties": {"x": schema},
            "required": ["x"] if required else [],
            "additionalProperties": False,
            **more,
        }
    )


def problems(which: Tool, given: str) -> tuple[str, ...]:
    with pytest.raises(Unfit) as unfit:
        settle(which, given)
    return unfit.value.problems


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"type": "object", "properties": {"a": {"pattern": "("}}},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/nowhere"},
        [],
        "object",
        None,
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    ],
)
def test_broken_schema_switches_its_own_checking_off(schema: Any) -> None:
    """A schema that cannot be used lets the arguments through, and is named."""
    assert settle(tool(schema), '{"a":1}') == ('{"a":1}', ["broken_schema"])


def test_schema_that_is_no_json_is_broken_too() -> None:
    """Not even JSON: the same."""
    which = Tool(name="T", schema=msgspec.Raw(b"{"))
    assert settle(which, "{}") == ("{}", ["broken_schema"])
    with pytest.raises(BrokenSchema):
        compiled(b"{").problems({})


def test_exploding_schema_costs_nothing() -> None:
    """Definitions that name each other twice would take a million million checks; they are not made."""
    defs: dict[str, Any] = {"a0": {"type": "object"}}
    for n in range(1, 40):
        ref = {"$ref": f"#/$defs/a{n - 1}"}
        defs[f"a{n}"] = {"allOf": [ref, ref]}
    began = time.process_time()
    _, names = settle(tool({"$defs": defs, "$ref": "#/$defs/a39"}), '{"a":1}')
    assert names == ["broken_schema"]
    assert time.process_time() - began < 2


def test_recursive_schema_with_many_branches_ends() -> None:
    """A value that fits no branch of a recursive union is refused in reasonable time."""
    kinds = [
        {
            "type": "object",
            "properties": {"kind": {"const": n}, "next": {"$ref": "#/$defs/node"}},
            "required": ["kind", "next"],
        }
        for n in range(12)
    ]
    which = one({"$ref": "#/$defs/node"}, **{"$defs": {"node": {"anyOf": kinds}}})
    value: Any = "end"
    for _ in range(40):
        value = {"kind": "3", "next": value}
    began = time.process_time()
    assert problems(which, json.dumps({"x": value, "y": 1})) == (
        "/x: does not have the form that the schema describes",
        "unknown parameter y; known: x",
    )
    assert problems(which, "{}") == ("/x: missing",)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(a|a)*$", r"^(?=a)(a|aa|a)*(?<!b)$"])
def test_hostile_pattern_cannot_hang(pattern: str) -> None:
    """A pattern that takes others exponential time is checked at once, or not at all."""
    which = one({"type": "string", "pattern": pattern})
    began = time.process_time()
    with contextlib.suppress(Unfit):
        settle(which, json.dumps({"x": "a" * 5000 + "!"}))
    assert time.process_time() - began < 2


def test_look_around_is_understood() -> None:
    """A pattern that the linear engine cannot run is still checked."""
    which = one({"type": "string", "pattern": r"^(?=.*\d).+$"})
    assert settle(which, '{"x":"a1"}')[1] == []
    assert problems(which, '{"x":"a"}')


def test_draft_7_lists_are_understood() -> None:
    """Array-valued items work although no $schema says draft 7."""
    which = one({"type": "array", "items": [{"type": "string"}, {"type": "integer"}]})
    assert settle(which, '{"x":["a","2"]}') == ('{"x":["a",2]}', ["str2int"])


def test_crashing_schema_does_not_crash() -> None:
    """A union of a patterned string and a list, which crashes msgspec, takes the other way."""
    script = """
import gc, json, msgspec
from sfbridge.core.request import Tool
from sfbridge.emulation.arguments import settle
for n in range(40):
    union = {"anyOf": [{"type": "string", "pattern": "^a%d$" % n}, {"type": "array"}, {"type": "object"}]}
    schema = {"type": "object", "properties": {"x": union, "y": {"type": ["array", "string"], "pattern": "a"}}}
    tool = Tool(name="T", schema=msgspec.Raw(json.dumps(schema).encode()))
    assert settle(tool, '{"x": []}') == ('{"x": []}', [])
    from sfbridge.emulation import schema as room
    room.compiled.cache_clear()
    gc.collect()
print("alive")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^a$"},
        {"anyOf": [{"type": "string", "minLength": 2}, {"type": "integer"}]},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"oneOf": [{"type": "string"}, {"enum": ["a"]}]},
        {"type": "number", "maximum": 9.5},
        {"type": "integer", "minimum": 0, "exclusiveMinimum": 0},
        {"type": ["integer", "string"], "maximum": 9},
        {"enum": [1.5]},
        {"enum": [True]},
        {"const": {}},
        {"type": "string", "minLength": -1},
        {"type": "string", "anyOf": [{"type": "null"}]},
        {"$ref": "#/x"},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {'a"': {}}},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "object", "required": [[]]},
        {"type": "array", "uniqueItems": True},
        {"not": {}},
        False,
    ],
)
def test_msgspec_is_not_asked_what_it_sees_differently(schema: Any) -> None:
    """Schemas in which msgspec and JSON Schema differ take the validator's way only."""
    assert exact_type({"type": "object", "properties": {"x": schema}}) is None


leaf = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"type": ["string", "null"]},
        {"type": "string", "minLength": 1, "maxLength": 2},
        {"type": "integer", "minimum": -1, "exclusiveMaximum": 2},
        {"enum": ["a", "b"]},
        {"const": "a"},
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        {"anyOf": [{"enum": ["a"]}, {"type": "null"}]},
        {},
        True,
    ]
)
schemas = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner}, optional={"maxItems": st.just(1)}
        ),
        st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.dictionaries(st.sampled_from(["a", "b", ""]), inner, max_size=2),
                "additionalProperties": st.booleans(),
            }
        ),
    ),
    max_leaves=4,
)
instances = st.recursive(
    st.sampled_from(
        [None, True, 0, 1, 2, -1, 1.0, 1.5, 10**30, "", "a", "b", "ab", "abc", "😀😀😀"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(["a", "b", "", "c"]), inner, max_size=2),
    ),
    max_leaves=5,
)


@given(schemas, st.lists(instances, min_size=1, max_size=8))
def test_quick_yes_is_always_the_validators_yes(schema: Any, values: list[Any]) -> None:
    """msgspec accepts nothing that the validator refuses."""
    checker = compiled(
        json.dumps({"type": "object", "properties": {"x": schema}, "required": ["x"]}).encode()
    )
    for value in values:
        text = json.dumps({"x": value})
        if checker.accepts(text):
            assert checker.problems(read(text)) == ()
