"""A tool's JSON Schema, compiled once: a quick yes from msgspec, the verdict from the validator library.

Nothing is ever fetched for a `$ref`, and no schema and no pattern gets more time than its value is worth: one
that is broken, or that would take exponential time, switches off the checking of its own tool and of nothing
else.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from .jsontext import NotJson, Refused, plain, read
from .typed import exact_type
from .unfolding import Endless, Unfolding, extent
from .words import MAX_PROBLEMS, explain, names

if TYPE_CHECKING:
    import jsonschema_rs

_UNFIT: Final = "does not have the form that the schema describes"
# Schemas asked of values: in one check, in one check whose count was needed, and where every error is told.
_MAX_CHECKS: Final = 100_000_000
_MAX_COUNTED: Final = 200_000
_MAX_TOLD: Final = 20_000
_DIALECTS: Final = frozenset(
    {
        "json-schema.org/draft-04/schema",
        "json-schema.org/draft-06/schema",
        "json-schema.org/draft-07/schema",
        "json-schema.org/draft/2019-09/schema",
        "json-schema.org/draft/2020-12/schema",
    }
)


class BrokenSchema(Exception):
    """The schema cannot be used to check anything, or not this value."""


class _Patterns(NamedTuple):
    """What a pattern may cost where the texts of a value have at most `characters` characters.

    size   bytes of a compiled pattern; the linear engine's time is this times the length
    steps  backtracking steps of the other engine, each of which may read the whole text
    """

    characters: float
    size: int
    steps: int


# Measured with the worst patterns we found: three seconds each at most.
_PATTERNS: Final = (
    _Patterns(300, 10_000_000, 10_000),
    _Patterns(3_000, 3_000_000, 10_000),
    _Patterns(12_000, 1_000_000, 2_000),
    _Patterns(100_000, 200_000, 200),
    _Patterns(float("inf"), 30_000, 10),
)


class Checker:
    """One compiled schema. Build it with `compiled`.

    schema  the schema; None when it is no schema at all
    quick   whether msgspec can say yes
    """

    __slots__ = ("_decoder", "_unfolding", "_validators", "quick", "schema")

    def __init__(self, source: bytes) -> None:
        self.schema = _schema(source)
        exact = exact_type(self.schema) if self.schema is not None else None
        self._decoder = msgspec.json.Decoder(exact) if exact is not None else None
        self.quick = exact is not None
        self._unfolding: Unfolding | None = None
        self._validators: dict[_Patterns, jsonschema_rs.Validator | None] = {}

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
        schema, unfolding = self._ready()
        given = plain(value)
        count, characters = extent(given)
        patterns = next(one for one in _PATTERNS if characters <= one.characters)
        if patterns not in self._validators:
            self._validators[patterns] = _built(schema, patterns)
        validator = self._validators[patterns]
        costly = unfolding.large or unfolding.size * count > _MAX_CHECKS
        if validator is None or (costly and not unfolding.costs_at_most(_MAX_COUNTED, given)):
            raise BrokenSchema
        if validator.is_valid(given):
            return ()
        if unfolding.costs_at_most(_MAX_TOLD, given):
            return explain(validator.iter_errors(given), schema)
        return _roughly(schema, given, patterns)

    def _ready(self) -> tuple[dict[str, Any], Unfolding]:
        if self.schema is None:
            raise BrokenSchema
        if self._unfolding is None:
            try:
                self._unfolding = Unfolding(self.schema)
            except Endless:
                self.schema = None
                raise BrokenSchema from None
        return self.schema, self._unfolding


@lru_cache(maxsize=256)
def compiled(source: bytes) -> Checker:
    """The checker of a schema's JSON text."""
    return Checker(source)


def _schema(source: bytes) -> dict[str, Any] | None:
    """The schema as an object; `true` and `false` are schemas too."""
    try:
        found = read(source.decode())
    except (NotJson, Refused, UnicodeDecodeError):
        return None
    match found:
        case dict():
            return found
        case True:
            return {}
        case False:
            return {"allOf": [False]}
        case _:
            return None


def _built(given: dict[str, Any], patterns: _Patterns) -> jsonschema_rs.Validator | None:
    import jsonschema_rs  # most requests never need it

    schema = plain(given)
    if not _known_dialect(schema.get("$schema")):
        schema.pop("$schema", None)
    # A pattern with look-around needs the other engine, whose steps are bounded. Array-valued `items`
    # are draft 7, which tools use without saying so.
    engines = (
        jsonschema_rs.RegexOptions(size_limit=patterns.size),
        jsonschema_rs.FancyRegexOptions(backtrack_limit=patterns.steps, size_limit=patterns.size),
    )
    makers = [jsonschema_rs.validator_for, jsonschema_rs.Draft7Validator]
    for engine in engines:
        for make in makers[:1] if "$schema" in schema else makers:
            try:
                return make(schema, pattern_options=engine, validate_formats=False, offline=True)
            except (ValueError, jsonschema_rs.ReferencingError):
                continue
    return None


def _known_dialect(named: Any) -> bool:
    if not isinstance(named, str):
        return False
    return named.removesuffix("#").partition("://")[2] in _DIALECTS


def _roughly(schema: dict[str, Any], value: Any, patterns: _Patterns) -> tuple[str, ...]:
    """Which parameters are wrong, without the reasons inside them: telling those would take too long."""
    properties = schema.get("properties")
    if not isinstance(value, dict) or not isinstance(properties, dict):
        return (f"the arguments: {_UNFIT}",)
    found = [f"/{key}: missing" for key in schema.get("required", ()) if key not in value]
    for key in value:
        if len(found) >= MAX_PROBLEMS:
            break
        if key in properties:
            alone = {k: v for k, v in schema.items() if k not in ("properties", "required")}
            validator = _built({**alone, "properties": {key: properties[key]}}, patterns)
            if validator is not None and not validator.is_valid({key: value[key]}):
                found.append(f"/{key}: {_UNFIT}")
        elif schema.get("additionalProperties") is False:
            found.append(f"unknown parameter {key}; known: {names(properties)}")
    return tuple(found[:MAX_PROBLEMS]) or (f"the arguments: {_UNFIT}",)
