"""Arguments against schemas: what is corrected, what is asked for again, in which words."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sfbridge.core.request import Tool
from sfbridge.emulation import REPAIRS
from sfbridge.emulation.arguments import Unfit, settle


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


CORRECTED = [
    ({"type": "number"}, '"5"', 5, "str2num"),
    ({"type": "number"}, '"-1.5e3"', -1500.0, "str2num"),
    ({"type": "integer"}, '"42"', 42, "str2int"),
    ({"type": "boolean"}, '"True"', True, "str2bool"),
    ({"type": "boolean"}, '"false"', False, "str2bool"),
    ({"type": ["integer", "null"]}, '"null"', None, "str2null"),
    ({"type": "string"}, "5", "5", "num2str"),
    ({"type": "string"}, "5.10", "5.10", "num2str"),
    ({"type": "string"}, "1e5", "1e5", "num2str"),
    ({"type": "string"}, "true", "true", "bool2str"),
    ({"type": "array", "items": {"type": "string"}}, '"a"', ["a"], "wrap"),
    ({"type": "array", "items": {"type": "object"}}, '{"a":1}', [{"a": 1}], "wrap"),
    ({"type": "array"}, '"[1, 2]"', [1, 2], "str2json"),
    ({"type": "object"}, '"{\\"a\\": 1}"', {"a": 1}, "str2json"),
    ({"enum": ["Fast", "slow"]}, '"fast"', "Fast", "enumcase"),
    ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, '"7"', 7, "str2int"),
    ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, '"7"', 7, "str2int"),
    ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, '"7"', 7, "str2int"),
    ({"$ref": "#/$defs/n"}, '"7"', 7, "str2int"),
    ({"type": "array", "items": {"$ref": "#/$defs/n"}}, '["7", 8]', [7, 8], "str2int"),
]


@pytest.mark.parametrize(("schema", "given", "expected", "name"), CORRECTED)
def test_lossless_correction(schema: Any, given: str, expected: Any, name: str) -> None:
    """A value that differs from the schema in its type alone is delivered in the type that is wanted."""
    which = one(schema, **{"$defs": {"n": {"type": "integer"}}})
    text, names = settle(which, f'{{"x":{given}}}')
    assert json.loads(text) == {"x": expected}
    assert type(json.loads(text)["x"]) is type(expected)
    assert names == [name]
    assert name in REPAIRS


REFUSED = [
    ({"type": "number"}, '"5 s"'),
    ({"type": "number"}, '" 5"'),
    ({"type": "integer"}, '"05"'),
    ({"type": "integer"}, "3.5"),
    ({"type": "boolean"}, '"yes"'),
    ({"type": "boolean"}, "1"),
    ({"type": "string"}, "null"),
    ({"type": "string"}, '["a"]'),
    ({"type": "array", "items": {"type": "integer"}}, '"a"'),
    ({"enum": ["A", "a"]}, '"B"'),
    ({"enum": ["FAST", "Fast"]}, '"fast"'),
    ({"const": 1}, "true"),
    ({"type": "string", "pattern": "^a$"}, '"a\\n"'),
    ({"type": "string", "minLength": 2}, '"😀"'),
]


@pytest.mark.parametrize(("schema", "given"), REFUSED)
def test_what_would_be_a_guess_is_refused(schema: Any, given: str) -> None:
    """A value that cannot be read without loss is a fault that names its path."""
    (problem, *_) = problems(one(schema), f'{{"x":{given}}}')
    assert problem.startswith("/x")


def test_value_that_fits_is_never_changed() -> None:
    """Coercion is not asked where the value fits as it is, not even by another branch."""
    which = one({"anyOf": [{"type": "integer"}, {"type": "string"}]})
    assert settle(which, '{"x":"5"}') == ('{"x":"5"}', [])
    assert settle(one({"type": ["string", "boolean"]}), '{"x":"True"}') == ('{"x":"True"}', [])
    assert settle(one({}), '{"x":null}') == ('{"x":null}', [])


def test_text_without_correction_keeps_its_characters() -> None:
    """What needed nothing is delivered as the model wrote it, spaces, escapes and long numbers included."""
    given = '{ "x" : [1.10, 1E2, 123456789012345678901234567890, "\\u0041"] }'
    assert settle(one({"type": "array"}), given) == (given, [])


def test_numbers_survive_a_correction_elsewhere() -> None:
    """A number is written back in its own characters when something else had to be corrected."""
    which = tool({"type": "object", "properties": {"x": {}, "y": {"type": "integer"}}})
    text, names = settle(which, '{"x":[0.30000000000000000001,98765432109876543210],"y":"1"}')
    assert text == '{"x":[0.30000000000000000001,98765432109876543210],"y":1}'
    assert names == ["str2int"]


def test_whole_number_with_a_fraction_of_zero_is_an_integer() -> None:
    """3.0 is an integer for JSON Schema and is delivered as 3."""
    assert settle(one({"type": "integer"}), '{"x":3.0}') == ('{"x":3}', [])
    assert settle(one({"type": "number"}), '{"x":3.0}') == ('{"x":3.0}', [])


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1e-9999", "9" * 400, "1e99999999999999999999"]
)
def test_number_out_of_range_is_refused(number: str) -> None:
    """A number that readers behind us cannot hold is asked for again."""
    assert "out of range" in problems(one({}), f'{{"x":{number}}}')[0]


def test_null_for_an_optional_parameter_is_left_out() -> None:
    """null means absent where null itself is not allowed and the parameter is optional."""
    assert settle(one({"type": "number"}, required=False), '{"x":null}') == ("{}", ["nullopt"])
    nullable = one({"type": ["number", "null"]}, required=False)
    assert settle(nullable, '{"x":null}') == ('{"x":null}', [])


def test_schema_without_required_parameters() -> None:
    """A calculator's schema (one property, none required, no others) takes its input as it is."""
    calculator = tool(
        {
            "type": "object",
            "properties": {"input": {"type": "string"}},
            "additionalProperties": False,
            "$schema": "http://json-schema.org/draft-07/schema#",
        }
    )
    assert settle(calculator, '{"input":"6*7"}') == ('{"input":"6*7"}', [])


def test_problems_are_paths_in_plain_words() -> None:
    """A fault says where, what was expected and what was given."""
    edits = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"old": {"type": "string"}, "new": {"type": "string"}},
            "required": ["old", "new"],
            "additionalProperties": False,
        },
    }
    which = tool(
        {
            "type": "object",
            "properties": {
                "timeout": {"type": "number"},
                "edits": edits,
                "m": {"enum": ["a", "b"]},
            },
            "required": ["edits"],
            "additionalProperties": False,
        }
    )
    given = '{"timeout":"5 s","edits":[{"old":"x","neu":""}],"m":"c","cmd":1}'
    assert set(problems(which, given)) == {
        '/timeout: expected number, got text "5 s"',
        "/edits/0/new: missing",
        "/edits/0: unknown key neu; known: old, new",
        '/m: expected one of text "a", text "b", got text "c"',
        "unknown parameter cmd; known: timeout, edits, m",
    }


def test_unknown_parameter_passes_where_the_schema_allows_it() -> None:
    """Without additionalProperties an unknown parameter passes, and is counted."""
    which = tool({"type": "object", "properties": {"a": {}}})
    assert settle(which, '{"b":1}') == ('{"b":1}', ["unknown_parameter"])


def test_doubled_and_wrapped_arguments() -> None:
    """An object inside a string, and one inside a wrapper that is no parameter, is taken out."""
    which = one({"type": "string"})
    assert settle(which, json.dumps('{"x":"a"}')) == ('{"x":"a"}', ["doubled"])
    assert settle(which, '{"input":{"x":"a"}}') == ('{"x":"a"}', ["inner"])
    assert settle(which, '{"name":"t","arguments":"{\\"x\\":\\"a\\"}"}') == ('{"x":"a"}', ["inner"])
    wrapper = tool({"type": "object", "properties": {"input": {"type": "object"}}})
    assert settle(wrapper, '{"input":{"x":"a"}}') == ('{"input":{"x":"a"}}', [])


def test_raw_blocks_go_where_their_names_say() -> None:
    """A pointer reaches into the JSON, never over what stands there, and its characters never change."""
    which = tool({"type": "object"})
    text, _ = settle(
        which, '{"e":[{"o":""}],"l":[]}', [("/e/0/o", "a\\"), ("/e/0/n", "b"), ("/l/0", "c")]
    )
    assert json.loads(text) == {"e": [{"o": "a\\", "n": "b"}], "l": ["c"]}
    for wrong, raws in (
        ('{"x":"a"}', [("x", "b")]),
        ("{}", [("x", "a"), ("x", "b")]),
        ('{"e":[]}', [("/e/0/o", "a")]),
        ('{"e":{"o":"x"}}', [("/e/o", "a")]),
        ('{"e":{}}', [("/e/o", "a"), ("/e/o", "b")]),
        ('{"e":[]}', [("/e/1", "a")]),
        ('{"e":1}', [("/e/o", "a")]),
    ):
        with pytest.raises(Unfit):
            settle(which, wrong, raws)
    slow = one({"enum": ["Fast"]})
    with pytest.raises(Unfit):
        settle(slow, "", [("x", "fast")])
    assert settle(one({"type": "integer"}), "", [("x", "5")])[0] == '{"x":5}'


def test_keys_of_a_pattern_are_not_read_as_the_others() -> None:
    """A key that a pattern describes is left alone where the other keys are numbers."""
    which = tool(
        {
            "type": "object",
            "properties": {"n": {"type": "integer"}},
            "patternProperties": {"^S_": {"type": "string"}},
            "additionalProperties": {"type": "integer"},
        }
    )
    assert settle(which, '{"S_1":"5","n":"7"}') == ('{"S_1":"5","n":7}', ["str2int"])


def test_other_readings_come_before_a_list_of_one() -> None:
    """A text that is a number, where a number or a list may stand, is that number."""
    which = one({"type": ["array", "integer"], "items": {"type": "string"}})
    assert settle(which, '{"x":"5"}') == ('{"x":5}', ["str2int"])
    assert settle(which, '{"x":"a"}') == ('{"x":["a"]}', ["wrap"])


def test_branch_is_chosen_by_its_first_items_too() -> None:
    """A list whose places have types of their own fits a branch only where those fit."""
    pair = {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}
    which = one({"anyOf": [pair, {"type": "null"}]})
    assert settle(which, '{"x":["a","2"]}') == ('{"x":["a",2]}', ["str2int"])


def test_repeated_name_is_kept_where_it_is_a_parameter() -> None:
    """Nothing is taken out of an object whose `name` may be an argument, nor out of a map."""
    named = tool({"type": "object", "properties": {"name": {"type": "string"}}}, "Run")
    given = '{"name":"run","input":{"a":1}}'
    assert settle(named, given) == (given, ["unknown_parameter"])
    free = tool(
        {
            "type": "object",
            "properties": {"title": {"type": "string"}},
            "additionalProperties": {"type": "object"},
        }
    )
    assert settle(free, '{"input":{"title":"a"}}') == ('{"input":{"title":"a"}}', [])
