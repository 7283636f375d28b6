"""Values as the schema wants them, where nothing but the type differs: `"5"` for a number, `"True"` for a boolean.

Only lossless steps. Asked when a value does not fit as it is; whether the result fits is for the validator
to say, so what cannot be coerced is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from .jsontext import NotJson, Number, Refused, read, write
from .unfolding import resolve

_DEPTH: Final = 64
_STEPS: Final = 300_000

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,299})")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_FALSE_TRUE: Final = {"false": False, "true": True}
_NULLS: Final = ("null", "none")


class Verbatim(str):
    """A string out of a raw block: it may be read as another type, its characters never change."""

    __slots__ = ()


class _TooCostly(Exception):
    """Nested alternatives would be tried for ever."""


class Coercion:
    """One walk over one call's arguments; `names` lists what was done."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._budget = 0
        self.names: list[str] = []

    def run(self, value: Any, size: int) -> Any:
        """The coerced value, or the same when that costs too much. `size` is that of its JSON text."""
        self._budget = _STEPS + size
        try:
            return self._value(self._root, value, _DEPTH)
        except _TooCostly:
            self.names.clear()
            return value

    # ---- one schema, one value

    def _value(self, schema: Any, value: Any, left: int) -> Any:
        if not isinstance(schema, dict) or left == 0:
            return value
        left -= 1
        self._spend()
        if "$ref" in schema:
            value = self._value(resolve(schema, self._root), value, left)
        for part in _branches(schema, "allOf"):
            value = self._value(part, value, left)
        for word in ("anyOf", "oneOf"):
            if branches := _branches(schema, word):
                value = self._branch(branches, value, left)
        value = self._typed(_types(schema), schema, value, left)
        value = self._listed(schema, value)
        match value:
            case dict():
                return self._entries(schema, value, left)
            case list():
                return self._items(schema, value, left)
            case _:
                return value

    def _branch(self, branches: list[Any], value: Any, left: int) -> Any:
        """The first branch that the value fits as it is, else the first that it fits coerced."""
        for branch in branches:
            if self._fits(branch, value, left):
                mark = len(self.names)
                done = self._value(branch, value, left)  # 3.0 for an integer fits, and is 3
                del self.names[mark:]
                return done if _same(done, value) else value
        for branch in branches:
            mark = len(self.names)
            done = self._value(branch, value, left)
            if self._fits(branch, done, left):
                return done
            del self.names[mark:]
        return value

    def _typed(self, kinds: tuple[str, ...], schema: dict[str, Any], value: Any, left: int) -> Any:
        if not kinds:
            return value
        if any(_IS[kind](value) for kind in kinds if kind in _IS):
            if isinstance(value, Number) and "integer" in kinds and "number" not in kinds:
                return int(value)
            return value
        for kind in kinds:
            found = _converted(value, kind)
            if found is not None:
                return self._done(found)
        if "array" in kinds and value is not None and not _starts(value, "["):
            return self._wrapped(schema, value, left)
        return value

    def _done(self, found: tuple[str, Any]) -> Any:
        self.names.append(found[0])
        return found[1]

    def _wrapped(self, schema: dict[str, Any], value: Any, left: int) -> Any:
        item = schema.get("items", True)
        mark = len(self.names)
        done = self._value(item, value, left)
        if not self._fits(item, done, left):
            del self.names[mark:]
            return value
        self.names.append("wrap")
        return [done]

    def _listed(self, schema: dict[str, Any], value: Any) -> Any:
        """A text that differs from exactly one option of an enum in nothing but case."""
        options = schema.get("enum")
        if not isinstance(options, list) or type(value) is not str or value in options:
            return value
        self._spend(len(options))
        near = [o for o in options if isinstance(o, str) and o.lower() == value.lower()]
        return self._done(("enumcase", near[0])) if len(near) == 1 else value

    def _entries(self, schema: dict[str, Any], value: dict[str, Any], left: int) -> dict[str, Any]:
        properties = _properties(schema)
        demanded = frozenset(_required(schema))
        # Which keys a pattern means is for the validator to say; they are left alone.
        others = None if "patternProperties" in schema else schema.get("additionalProperties")
        out: dict[str, Any] = {}
        for key, item in value.items():
            inner = properties.get(key, others)
            optional = key in properties and key not in demanded
            if item is None and optional and not self._fits(inner, None, left):
                self.names.append("nullopt")
            else:
                out[key] = self._value(inner, item, left)
        return out

    def _items(self, schema: dict[str, Any], value: list[Any], left: int) -> list[Any]:
        first, items = _places(schema)
        return [
            self._value(first[index] if index < len(first) else items, item, left)
            for index, item in enumerate(value)
        ]

    # ---- whether a value has a form

    def _fits(self, schema: Any, value: Any, left: int) -> bool:
        """Whether a value has the form a schema describes: types, constants, keys; bounds are not looked at."""
        if schema is False:
            return False
        if not isinstance(schema, dict) or left == 0:
            return True
        left -= 1
        self._spend()
        kinds = _types(schema)
        if kinds and not any(_IS[kind](value) for kind in kinds if kind in _IS):
            return False
        if "const" in schema and not _same(schema["const"], value):
            return False
        options = schema.get("enum")
        if isinstance(options, list):
            self._spend(len(options))
            if not any(_same(option, value) for option in options):
                return False
        if "$ref" in schema and not self._fits(resolve(schema, self._root), value, left):
            return False
        if not all(self._fits(part, value, left) for part in _branches(schema, "allOf")):
            return False
        for word in ("anyOf", "oneOf"):
            branches = _branches(schema, word)
            if branches and not any(self._fits(branch, value, left) for branch in branches):
                return False
        match value:
            case dict():
                return self._entries_fit(schema, value, left)
            case list():
                first, items = _places(schema)
                return all(
                    self._fits(first[index] if index < len(first) else items, item, left)
                    for index, item in enumerate(value)
                )
            case _:
                return True

    def _entries_fit(self, schema: dict[str, Any], value: dict[str, Any], left: int) -> bool:
        properties = _properties(schema)
        if not all(name in value for name in _required(schema)):
            return False
        others = True if "patternProperties" in schema else schema.get("additionalProperties", True)
        return all(
            self._fits(properties.get(key, others), item, left) for key, item in value.items()
        )

    def _spend(self, steps: int = 1) -> None:
        self._budget -= steps
        if self._budget < 0:
            raise _TooCostly


def takes_text(schema: Any, root: dict[str, Any], left: int = 16) -> bool:
    """Whether a string may stand here, whatever it says; true where the schema says nothing."""
    if not isinstance(schema, dict) or left == 0:
        return True
    if "$ref" in schema:
        return takes_text(resolve(schema, root), root, left - 1)
    for word in ("anyOf", "oneOf"):
        if branches := _branches(schema, word):
            return any(takes_text(branch, root, left - 1) for branch in branches)
    kinds = _types(schema)
    return not kinds or "string" in kinds


def _converted(value: Any, kind: str) -> tuple[str, Any] | None:
    """A value read as `kind` and the name of that step; None when it cannot be without loss."""
    if isinstance(value, str):
        return _from_text(value, kind)
    if kind != "string":
        return None
    match value:
        case bool():
            return "bool2str", write(value)
        case int() | Number():
            return "num2str", write(value)
        case _:
            return None


def _from_text(text: str, kind: str) -> tuple[str, Any] | None:
    match kind:
        case "boolean" if text.lower() in _FALSE_TRUE:
            return "str2bool", _FALSE_TRUE[text.lower()]
        case "integer" if _INTEGER.fullmatch(text):
            return "str2int", int(text)
        case "number" if len(text) < 300 and _NUMBER.fullmatch(text):
            number = _read(text)
            return None if number is None else ("str2num", number)
        case "null" if text.lower() in _NULLS:
            return "str2null", None
        case "array" | "object" if _starts(text, "[" if kind == "array" else "{"):
            found = _read(text)
            return None if found is None else ("str2json", found)
        case _:
            return None


def _starts(value: Any, bracket: str) -> bool:
    return isinstance(value, str) and value.lstrip(" \t\r\n").startswith(bracket)


def _read(text: str) -> Any:
    try:
        return read(text)
    except (NotJson, Refused):
        return None


def _types(schema: dict[str, Any]) -> tuple[str, ...]:
    match schema.get("type"):
        case str() as one:
            return (one,)
        case list() as several:
            return tuple(kind for kind in several if isinstance(kind, str))
        case _:
            return ()


def _required(schema: dict[str, Any]) -> list[str]:
    found = schema.get("required")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _places(schema: dict[str, Any]) -> tuple[list[Any], Any]:
    """The schemas of the first items of a list, and that of the others."""
    items = schema.get("items")
    if isinstance(items, list):
        return items, schema.get("additionalItems")
    return _branches(schema, "prefixItems"), items


def _branches(schema: dict[str, Any], word: str) -> list[Any]:
    found = schema.get(word)
    return found if isinstance(found, list) else []


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _whole(value: Any) -> bool:
    if isinstance(value, Number):
        return value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


_IS: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": _whole,
    "number": lambda value: isinstance(value, int | Number) and not isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
