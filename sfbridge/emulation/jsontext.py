"""JSON that keeps what was written: no number changes its value, no key is given twice.

Apart from the standard reader because arguments run in somebody's shell: what cannot be delivered exactly
is refused instead of rounded.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import Any, Final

# Below the depth at which any reader behind us gives up (the schema validator at 255).
MAX_DEPTH: Final = 100
_MAX_DIGITS: Final = 300
_SMALLEST: Final = -400

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MAYBE_SURROGATE: Final = re.compile(r"[\ud800-\udfff]|\\u[dD][89abcdefABCDEF]")


class NotJson(ValueError):
    """The text is no JSON; a repair may be tried."""


class Refused(ValueError):
    """The text is JSON, or nearly, but cannot be taken as it stands; the message is for the model."""


class Number(Decimal):
    """A number with a fraction or an exponent, exact, with its own characters in `text`."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text
        return number


def read(text: str) -> Any:
    """The value of a JSON text. Raises NotJson or Refused."""
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise NotJson(f"the JSON is broken: {_where(error)}") from None
    except RecursionError:
        raise Refused("the JSON is nested too deeply") from None
    if text.count("{") + text.count("[") > MAX_DEPTH and _deeper(value, MAX_DEPTH):
        raise Refused("the JSON is nested too deeply")
    if _MAYBE_SURROGATE.search(text) and _has_surrogate(value):
        raise Refused("a string holds half of a surrogate pair, which is no character")
    return value


def write(value: Any, comma: str = ",", colon: str = ":") -> str:
    """The JSON text of a value; numbers in their own characters, keys in their order."""
    match value:
        case str():
            return quoted(value)
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Number():
            return value.text
        case dict():
            return (
                "{"
                + comma.join(quoted(k) + colon + write(v, comma, colon) for k, v in value.items())
                + "}"
            )
        case list():
            return "[" + comma.join(write(item, comma, colon) for item in value) + "]"
        case _:
            return str(value)


def quoted(text: str) -> str:
    """A JSON string; half surrogate pairs are escaped, because they cannot be sent as UTF-8."""
    return _SURROGATE.sub(lambda m: f"\\u{ord(m[0]):04x}", str(encode_basestring(text)))


def has_surrogate(text: str) -> bool:
    return _SURROGATE.search(text) is not None


def plain(value: Any) -> Any:
    """The value in plain types, as the validator library knows them."""
    match value:
        case str():
            return str(value)
        case Number():
            return Decimal(value)
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Refused(f"{key} is given twice")
            seen.add(key)
    return found


def _integer(text: str) -> int | Number:
    if text == "-0":
        return Number(text)  # its sign is one of its characters
    if len(text) > _MAX_DIGITS:
        raise Refused(f"the number {text[:20]}… is out of range")
    return int(text)


def _fraction(text: str) -> Number:
    """Refuses what a double cannot hold the size of, because readers behind us would."""
    try:
        number = Number(text)
    except InvalidOperation:
        raise Refused(f"the number {text[:40]} is out of range") from None
    if number and (number.adjusted() < _SMALLEST or math.isinf(float(text))):
        raise Refused(f"the number {text[:40]} is out of range")
    return number


def _constant(text: str) -> None:
    raise NotJson(f"the JSON is broken: {text} is no JSON value")


def _where(error: json.JSONDecodeError) -> str:
    start = max(0, error.pos - 20)
    return f"{error.msg.lower().removesuffix(' at')} at line {error.lineno}, near {error.doc[start : error.pos + 20]!r}"


def _deeper(value: Any, left: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if left == 0:
        return True
    return any(_deeper(v, left - 1) for v in (value.values() if isinstance(value, dict) else value))


def _has_surrogate(value: Any) -> bool:
    match value:
        case str():
            return has_surrogate(value)
        case dict():
            return any(has_surrogate(k) or _has_surrogate(v) for k, v in value.items())
        case list():
            return any(_has_surrogate(item) for item in value)
        case _:
            return False


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_float=_fraction,
    parse_int=_integer,
    parse_constant=_constant,
)
