"""Values that fit a JSON Schema, taken from the words of a prompt where they can be."""

from __future__ import annotations

import re
from typing import Any, Final

from .conversation import Schema

# Numbers are bounded, so that a page of digits is not searched in quadratic time.
_EXPRESSION: Final = re.compile(
    r"\(?-?\d{1,30}(?:\.\d{1,30})?(?:\s{0,5}[-+*/×x^]\s{0,5}\(?-?\d{1,30}(?:\.\d{1,30})?\)?)+"
)
_DATE: Final = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_TICKED: Final = re.compile(r"`([^`\n]+)`")
_QUOTED: Final = re.compile(r"\"([^\"\n]+)\"|'([^'\n]{2,})'")
_PATH: Final = re.compile(r"(?<![\w:/])/[\w./-]*[\w]")
_ADDRESS: Final = re.compile(r"https?://[^\s\"'<>)]+")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
_CAPITAL: Final = re.compile(r"\bcapital\s+of\s+(\w+)", re.IGNORECASE)
_PROPER: Final = re.compile(r"\b[A-Z][a-zà-ÿ]+\b")
_CAPITALS: Final = {
    "austria": "Vienna", "brazil": "Brasília", "canada": "Ottawa", "china": "Beijing",
    "england": "London", "france": "Paris", "germany": "Berlin", "india": "New Delhi",
    "italy": "Rome", "japan": "Tokyo", "norway": "Oslo", "poland": "Warsaw",
    "portugal": "Lisbon", "spain": "Madrid", "sweden": "Stockholm",
}  # fmt: skip
_OPENERS: Final = frozenset((
    "A", "An", "And", "Answer", "Call", "Could", "Do", "Extract", "Find", "For", "Give",
    "How", "I", "If", "In", "Is", "Make", "Name", "Please", "Read", "Reply", "Return",
    "Run", "Say", "State", "Tell", "The", "Then", "There", "This", "To", "Use", "What",
    "When", "Where", "Which", "Who", "Why", "Write", "You",
))  # fmt: skip
_PLACES: Final = frozenset(("city", "capital", "place", "location", "town"))
_SUMS: Final = frozenset(("input", "expression", "expr", "query", "formula"))
_FORMATS: Final = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "user@example.com",
    "uri": "https://example.com/",
    "uuid": "333127bd-2d5d-41e8-9781-59a1a18ed69f",
}
_DEPTH: Final = 12


def expression_in(text: str) -> str:
    """The first arithmetic in `text`, as written; dates are none."""
    found = _EXPRESSION.search(_DATE.sub(" ", text))
    return found.group(0).strip() if found else ""


def fitting(schema: Schema, text: str, name: str = "") -> Any:
    """A value for `schema`; `name` is the property it is for. Objects get their required properties,
    or all of them where none is required, because such schemas mean "fill me" as often as "leave me"."""
    return _fit(schema, schema, text, name, 0)


def first_string(schema: Schema) -> str:
    """The property that takes the point of a call: the first required string, else the first string."""
    properties = _table(schema.get("properties"))
    names = [*_listed(schema.get("required")), *properties]
    return next((name for name in names if kind_of(_table(properties.get(name))) == "string"), "")


def kind_of(schema: Schema) -> str:
    """The JSON type that a schema wants first, `null` aside."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((word for word in kind if word != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _fit(root: Schema, schema: Schema, text: str, name: str, depth: int) -> Any:
    schema = _resolved(root, schema)
    if "const" in schema:
        return schema["const"]
    if values := _listed(schema.get("enum")):
        return next((value for value in values if _mentioned(value, text)), values[0])
    for word in ("anyOf", "oneOf"):
        if branches := [b for b in _listed(schema.get(word)) if isinstance(b, dict)]:
            branch = next((b for b in branches if b.get("type") != "null"), branches[0])
            return _fit(root, branch, text, name, depth + 1)
    match kind_of(schema):
        case "object":
            return _object(root, schema, text, depth)
        case "array":
            count = max(1, int(schema.get("minItems", 1)))
            item = _table(schema.get("items"))
            return [_fit(root, item, text, name, depth + 1)] * count if depth < _DEPTH else []
        case "integer" | "number" as kind:
            return _number(schema, text, kind)
        case "boolean":
            return bool(schema.get("default", False))
        case "null":
            return None
        case _:
            return _string(schema, text, name)


def _object(root: Schema, schema: Schema, text: str, depth: int) -> dict[str, Any]:
    properties = _table(schema.get("properties"))
    names = _listed(schema.get("required")) or list(properties)
    if depth >= _DEPTH:
        return {}
    return {name: _fit(root, _table(properties.get(name)), text, name, depth + 1) for name in names}


def _resolved(root: Schema, schema: Schema) -> Schema:
    """The schema behind local `$ref`s, and `allOf` merged."""
    for _ in range(_DEPTH):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        found: Any = root
        for key in reference[2:].split("/"):
            found = _table(found).get(key)
        schema = _table(found)
    for part in _listed(schema.get("allOf")):
        schema = {**_table(part), **schema}
    return schema


def _number(schema: Schema, text: str, kind: str) -> float | int:
    found = _NUMBER.search(text)
    least, most = schema.get("minimum"), schema.get("maximum")
    value = float(found.group(0)) if found else float(schema.get("default") or least or 1)
    if isinstance(least, int | float):
        value = max(value, least)
    if isinstance(most, int | float):
        value = min(value, most)
    return int(value) if kind == "integer" or value == int(value) else value


def _string(schema: Schema, text: str, name: str) -> str:
    value = _FORMATS.get(str(schema.get("format"))) or _said(schema, text, name)
    return value.ljust(int(schema.get("minLength", 0)), ".")[: schema.get("maxLength")]


def _said(schema: Schema, text: str, name: str) -> str:
    """The words of the prompt that a string property `name` is most likely about."""
    low = name.lower()
    if stated := _stated(name, text):
        return stated
    if low in _PLACES or (low == "answer" and _CAPITAL.search(text)):
        return _place(text)
    if "path" in low or "file" in low or "dir" in low:
        found = _PATH.search(text)
        return found.group(0) if found else "example.txt"
    if "url" in low or "uri" in low:
        found = _ADDRESS.search(text)
        return found.group(0) if found else "https://example.com/"
    if low in _SUMS and (expression := expression_in(text)):
        return expression
    if ticked := _TICKED.search(text):
        return ticked.group(1) if low != "description" else "As asked"
    for fixed in (schema.get("default"), *_listed(schema.get("examples"))):
        if isinstance(fixed, str):
            return fixed
    return " ".join(text.split()[:12]) or "none"


def _stated(name: str, text: str) -> str:
    """What the prompt itself says that `name` is: `city: Oslo`, `city=Oslo`, `"city" with value "Oslo"`."""
    if not name:
        return ""
    word = rf"[\"'`]?\b{re.escape(name)}\b[\"'`]?\s*(?:=|:|with (?:the )?value)\s*"
    found = re.search(word + r"(?:\"([^\"]+)\"|'([^']+)'|`([^`]+)`|([^\s,;]+))", text)
    return next((group for group in found.groups() if group), "").rstrip(".") if found else ""


def _place(text: str) -> str:
    if capital := _CAPITAL.search(text):
        return _CAPITALS.get(capital.group(1).lower(), capital.group(1))
    if quoted := _QUOTED.search(text):
        return quoted.group(1) or quoted.group(2)
    known = set(_CAPITALS.values())
    names = [word for word in _PROPER.findall(text) if word not in _OPENERS]
    return next((word for word in names if word in known), names[0] if names else "Paris")


def _mentioned(value: object, text: str) -> bool:
    return isinstance(value, str) and bool(
        re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE)
    )


def _table(value: object) -> Schema:
    return value if isinstance(value, dict) else {}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
