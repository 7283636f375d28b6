"""Generated schemas and instances before three judges: msgspec, the validator library, and a reference validator."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schema_suite import DRAFT_7, checker, proper

# ---- schemas, over the words that tools use

TEXTS = [
    "",
    "a",
    "b",
    "ab",
    "abc",
    "1",
    "true",
    "é",
    "e\u0301",
    "😀",
    "😀😀",
    # a final line break, where Python's `$` differs, has cases of its own below
    "a\nb",
    "\u2028",
    "x y",
    "null",
]
NUMBERS = [
    0,
    1,
    -1,
    2,
    3,
    1.0,
    2.0,
    -1.0,
    0.5,
    1.5,
    2**53,
    2**53 + 1,
    -(2**63),
    2**64,
    10**30,
    1e30,
]
KEYS = ["a", "b", "ab", "é", "", "a/b", "a~b"]
PATTERNS = ["a", "^a", "^[a-c]+$", "^.{2}$", "😀", "^$", "b|1", "^\\S*$"]

texts = st.sampled_from(TEXTS)
keys = st.sampled_from(KEYS)
bound = st.sampled_from([-1, 0, 1, 2, 3, 0.5, 1.0])
length = st.sampled_from([0, 1, 2, 3])
constants = st.sampled_from(
    [*TEXTS[:8], *NUMBERS[:9], True, False, None, [], [1], [1.0], [True], {}, {"a": 1}, {"a": True}, {"a": 1.0}]
)  # fmt: skip
kinds = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])


def said(
    base: dict[str, Any], **words: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({k: st.just(v) for k, v in base.items()}, optional=words)


leaves = st.one_of(
    said({"type": "string"}, minLength=length, maxLength=length, pattern=st.sampled_from(PATTERNS)),
    said({"type": "integer"}, minimum=bound, maximum=bound, multipleOf=st.sampled_from([1, 2, 3])),
    said({"type": "number"}, minimum=bound, exclusiveMaximum=bound),
    said({"type": "number"}, exclusiveMinimum=bound, maximum=bound, title=texts),
    st.builds(
        lambda several: {"type": several}, st.lists(kinds, min_size=1, max_size=3, unique=True)
    ),
    st.builds(lambda kind: {"type": kind}, kinds),
    st.builds(lambda value: {"const": value}, constants),
    st.builds(lambda values: {"enum": values}, st.lists(constants, min_size=1, max_size=4)),
    st.builds(
        lambda values: {"type": "string", "enum": values}, st.lists(texts, min_size=1, max_size=4)
    ),
    st.sampled_from([True, False, {}, {"type": "string", "nullable": True}, {"$ref": "#/$defs/d"}]),
)


def wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    few = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(keys, inner, max_size=3)
    return st.one_of(
        said(
            {"type": "object"},
            properties=named,
            required=st.lists(keys, max_size=2, unique=True),
            additionalProperties=st.one_of(st.booleans(), inner),
            propertyNames=st.sampled_from([{"minLength": 1}, {"pattern": "^a"}, {"enum": ["a", "b"]}, True]),
            minProperties=length,
            maxProperties=length,
        ),
        said({"type": "object"}, properties=named, additionalProperties=st.booleans()),
        said(
            {"type": "object"},
            patternProperties=st.dictionaries(st.sampled_from(PATTERNS), inner, max_size=2),
            additionalProperties=st.booleans(),
            dependentRequired=st.dictionaries(keys, st.lists(keys, max_size=2, unique=True), max_size=1),
        ),
        said({"type": "array"}, items=inner, minItems=length, maxItems=length, uniqueItems=st.booleans()),
        said({"type": "array"}, items=inner),
        said({"type": "array"}, prefixItems=few, items=st.one_of(st.booleans(), inner), contains=inner),
        said({}, anyOf=few),
        said({}, oneOf=few),
        said({}, allOf=few),
        said({}, **{"not": inner}),
        st.builds(lambda one: {"anyOf": [one, {"type": "null"}]}, inner),
        st.builds(lambda one: {"anyOf": [{"anyOf": [one, {"type": "null"}]}, {"type": "null"}]}, inner),
        st.builds(lambda one, two: {"if": one, "then": two, "else": {"type": "string"}}, inner, inner),
        st.builds(lambda one, two: {**one, **two} if isinstance(one, dict) and isinstance(two, dict) else one, inner, inner),
    )  # fmt: skip


schemas = st.recursive(leaves, wider, max_leaves=6)
definitions = leaves.filter(lambda schema: schema != {"$ref": "#/$defs/d"})
scalars = st.one_of(texts, st.sampled_from([*NUMBERS, True, False, None]))
instances = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=5,
)


def fitting(schema: Any, defs: Any) -> st.SearchStrategy[Any]:
    """Values that have a fair chance to fit."""
    match schema:
        case {"const": value}:
            return st.just(value)
        case {"enum": values}:
            return st.sampled_from(values)
        case {"$ref": _}:
            return fitting(defs, True)
        case {"anyOf": branches} | {"oneOf": branches} | {"allOf": branches}:
            return st.one_of([fitting(branch, defs) for branch in branches])
        case {"type": [*several]}:
            return st.one_of([fitting({**schema, "type": one}, defs) for one in several])
        case {"type": "string"}:
            return texts
        case {"type": "integer" | "number"}:
            return st.sampled_from(NUMBERS)
        case {"type": "array"}:
            items = schema.get("items", schema.get("contains", True))
            return st.lists(fitting(items, defs), max_size=3)
        case {"type": "object"}:
            properties = schema.get("properties", {})
            required = {key: properties.get(key, True) for key in schema.get("required", [])}
            return st.fixed_dictionaries(
                {key: fitting(one, defs) for key, one in required.items()},
                optional={
                    key: fitting(one, defs)
                    for key, one in properties.items()
                    if key not in required
                },
            )
        case _:
            return scalars


@st.composite
def questions(draw: st.DrawFn) -> tuple[dict[str, Any], list[Any]]:
    """A tool's schema and values of its parameter, half of them made for it."""
    schema, defs = draw(schemas), draw(definitions)
    values = draw(st.lists(st.one_of(fitting(schema, defs), instances), min_size=3, max_size=8))
    root = {
        "type": "object",
        "properties": {"x": schema, "y": {"type": "boolean"}},
        "required": ["x"],
        "$defs": {"d": defs},
    }
    return root, values


def agree(schema: dict[str, Any], reference: Any, value: Any) -> None:
    text = json.dumps({"x": value})
    which = checker(schema)
    library = proper(which, text)
    assert library is reference.is_valid({"x": value}), (schema, value)
    if which.accepts(text):
        assert library is True, (schema, value)


@given(questions())
def test_three_judges_agree(question: tuple[dict[str, Any], list[Any]]) -> None:
    """Under 2020-12 the library and the reference agree, and msgspec says yes only where they do."""
    schema, values = question
    reference = jsonschema.Draft202012Validator(schema)
    for value in values:
        agree(schema, reference, value)


@given(questions())
def test_three_judges_agree_on_draft_7(question: tuple[dict[str, Any], list[Any]]) -> None:
    """The same under draft 7, where other words count."""
    schema, values = question
    named = {"$schema": DRAFT_7, **schema}
    reference = jsonschema.Draft7Validator(named)
    for value in values:
        agree(named, reference, value)


@given(questions())
def test_quick_way_says_yes_where_it_is_built_for(
    question: tuple[dict[str, Any], list[Any]],
) -> None:
    """The quick way is not empty: of what it can check it misses nothing but whole numbers written with a fraction."""
    schema, values = question
    which = checker(schema)
    for value in values:
        text = json.dumps({"x": value})
        if which.quick and proper(which, text):
            assert which.accepts(text) or fractional(value), (schema, value)


def fractional(value: Any) -> bool:
    """Whether a number with a fraction is in a value, which a type for whole numbers does not take."""
    match value:
        case float():
            return True
        case dict():
            return any(fractional(one) for one in value.values())
        case list():
            return any(fractional(one) for one in value)
        case _:
            return False


# ---- where validators are known to differ

A = {"type": "string"}
CASES: list[tuple[Any, str, bool]] = [
    ({"type": "integer"}, "1.0", True),
    ({"type": "integer"}, "1e2", True),
    ({"type": "integer"}, "1.5", False),
    ({"type": "integer"}, "1e-1", False),
    ({"type": "integer"}, "true", False),
    ({"type": "integer"}, "100000000000000000000000000000", True),
    ({"type": "integer", "maximum": 9007199254740991}, "9007199254740992.0", False),
    ({"type": "integer", "minimum": 0}, "-100000000000000000000000000000", False),
    ({"type": "integer", "multipleOf": 3}, "100000000000000000000000000000", False),
    ({"type": "integer", "multipleOf": 3}, "-9", True),
    ({"type": "number", "maximum": 100}, "100.00000000000000000001", False),
    ({"type": "number", "minimum": 0}, "-1e-350", False),
    ({"type": "number", "minimum": 1}, "0.99999999999999999999", False),
    ({"type": "number", "exclusiveMinimum": 0}, "1e-300", True),
    ({"type": "number", "exclusiveMinimum": 0}, "-0", False),
    ({"type": "number", "multipleOf": 0.01}, "19.99", True),
    ({"type": "number", "multipleOf": 0.1}, "0.35", False),
    ({"type": "string", "maxLength": 2}, '"😀😀"', True),
    ({"type": "string", "minLength": 3}, '"😀😀"', False),
    ({"type": "string", "maxLength": 1}, '"e\\u0301"', False),
    ({"type": "string", "maxLength": 1}, '"\\ud83d\\ude00"', True),
    ({"type": "string", "pattern": "^a$"}, '"a"', True),
    ({"type": "string", "pattern": "^a$"}, '"a\\n"', False),
    ({"type": "string", "pattern": "^.$"}, '"😀"', True),
    ({"type": "string", "pattern": "^\\d$"}, '"٣"', False),
    ({"type": "string", "pattern": "^\\w$"}, '"é"', False),
    ({"type": "string", "pattern": "a"}, '"bab"', True),
    ({"type": "array", "uniqueItems": True}, "[1, true]", True),
    ({"type": "array", "uniqueItems": True}, "[1, 1.0]", False),
    ({"type": "array", "uniqueItems": True}, "[[1], [true]]", True),
    ({"type": "array", "uniqueItems": True}, '[{"a":1,"b":2},{"b":2.0,"a":1}]', False),
    ({"type": "array", "uniqueItems": True}, '["a", "a\\u0000"]', True),
    ({"type": "array", "uniqueItems": True}, '["é", "e\\u0301"]', True),
    ({"type": "object", "propertyNames": {"maxLength": 1}}, '{"😀":1}', True),
    ({"type": "object", "propertyNames": {"maxLength": 1}}, '{"ab":1}', False),
    ({"type": "object", "propertyNames": False}, "{}", True),
    ({"type": "object", "propertyNames": False}, '{"a":1}', False),
    ({"type": "object", "propertyNames": {"pattern": "^a$"}}, '{"a\\n":1}', False),
    ({"const": 1}, "1.0", True),
    ({"const": 1}, "true", False),
    ({"const": True}, "1", False),
    ({"const": 1.0}, "1", True),
    ({"const": [1]}, "[true]", False),
    ({"const": {"a": 0}}, '{"a":false}', False),
    ({"enum": [1]}, "true", False),
    ({"enum": [1]}, "1.0", True),
    ({"enum": [0, "a"]}, "false", False),
    ({"enum": [False]}, "0", False),
    ({"enum": ["a", None]}, "null", True),
    ({"enum": [9007199254740993]}, "9007199254740992", False),
    ({"anyOf": [{"anyOf": [A, {"type": "null"}]}, {"type": "null"}]}, "null", True),
    ({"anyOf": [{"anyOf": [A, {"type": "null"}]}, {"type": "null"}]}, "1", False),
    ({"anyOf": [{"type": ["string", "null"], "minLength": 2}, {"type": "null"}]}, '"a"', False),
    ({"anyOf": [{"type": ["array", "null"], "items": A}, A]}, "[1]", False),
    ({"type": ["string", "array", "null"], "minLength": 2, "maxItems": 0}, "[]", True),
    ({"type": ["string", "array", "null"], "minLength": 2, "maxItems": 0}, '"a"', False),
    ({"type": ["string", "array", "null"], "minLength": 2, "maxItems": 0}, "[1]", False),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "1", False),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "1.5", True),
    ({"oneOf": [{"type": "number"}, {"enum": [1]}]}, "1.0", False),
    ({"type": "object", "required": ["toString"]}, "{}", False),
    ({"type": "object", "properties": {"__proto__": A}}, '{"__proto__":1}', False),
    ({"type": "object", "additionalProperties": A}, '{"a":1}', False),
    ({"type": "object", "properties": {"a": A}, "additionalProperties": False}, '{"b":1}', False),
    ({"minLength": 2, "minimum": 2}, '"ab"', True),
    ({"minLength": 2, "minimum": 2}, "1", False),
    ({"type": "string", "format": "email", "contentEncoding": "base64"}, '"no"', True),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "data", "valid"), CASES)
def test_known_difference_is_judged_by_the_standard(schema: Any, data: str, valid: bool) -> None:
    """Where msgspec, Python and JSON Schema see a value differently, JSON Schema is right."""
    for root, text in (
        (schema, data),
        ({"type": "object", "properties": {"x": schema}, "required": ["x"]}, f'{{"x":{data}}}'),
        (
            {"type": "object", "properties": {"x": {"type": "array", "items": schema}}},
            f'{{"x":[{data}]}}',
        ),
        ({"type": "object", "properties": {"x": {"anyOf": [schema, False]}}}, f'{{"x":{data}}}'),
    ):
        which = checker(root)
        assert proper(which, text) is valid
        assert valid or not which.accepts(text)
