"""Tool schemas as Bedrock takes them: their root must be an object, and may not choose between forms.

Arguments are an object anyway, so naming the type loses nothing. A root that only refers or combines is moved
into the description; the answer is checked against the client's own schema all the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Raw

_decode = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode
_COMBINED: Final = frozenset(("$ref", "anyOf", "oneOf", "allOf"))
_OBJECT: Final = Raw(b'{"type":"object"}')


@lru_cache(maxsize=1024)
def root_object(schema: bytes) -> tuple[Raw, str]:
    """A schema that Bedrock takes, and what the description must say instead of it; usually the same and nothing."""
    try:
        root = _decode(schema)
    except (msgspec.MsgspecError, RecursionError):
        return _OBJECT, ""
    if root.keys() & _COMBINED:
        return _OBJECT, f"\n\nThe arguments fit this JSON Schema: {schema.decode()}"
    if "type" in root and bytes(root["type"]) == b'"object"':
        return Raw(schema), ""
    return Raw(_encode({"type": "object", **{k: v for k, v in root.items() if k != "type"}})), ""
