"""A tool's JSON Schema, compiled once: a quick yes from msgspec, the verdict from the validator library.

Nothing is ever fetched for a `$ref`, patterns run in linear time, and a schema that is broken, or that would
take exponential time, switches off the checking of its own tool and of nothing else.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .jsontext import NotJson, Refused, plain, read, write
from .typed import exact_type
from .words import explain, names

if TYPE_CHECKING:
    import jsonschema_rs

_MAX_UNFOLDED: Final = 5_000
_MAX_BACKTRACKS: Final = 10_000
_MAX_STEPS: Final = 200
_UNFIT: Final = "does not have the form that the schema describes"
_IN_PLACE: Final = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else"})
_DIALECTS: Final = (
    "://json-schema.org/draft-04/schema",
    "://json-schema.org/draft-06/schema",
    "://json-schema.org/draft-07/schema",
    "://json-schema.org/draft/2019-09/schema",
    "://json-schema.org/draft/2020-12/schema",
)


class BrokenSchema(Exception):
    """The schema cannot be used to check anything."""


class Checker:
    """One compiled schema. Build it with `compiled`."""

    __slots__ = ("_decoder", "_source", "schema")

    def __init__(self, source: bytes) -> None:
        self._source = source
        try:
            found = read(source.decode())
        except (NotJson, Refused, UnicodeDecodeError):
            found = None
        self.schema: dict[str, Any] | None = found if isinstance(found, dict) else None
        exact = exact_type(self.schema) if self.schema is not None else None
        self._decoder = msgspec.json.Decoder(exact) if exact is not None else None

    def accepts(self, text: str) -> bool:
        """Whether the JSON text surely fits. False means only that it has to be asked properly."""
        if self._decoder is None:
            return False
        try:
            self._decoder.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            return False
        return True

    def problems(self, value: Any) -> tuple[str, ...]:
        """What is wrong with a value read by `jsontext`, with paths; empty when it fits.

        Raises BrokenSchema.
        """
        if self.schema is None:
            raise BrokenSchema
        validator = _validator(self._source)
        given = plain(value)
        if validator.is_valid(given):
            return ()
        if _tangled(self._source):
            return self._roughly(given)
        return explain(validator.iter_errors(given), self.schema)

    def _roughly(self, value: Any) -> tuple[str, ...]:
        """Which parameters are wrong, without the reasons inside them."""
        schema = self.schema or {}
        properties = schema.get("properties")
        required = schema.get("required")
        if not isinstance(value, dict) or not isinstance(properties, dict):
            return (f"the arguments: {_UNFIT}",)
        found = [f"/{key}: missing" for key in required or () if key not in value]
        for key in value:
            if key in properties:
                alone = {k: v for k, v in schema.items() if k not in ("properties", "required")}
                alone["properties"] = {key: properties[key]}
                one = _validator(write(alone).encode("utf-8", "replace"))
                if not one.is_valid({key: value[key]}):
                    found.append(f"/{key}: {_UNFIT}")
            elif schema.get("additionalProperties") is False:
                found.append(f"unknown parameter {key}; known: {names(properties)}")
        return tuple(found) or (f"the arguments: {_UNFIT}",)


@lru_cache(maxsize=256)
def compiled(source: bytes) -> Checker:
    """The checker of a schema's JSON text."""
    return Checker(source)


@lru_cache(maxsize=256)
def _built(source: bytes) -> jsonschema_rs.Validator | None:
    import jsonschema_rs  # most requests never need it

    schema = plain(compiled(source).schema)
    named = schema.get("$schema")
    if not (isinstance(named, str) and any(known in named for known in _DIALECTS)):
        schema = {key: value for key, value in schema.items() if key != "$schema"}
    if _unfolded(schema) > _MAX_UNFOLDED:
        return None
    # A pattern with look-around needs the other engine, whose steps are bounded. Array-valued `items`
    # are draft 7, which tools use without saying so.
    engines = (
        jsonschema_rs.RegexOptions(),
        jsonschema_rs.FancyRegexOptions(backtrack_limit=_MAX_BACKTRACKS),
    )
    drafts = (None,) if "$schema" in schema else (None, jsonschema_rs.Draft7)
    for engine in engines:
        for draft in drafts:
            try:
                if draft is None:
                    return jsonschema_rs.validator_for(
                        schema, pattern_options=engine, validate_formats=False, offline=True
                    )
                return jsonschema_rs.Draft7Validator(
                    schema, pattern_options=engine, validate_formats=False, offline=True
                )
            except (ValueError, jsonschema_rs.ReferencingError):
                continue
    return None


def _validator(source: bytes) -> jsonschema_rs.Validator:
    found = _built(source)
    if found is None:
        raise BrokenSchema
    return found


def _unfolded(schema: dict[str, Any]) -> int:
    """How many schemas one value may have to be checked against, every `$ref` counted where it stands.

    Twenty definitions that each name the one before twice make a million checks of a single value.
    """
    known: dict[int, int] = {}
    worst = 0
    todo: list[Any] = [schema]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            worst = max(worst, _in_place(node, schema, known, 64))
            todo += node.values()
    return worst


def _in_place(node: Any, root: dict[str, Any], known: dict[int, int], left: int) -> int:
    if not isinstance(node, dict):
        return 1
    if left == 0:
        return _MAX_UNFOLDED + 1
    if id(node) not in known:
        known[id(node)] = _MAX_UNFOLDED + 1  # what is found here again is a circle without end
        branches: list[Any] = []
        for word in _IN_PLACE & node.keys():
            branches += node[word] if isinstance(node[word], list) else [node[word]]
        if isinstance(node.get("$ref"), str):
            branches.append(resolve(node, root))
        known[id(node)] = 1 + sum(_in_place(b, root, known, left - 1) for b in branches)
    return known[id(node)]


@lru_cache(maxsize=256)
def _tangled(source: bytes) -> bool:
    """Whether alternatives nest by reference, so that telling every branch's errors would never end.

    The verdict itself is quick, because the library remembers what it has checked.
    """
    schema = compiled(source).schema
    text = write(schema)
    return ('"anyOf"' in text or '"oneOf"' in text) and _grown(schema)


def _grown(schema: Any) -> bool:
    """Whether a schema with every `$ref` written out is endless, or very large."""
    known: dict[int, int] = {}

    def size(node: Any, left: int) -> int:
        if not isinstance(node, dict | list):
            return 1
        if left == 0:
            return _MAX_UNFOLDED + 1
        if id(node) not in known:
            known[id(node)] = _MAX_UNFOLDED + 1
            inner = list(node.values()) if isinstance(node, dict) else list(node)
            if isinstance(node, dict) and "$ref" in node:
                inner.append(resolve(node, schema))
            known[id(node)] = 1 + sum(size(one, left - 1) for one in inner)
        return known[id(node)]

    return size(schema, _MAX_STEPS) > _MAX_UNFOLDED


def resolve(node: dict[str, Any], root: dict[str, Any]) -> Any:
    """What a `$ref` inside the same schema points at; None when it points elsewhere or nowhere."""
    reference = node.get("$ref")
    if reference == "#":
        return root
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: Any = root
    for step in reference[2:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        match found:
            case dict() if key in found:
                found = found[key]
            case list() if key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            case _:
                return None
    return found
