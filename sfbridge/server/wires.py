"""Which client protocol a path belongs to, so that also a 404 speaks its caller's language."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from sfbridge.wire import WIRES
from sfbridge.wire.base import Wire

_BY_NAME: Final = {wire.name: wire for wire in WIRES}
_BY_ROUTE: Final = {route: wire for wire in WIRES for route in wire.routes}
OPENAI: Final = _BY_NAME["openai_chat"]
ANTHROPIC: Final = _BY_NAME["anthropic"]


def wire_of(request: web.Request) -> Wire:
    """The wire of the request's path; the Anthropic one for its prefix or its version header."""
    path = request.path
    if wire := _BY_ROUTE.get(path):
        return wire
    if (
        path.startswith("/anthropic")
        or "/messages" in path
        or "anthropic-version" in request.headers
    ):
        return ANTHROPIC
    return OPENAI
