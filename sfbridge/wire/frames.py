"""JSON literals for frames and bodies, shared by the encoders."""

from __future__ import annotations

from typing import Any, Final

import msgspec

_json: Final = msgspec.json.Encoder()


def literal(value: Any) -> bytes:
    """JSON of a tree of our own making."""
    return _json.encode(value)


def quoted(text: str) -> bytes:
    """A JSON string. Half a surrogate pair, which UTF-8 cannot carry, becomes a question mark."""
    try:
        return _json.encode(text)
    except UnicodeEncodeError:
        return _json.encode(sound(text))


def sound(text: str) -> str:
    """The text without halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()
