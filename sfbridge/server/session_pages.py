"""The doors to what is kept of conversations: each key sees and deletes its own sessions only."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from msgspec import Raw
from msgspec.structs import asdict

from sfbridge.core.errors import GatewayError
from sfbridge.core.kept import KeptTurn, pack
from sfbridge.state.database import Unavailable
from sfbridge.state.sessions import Summary

from .conversations import Conversations, unavailable
from .keys import CONVERSATIONS, KEY_ID
from .pages import body_of, limit_of

_encode = msgspec.json.Encoder().encode


async def sessions(request: web.Request) -> web.Response:
    """The sessions of this key, the one used last first."""
    conversations, most = request.app[CONVERSATIONS], limit_of(request.query)
    try:
        found = await conversations.store.sessions(request[KEY_ID], most)
    except Unavailable as error:
        raise unavailable(error) from None
    return body_of(_encode({"sessions": [_shown(conversations, each) for each in found]}))


async def session(request: web.Request) -> web.Response:
    """One session with all that was said in it. Looking at it is no use of it, so its life is not prolonged."""
    conversations, name = request.app[CONVERSATIONS], request.match_info["id"]
    try:
        found = await conversations.store.look(name, request[KEY_ID])
    except Unavailable as error:
        raise unavailable(error) from None
    if found is None:
        raise _unknown(name)
    turns = [_turn(turn) for turn in found.turns]
    return body_of(_encode({"session": {**_shown(conversations, found.summary), "history": turns}}))


async def forget(request: web.Request) -> web.Response:
    name = request.match_info["id"]
    try:
        found = await request.app[CONVERSATIONS].forget(name, request[KEY_ID])
    except Unavailable as error:
        raise unavailable(error) from None
    if not found:
        raise _unknown(name)
    return body_of(_encode({"id": name, "deleted": True}))


async def forget_all(request: web.Request) -> web.Response:
    try:
        gone = await request.app[CONVERSATIONS].forget_all(request[KEY_ID])
    except Unavailable as error:
        raise unavailable(error) from None
    return body_of(_encode({"deleted": gone}))


def _shown(conversations: Conversations, summary: Summary) -> dict[str, Any]:
    return {**asdict(summary), "expires": summary.last_used + conversations.store.life}


def _turn(turn: KeptTurn) -> dict[str, Any]:
    return {"id": turn.id, "at": turn.at, "model": turn.model, "said": Raw(pack(turn))}


def _unknown(name: str) -> GatewayError:
    return GatewayError(
        "not_found",
        f"There is no session {name!r} of this key; GET /v1/sfbridge/sessions lists those there are.",
        code="session_not_found",
    )


def routes() -> list[web.RouteDef]:
    return [
        web.get("/v1/sfbridge/sessions", sessions),
        web.delete("/v1/sfbridge/sessions", forget_all),
        web.get("/v1/sfbridge/sessions/{id}", session),
        web.delete("/v1/sfbridge/sessions/{id}", forget),
    ]
