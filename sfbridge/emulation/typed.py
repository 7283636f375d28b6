"""JSON Schema to msgspec types, where msgspec accepts nothing that the schema refuses.

A type made here is only ever used to say yes quickly; a no is asked again of the validator library. So what
msgspec sees differently is left out: patterns (Python's `^a$` takes a final line break, and a union of a
patterned string and a list crashes msgspec 0.22), constraints inside unions (it merges them), `oneOf`.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Union, get_origin

import msgspec
from msgspec import UNSET, Meta, UnsetType

_DEPTH: Final = 24

# Words that say nothing about validity.
_SILENT: Final = frozenset(
    {
        "type",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "format",
        "$comment",
        "$schema",
        "$defs",
        "definitions",
    }
)
_SCALARS: Final[dict[str, Any]] = {
    "boolean": bool,
    "null": None,
    "integer": int,
    "number": float,
    "string": str,
}
_BARE: Final = tuple(_SCALARS.values())


class _NotExact(Exception):
    """msgspec cannot say exactly this."""


def exact_type(schema: dict[str, Any]) -> Any:
    """A type whose values all fit the schema of a tool's arguments, or None."""
    try:
        return _object(schema, _DEPTH)
    except _NotExact:
        return None


def _type(schema: Any, left: int) -> Any:
    if schema is True:
        return Any
    if not isinstance(schema, dict) or left == 0:
        raise _NotExact
    if "enum" in schema or "const" in schema:
        return _literal(schema)
    if "anyOf" in schema:
        _only(schema, "anyOf")
        if "type" in schema:
            raise _NotExact
        return _union([_type(branch, left - 1) for branch in _list(schema["anyOf"])])
    kind = schema.get("type")
    if kind is None:
        _only(schema)
        return Any
    if isinstance(kind, list):
        _only(schema)
        return _union([_type({"type": one}, left - 1) for one in _list(kind)])
    maker = _MAKERS.get(kind) if isinstance(kind, str) else None
    if maker is None:
        raise _NotExact
    return maker(schema, left)


def _only(schema: dict[str, Any], *words: str) -> None:
    if any(key not in _SILENT and key not in words for key in schema):
        raise _NotExact


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
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


def _literal(schema: dict[str, Any]) -> Any:
    """A list of texts. Other constants are left to the validator, for 1, 1.0 and true are not one value."""
    _only(schema, "enum", "const")
    if schema.get("type", "string") != "string" or ("enum" in schema and "const" in schema):
        raise _NotExact
    values = _list(schema["enum"]) if "enum" in schema else [schema["const"]]
    if not all(isinstance(value, str) for value in values):
        raise _NotExact
    return Literal[tuple(values)]


def _string(schema: dict[str, Any], _: int) -> Any:
    _only(schema, "minLength", "maxLength")
    return _bounded(str, schema, {"minLength": "min_length", "maxLength": "max_length"})


def _integer(schema: dict[str, Any], _: int) -> Any:
    words = {"minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt"}
    _only(schema, *words)
    if {"minimum", "exclusiveMinimum"} <= schema.keys():
        raise _NotExact
    if {"maximum", "exclusiveMaximum"} <= schema.keys():
        raise _NotExact
    return _bounded(int, schema, words)


def _array(schema: dict[str, Any], left: int) -> Any:
    _only(schema, "items", "minItems", "maxItems")
    items = _type(schema.get("items", True), left - 1)
    base = types.GenericAlias(list, (items,))
    return _bounded(base, schema, {"minItems": "min_length", "maxItems": "max_length"})


def _bounded(base: Any, schema: dict[str, Any], words: dict[str, str]) -> Any:
    """Bounds of whole numbers only: msgspec rounds a fraction to a double before it compares."""
    bounds = {ours: schema[theirs] for theirs, ours in words.items() if theirs in schema}
    if not bounds:
        return base
    if not all(type(bound) is int and -(2**53) < bound < 2**53 for bound in bounds.values()):
        raise _NotExact
    return Annotated[base, Meta(**bounds)]


def _object(schema: dict[str, Any], left: int) -> Any:
    _only(schema, "properties", "required", "additionalProperties", "$id")
    if schema.get("type", "object") != "object" or left == 0:
        raise _NotExact
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    closed = schema.get("additionalProperties", True)
    if not isinstance(properties, dict) or not isinstance(required, list):
        raise _NotExact
    if not isinstance(closed, bool) or not all(name in properties for name in required):
        raise _NotExact
    fields: list[Any] = []
    names: dict[str, str] = {}
    # msgspec wants required fields first; their order means nothing to JSON
    for index, name in enumerate(sorted(properties, key=lambda name: name not in required)):
        kind = _type(properties[name], left - 1)
        names[f"f{index}"] = name
        if name in required:
            fields.append((f"f{index}", kind))
        else:
            fields.append((f"f{index}", Union[kind, UnsetType], UNSET))  # noqa: UP007
    return msgspec.defstruct("Arguments", fields, rename=names, forbid_unknown_fields=not closed)


_MAKERS: Final[dict[str, Callable[[dict[str, Any], int], Any]]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": lambda schema, _: _bare(schema, float),
    "boolean": lambda schema, _: _bare(schema, bool),
    "null": lambda schema, _: _bare(schema, None),
}


def _bare(schema: dict[str, Any], kind: Any) -> Any:
    _only(schema)
    return kind
