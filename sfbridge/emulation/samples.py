"""Example calls made from the client's own tools; examples are what moves a model from never to always."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sfbridge.core.request import Tool

from .arguments import Unfit, parameters, settle
from .jsontext import write
from .schema import compiled
from .unfolding import resolve

_DEPTH: Final = 6
_LONGEST: Final = 200
_TWO_LINES: Final = "first line\nsecond line"
_PLAIN: Final[dict[str, Any]] = {
    "string": "text",
    "integer": 1,
    "number": 1,
    "boolean": True,
    "null": None,
}


def examples(tools: Iterable[Tool], line_params: frozenset[str]) -> list[tuple[str, str]]:
    """Name and argument JSON of a call with short arguments and of one with a long string, if there are any."""
    tools = tuple(tools)
    long = _first_long(tools, line_params)
    short = _first_short([tool for tool in tools if long is None or tool.name != long[0]])
    return [one for one in (short or _first_short(tools), long) if one is not None]


def nested_string(tool: Tool) -> str:
    """The JSON Pointer of a string inside a list of objects; empty when the tool has none."""
    root = compiled(bytes(tool.schema)).schema or {}
    for key, schema in parameters(tool).items():
        items = _followed(_followed(schema, root).get("items"), root)
        inner = items.get("properties")
        for name, part in inner.items() if isinstance(inner, dict) else ():
            if _is_free_text(_followed(part, root)):
                return f"/{key}/0/{name}"
    return ""


def _first_short(tools: Iterable[Tool]) -> tuple[str, str] | None:
    for tool in tools:
        arguments = _valid(tool, _sample(tool))
        if arguments is not None and len(arguments) <= _LONGEST:
            return tool.name, arguments
    return None


def _first_long(tools: Iterable[Tool], line_params: frozenset[str]) -> tuple[str, str] | None:
    """A call with a text of two lines, in a parameter for whole files if there is one."""
    found: tuple[str, str] | None = None
    for tool in tools:
        root = compiled(bytes(tool.schema)).schema or {}
        free = [k for k, v in parameters(tool).items() if _is_free_text(_followed(v, root))]
        whole = [key for key in free if key in line_params]
        if not free or (found is not None and not whole):
            continue
        # of the other parameters, the last one is the likeliest to hold text rather than a name
        key = whole[0] if whole else free[-1]
        value = _sample(tool)
        value[key] = _TWO_LINES + ("\n" if whole else "")
        arguments = _valid(tool, value)
        if arguments is None or len(arguments) > 2 * _LONGEST:
            continue
        found = (tool.name, arguments)
        if whole:
            break
    return found


def _valid(tool: Tool, value: dict[str, Any]) -> str | None:
    text = write(value)
    try:
        settled, names = settle(tool, text)
    except Unfit:
        return None
    return None if names else settled


def _sample(tool: Tool) -> dict[str, Any]:
    """The required parameters, or the first one when none is required."""
    root = compiled(bytes(tool.schema)).schema or {}
    value = _value(root | {"type": "object"}, root, _DEPTH)
    return value if isinstance(value, dict) else {}


def _value(schema: Any, root: dict[str, Any], left: int) -> Any:
    schema = _followed(schema, root)
    if "const" in schema:
        return schema["const"]
    for word in ("enum", "examples"):
        if isinstance(schema.get(word), list) and schema[word]:
            return schema[word][0]
    if "default" in schema:
        return schema["default"]
    for word in ("anyOf", "oneOf"):
        if isinstance(schema.get(word), list) and schema[word] and left:
            return _value(schema[word][0], root, left - 1)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    match kind:
        case "object":
            return _entries(schema, root, left)
        case "array":
            return [_value(schema.get("items"), root, left - 1)] if left else []
        case str():
            return _PLAIN.get(kind, "text")
        case _:
            return "text"


def _entries(schema: dict[str, Any], root: dict[str, Any], left: int) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not left:
        return {}
    required = schema.get("required")
    wanted = [k for k in properties if isinstance(required, list) and k in required]
    if not wanted and left == _DEPTH:
        wanted = list(properties)[:1]
    return {key: _value(properties[key], root, left - 1) for key in wanted}


def _followed(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    """The schema behind a chain of references."""
    for _ in range(8):
        if not isinstance(schema, dict):
            return {}
        if "$ref" not in schema:
            return schema
        schema = resolve(schema, root)
    return {}


def _is_free_text(schema: dict[str, Any]) -> bool:
    bound = {"enum", "const", "pattern", "format", "maxLength"} & schema.keys()
    return schema.get("type") == "string" and not bound
