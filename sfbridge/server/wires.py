"""Which client protocol a path belongs to, so that also a 404 speaks its caller's language."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from sfbridge.wire import WIRES, openai_embeddings
from sfbridge.wire.base import Wire

from .paths import door_of

_BY_NAME: Final = {wire.name: wire for wire in WIRES}
OPENAI: Final = _BY_NAME["openai_chat"]
ANTHROPIC: Final = _BY_NAME["anthropic"]
# not a door for turns, but its errors and its receipts are those of one
_EMBEDDINGS: Final = OPENAI._replace(name=openai_embeddings.NAME)
_BY_ROUTE: Final = {
    **{route: wire for wire in WIRES for route in wire.routes},
    openai_embeddings.ROUTE: _EMBEDDINGS,
}


def wire_of(request: web.Request) -> Wire:
    """The wire of the request's path; the Anthropic one for its prefix or its version header."""
    path = request.path
    if wire := _BY_ROUTE.get(path):
        return wire
    path = door_of(request) or path
    if wire := _BY_ROUTE.get(path):
        return wire
    if (
        path.startswith("/anthropic")
        or "/messages" in path
        or "anthropic-version" in request.headers
    ):
        return ANTHROPIC
    return OPENAI
