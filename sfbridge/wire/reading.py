"""Reading a client's body: bytes -> Struct, and every fault of it as one GatewayError with the client's own path.

Shared by the protocols, which differ here only in how they write a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import Caller

from .frames import sound

T = TypeVar("T")
Spell = Callable[[str], str]

_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?\$?\.?(?P<path>.*?)`)?$", re.DOTALL)
_BYTE: Final = re.compile(r"^(?:JSON is malformed: )?(?P<what>.*) \(byte (?P<at>\d+)\)$", re.DOTALL)
_ABSENT: Final = re.compile(r"^Object missing required field `(?P<field>.*)`$")
_TYPES: Final = re.compile(r"^Expected `(?P<wanted>.*)`, got `(?P<got>.*)`$")
_TAG: Final = re.compile(r"^Invalid value '(?P<value>.*)'$", re.DOTALL)
_HALF_PAIR: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_MAY_BE_HALF: Final = re.compile("surrogate|escape|truncated")
_PLAIN: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_SAYS_NOTHING: Final = frozenset((b"null", b"false", b"{}", b"[]", b'""'))
_LONGEST_NOTHING: Final = 16

_shallow: Final = msgspec.json.Decoder(dict[str, Raw])


def dotted(path: str) -> str:
    """`messages[0].content` in the words of clients that write `messages.0.content`."""
    return path.replace("[...]", "").replace("[", ".").replace("]", "")


def bracketed(path: str) -> str:
    """`messages[0].content`, as it is."""
    return path.replace("[...]", "")


def invalid(path: str, problem: str) -> GatewayError:
    """An error about the field at `path`, already spelled for its client."""
    return GatewayError("invalid_request", f"{path}: {problem}", param=path)


def require_utf8(body: bytes) -> None:
    """Raise unless the body is UTF-8; JSON is read without looking into strings that nobody asks for."""
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise GatewayError(
            "invalid_request", f"The body is not UTF-8: byte {error.start} cannot be decoded."
        ) from None


def read(decoder: msgspec.json.Decoder[T], body: bytes, spell: Spell) -> T:
    """The body as the decoder's type. Raises GatewayError that names the place of the fault."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _syntax_fault(body) or mistyped(error, "", spell) from None
    except msgspec.DecodeError as error:
        raise _malformed(str(error), body) from None
    except RecursionError:
        raise too_deep() from None


def too_deep() -> GatewayError:
    """The body has more levels than anybody needs."""
    return GatewayError("invalid_request", "The body is nested too deeply.")


def mistyped(error: msgspec.ValidationError, prefix: str, spell: Spell) -> GatewayError:
    """A value of the wrong type, at `prefix` plus the path that the decoder gives."""
    found = _AT.match(str(error))
    what, path = (found["what"], found["path"] or "") if found else (str(error), "")
    path = prefix + (path if not prefix or path.startswith("[") or not path else "." + path)
    if absent := _ABSENT.match(what):
        return invalid(
            spell(f"{path}.{absent['field']}" if path else absent["field"]),
            "this field is required",
        )
    if types := _TYPES.match(what):
        if not path:
            return GatewayError(
                "invalid_request",
                f"The body must be a JSON object, not {_plain(types['got'])}.",
            )
        what = f"expected {_plain(types['wanted'])}, got {_plain(types['got'])}"
    elif tag := _TAG.match(what):
        what = f"{tag['value']!r} is not a known value here"
    return invalid(spell(path), what)


def fields(body: bytes) -> dict[str, Raw]:
    """The top-level fields of a body that was read before, as raw JSON."""
    return _shallow.decode(body)


def extras(
    body: bytes, known: Collection[str], idle: Mapping[str, Collection[bytes]]
) -> dict[str, Raw]:
    """Top-level fields that carry a wish which nobody reads.

    known  fields that are read, or that are no wishes
    idle   literals by field that say no more than the field's absence (`{"n": {b"1"}}`)
    """
    return wishes(fields(body), known, idle)


def wishes(
    given: Mapping[str, Raw], known: Collection[str], idle: Mapping[str, Collection[bytes]]
) -> dict[str, Raw]:
    """The same of fields that are at hand already."""
    found: dict[str, Raw] = {}
    for name, raw in given.items():
        if name in known:
            continue
        literal = bytes(raw)
        if len(literal) <= _LONGEST_NOTHING:
            literal = b"".join(literal.split())
            if literal in _SAYS_NOTHING or literal in idle.get(name, ()):
                continue
        found[name] = raw
    return found


def caller_of(headers: Mapping[str, str], user: str | None) -> Caller:
    """Who asks, as far as the request itself tells."""
    return Caller(
        client=sound(headers.get("user-agent", "")),
        conversation=headers.get("x-claude-code-session-id") or headers.get("x-session-id") or "",
        user=user or "",
        hides_tool_events=headers.get("x-sfbridge-tool-events", "").strip().lower() == "hidden",
    )


def output_limit(given: int | None, path: str) -> int | None:
    """The limit of the answer's length in tokens, checked."""
    if given is not None and given < 1:
        raise invalid(path, "must be at least 1")
    return given


def _plain(types: str) -> str:
    return " or ".join(_PLAIN.get(word, word) for word in types.split(" | "))


def _syntax_fault(body: bytes) -> GatewayError | None:
    """A fault of the JSON itself, which a decoder that met a wrong type first did not get to."""
    try:
        _shallow.decode(body)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError as error:
        return _malformed(str(error), body)
    return None


def _malformed(problem: str, body: bytes) -> GatewayError:
    if not body.strip():
        return GatewayError("invalid_request", "The body is empty; it must be a JSON object.")
    at, what = len(body), "the text ends too early"
    half = _HALF_PAIR.search(body) if _MAY_BE_HALF.search(problem) else None
    if half:
        at, what = half.start(), "a string holds one half of a surrogate pair"
    elif found := _BYTE.match(problem):
        at, what = int(found["at"]), found["what"]
        if what == "trailing characters":
            at -= 1  # msgspec has already stepped over the first of them
    line = body.count(b"\n", 0, at) + 1
    column = at - (body.rfind(b"\n", 0, at) + 1) + 1
    return GatewayError(
        "invalid_request",
        f"The body is not valid JSON: {what}, at line {line}, column {column} (byte {at}).",
    )
