"""JSON Schema to msgspec types, where msgspec accepts nothing that the schema refuses.

A type made here is only ever used to say yes quickly; a no is asked again of the validator library. So what
msgspec sees differently is left out: patterns (Python's `^a$` takes a final line break, and a union of a
patterned string and a list crashes msgspec 0.22), constraints inside unions (it merges them), and bounds of
numbers with a fraction (it rounds them before it compares).
"""

from __future__ import annotations

import re
import types
from typing import Annotated, Any, Final, Literal, Union, get_origin

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .unfolding import resolve

_DEPTH: Final = 24
_MAX_SCHEMAS: Final = 2_000
_MAX_WHOLE: Final = 2**53

_SCALARS: Final[dict[str, Any]] = {
    "boolean": bool,
    "null": None,
    "integer": int,
    "number": float,
    "string": str,
}
_BARE: Final = tuple(_SCALARS.values())

_LENGTHS: Final = {"minLength": "min_length", "maxLength": "max_length"}
_COUNTS: Final = {"minItems": "min_length", "maxItems": "max_length"}
_BOUNDS: Final = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_NUMERIC: Final = frozenset(_BOUNDS)
# The words of all drafts that say something about values of one type, and about values of any. What is in
# neither says nothing about validity.
_OF_TYPE: Final[dict[str, frozenset[str]]] = {
    # draft 7 lets a validator look into texts, and the library does
    "string": frozenset(
        {"minLength", "maxLength", "pattern", "contentEncoding", "contentMediaType"}
    ),
    "integer": _NUMERIC,
    "number": _NUMERIC,
    "array": frozenset(
        {
            "items",
            "prefixItems",
            "additionalItems",
            "contains",
            "minContains",
            "maxContains",
            "minItems",
            "maxItems",
            "uniqueItems",
            "unevaluatedItems",
        }
    ),
    "object": frozenset(
        {
            "properties",
            "patternProperties",
            "additionalProperties",
            "unevaluatedProperties",
            "propertyNames",
            "required",
            "minProperties",
            "maxProperties",
            "dependencies",
            "dependentRequired",
            "dependentSchemas",
        }
    ),
}
_OF_ANY: Final = frozenset(
    {
        "enum",
        "const",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "$ref",
        "$dynamicRef",
        "$recursiveRef",
        "$id",
        "id",
    }
)
_SPEAKING: Final = _OF_ANY.union(*_OF_TYPE.values())
# What msgspec cannot have in the name of a field.
_UNNAMEABLE: Final = re.compile(r'[\\"\x00-\x1f]')


class _NotExact(Exception):
    """msgspec cannot say exactly this."""


def exact_type(schema: dict[str, Any]) -> Any:
    """A type whose values all fit the schema, or None. Without a type it is taken for an object's."""
    root = {key: value for key, value in schema.items() if key not in ("$id", "id")}
    if "type" not in root and _OF_ANY.isdisjoint(root):
        root["type"] = "object"
    # An `$id` says where references begin; they are not followed then.
    try:
        return _Types(None if "$id" in schema or "id" in schema else schema).of(root, _DEPTH)
    except _NotExact:
        return None


class _Types:
    """Makes the types of one schema. `root` is where references begin; None when they are not followed."""

    def __init__(self, root: dict[str, Any] | None) -> None:
        self._root = root
        self._budget = _MAX_SCHEMAS

    def of(self, schema: Any, left: int) -> Any:
        self._budget -= 1
        if schema is True:
            return Any
        if not isinstance(schema, dict) or left == 0 or self._budget < 0:
            raise _NotExact
        if "enum" in schema or "const" in schema:
            return _literal(schema)
        for word in ("$ref", "anyOf", "oneOf", "allOf"):
            if word in schema:
                return self._elsewhere(schema, word, left - 1)
        if "type" not in schema:
            if any(key in _SPEAKING for key in schema):
                raise _NotExact
            return Any
        kinds = schema["type"]
        branches = [self._one(kind, schema, left) for kind in _list(kinds, one=True)]
        return _union(branches) if isinstance(kinds, list) else branches[0]

    def _elsewhere(self, schema: dict[str, Any], word: str, left: int) -> Any:
        """A schema that says nothing itself but names others."""
        if any(key in _SPEAKING and key != word for key in schema) or "type" in schema:
            raise _NotExact
        match word:
            case "$ref":
                found = resolve(schema, self._root)
                if found is None or self._root is None:
                    raise _NotExact
                return self.of(found, left)
            case "allOf":
                if len(_list(schema["allOf"])) > 1:
                    raise _NotExact
                return self.of(schema["allOf"][0], left)
            case "oneOf" if not _disjoint(_list(schema["oneOf"])):
                raise _NotExact
            case _:
                return _union([self.of(branch, left) for branch in _list(schema[word])])

    def _one(self, kind: Any, schema: dict[str, Any], left: int) -> Any:
        """The type of the values of one kind."""
        match kind:
            case "object":
                return self._object(schema, left)
            case "array":
                _only(schema, kind, "items", *_COUNTS)
                items = self.of(schema.get("items", True), left - 1)
                return _bounded(types.GenericAlias(list, (items,)), schema, _COUNTS)
            case "string":
                _only(schema, kind, *_LENGTHS)
                return _bounded(str, schema, _LENGTHS)
            case "integer" | "number":
                # Whole numbers alone are exact; the others are asked properly where there are bounds.
                _only(schema, kind, *_BOUNDS)
                bounded = not _NUMERIC.isdisjoint(schema)
                return _bounded(int if bounded else _SCALARS[kind], schema, _BOUNDS)
            case "boolean" | "null":
                _only(schema, kind)
                return _SCALARS[kind]
            case _:
                raise _NotExact

    def _object(self, schema: dict[str, Any], left: int) -> Any:
        _only(schema, "object", "properties", "required", "additionalProperties")
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        demanded = _list(schema["required"], empty=True) if "required" in schema else []
        if not isinstance(properties, dict) or not all(isinstance(name, str) for name in demanded):
            raise _NotExact
        if isinstance(others, dict):
            if properties or demanded:
                raise _NotExact
            return types.GenericAlias(dict, (str, self.of(others, left - 1)))
        if not isinstance(others, bool) or (
            others is False and not properties.keys() >= {*demanded}
        ):
            raise _NotExact
        # msgspec wants required fields first; their order means nothing to JSON
        required = dict.fromkeys(demanded)
        fields: list[Any] = []
        names: dict[str, str] = {}
        for name in (*required, *(name for name in properties if name not in required)):
            if _UNNAMEABLE.search(name):
                raise _NotExact
            field = f"f{len(fields)}"
            names[field] = name
            kind = self.of(properties.get(name, True), left - 1)
            if name in required:
                fields.append((field, kind))
            else:
                fields.append((field, Union[kind, UnsetType], UNSET))  # noqa: UP007
        return msgspec.defstruct(
            "Arguments", fields, rename=names, forbid_unknown_fields=not others
        )


def _only(schema: dict[str, Any], kind: str, *words: str) -> None:
    """Refuse what else a schema says of values of this kind."""
    said = _OF_ANY | _OF_TYPE.get(kind, frozenset())
    if any(key in said and key not in words for key in schema):
        raise _NotExact


def _list(value: Any, *, one: bool = False, empty: bool = False) -> list[Any]:
    if one and isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not (value or empty):
        raise _NotExact
    return value


def _union(branches: list[Any]) -> Any:
    """At most one branch may be more than a bare scalar; msgspec cannot tell two of them apart."""
    if Any in branches:
        return Any
    rich = [branch for branch in branches if branch not in _BARE]
    constrained = any(get_origin(branch) in (Literal, Annotated) for branch in rich)
    if len(rich) > 1 or (constrained and any(b not in (*rich, None) for b in branches)):
        raise _NotExact
    return Union[tuple(branches)]  # noqa: UP007


def _disjoint(branches: list[Any]) -> bool:
    """Whether no value can fit two of the branches, to be seen from their types alone."""
    kinds = [branch.get("type") if isinstance(branch, dict) else None for branch in branches]
    if not all(isinstance(kind, str) for kind in kinds):
        return False
    return len({"number" if kind == "integer" else kind for kind in kinds}) == len(kinds)


def _literal(schema: dict[str, Any]) -> Any:
    """Texts, whole numbers and null. Others are left to the validator: 1.0 is 1, and true is not."""
    if ("enum" in schema) is ("const" in schema):
        raise _NotExact
    if any(key in _OF_ANY and key not in ("enum", "const") for key in schema):
        raise _NotExact
    values = _list(schema["enum"]) if "enum" in schema else [schema["const"]]
    kinds = {_LITERAL.get(type(value), "") for value in values}
    said = schema.get("type")
    allowed = set(_LITERAL.values()) if said is None else {str(k) for k in _list(said, one=True)}
    if "number" in allowed:
        allowed.add("integer")
    if "" in kinds or not kinds <= allowed:
        raise _NotExact
    for kind in kinds:
        _only(schema, kind, "enum", "const")
    if not all(abs(value) < _MAX_WHOLE for value in values if isinstance(value, int)):
        raise _NotExact
    return Literal[tuple(values)]


_LITERAL: Final[dict[type, str]] = {str: "string", int: "integer", type(None): "null"}


def _bounded(base: Any, schema: dict[str, Any], words: dict[str, str]) -> Any:
    """Bounds of whole numbers only: msgspec rounds a fraction to a double before it compares."""
    bounds = {ours: schema[theirs] for theirs, ours in words.items() if theirs in schema}
    if not bounds:
        return base
    if {"ge", "gt"} <= bounds.keys() or {"le", "lt"} <= bounds.keys():
        raise _NotExact
    lowest = {"multiple_of": 1, "min_length": 0, "max_length": 0}
    for word, bound in bounds.items():
        if type(bound) is not int or not lowest.get(word, -_MAX_WHOLE) <= bound < _MAX_WHOLE:
            raise _NotExact
    return Annotated[base, Meta(**bounds)]
