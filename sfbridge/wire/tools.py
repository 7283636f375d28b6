"""Tools and tool choice, as far as the protocols agree on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from sfbridge.core.request import ChoiceMode, Tool, ToolCall, ToolChoice

from .frames import literal
from .reading import invalid

_EMPTY_SCHEMA: Final = Raw(b'{"type":"object"}')
_object: Final = msgspec.json.Decoder(dict[str, Any])


class Offer(Struct, frozen=True):
    """What a client offers: tools that it runs itself, and those left out because a vendor would run them.

    `left_out` is ready for a request's extras, so that the tools are reported by name.
    """

    tools: tuple[Tool, ...]
    left_out: Mapping[str, Raw]

    def lacks(self, name: str) -> bool:
        return all(tool.name != name for tool in self.tools)


def left_out_entry(name: str, kind: str) -> tuple[str, Raw]:
    """The extras entry of a tool that only its vendor can run."""
    return f"tools.{name or kind}", Raw(literal(kind))


def schema_of(raw: Raw, path: str) -> Raw:
    """A JSON Schema as written; absent or null means any object."""
    text = bytes(raw)
    if not text or text == b"null":
        return _EMPTY_SCHEMA
    if not text.startswith(b"{"):
        raise invalid(path, "a JSON Schema must be an object")
    return raw


def settled(mode: ChoiceMode, name: str, parallel: bool, offer: Offer, path: str) -> ToolChoice:
    """The choice, checked against the offer.

    A demand for a tool that was left out falls back to "auto". Raises GatewayError at `path` (of the name,
    or of the whole choice) when there is nothing to call.
    """
    if mode == "named" and offer.lacks(name):
        if f"tools.{name}" in offer.left_out:
            return ToolChoice(parallel=parallel)
        raise invalid(path, f"there is no tool {name!r} in tools")
    if mode == "required" and not offer.tools:
        if offer.left_out:
            return ToolChoice(parallel=parallel)
        raise invalid(path, "a tool call is demanded, but there are no tools")
    return ToolChoice(mode, name, parallel)


def call_of(call_id: str, name: str, arguments: str | None, path: str) -> ToolCall:
    """A call of an earlier answer, whose arguments are a string at `path`; blank ones are no arguments."""
    text = arguments or ""
    if not text.strip():
        return ToolCall(call_id, name, "{}")
    try:
        _object.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        raise invalid(path, "must be a string that holds one JSON object") from None
    return ToolCall(call_id, name, text)
