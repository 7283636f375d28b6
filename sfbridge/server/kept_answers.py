"""The doors to kept answers of the Responses API: looking at one, at what was sent for it, and forgetting it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from sfbridge.core.errors import GatewayError
from sfbridge.state.database import Unavailable
from sfbridge.wire.openai_responses.kept import Kept, deleted_body, input_page

from .chains import kept_answer
from .conversations import unavailable
from .keys import CONVERSATIONS, KEY_ID
from .pages import body_of, limit_of

_ORDERS: Final = ("asc", "desc")


async def response(request: web.Request) -> web.Response:
    """A kept answer as its client saw it. Only whole: JSON in the place of a stream is read as an empty one."""
    if request.query.get("stream", "").lower() in ("true", "1"):
        raise GatewayError(
            "unsupported",
            "stream: a kept answer is given whole; leave stream out.",
            param="stream",
            retriable=False,
        )
    return body_of(bytes((await _asked_for(request)).answer))


async def input_items(request: web.Request) -> web.Response:
    """What was sent for a kept answer, in pages."""
    kept, query = await _asked_for(request), request.query
    order = query.get("order", "desc")
    if order not in _ORDERS:
        raise GatewayError(
            "invalid_request", f"order: {order!r} is not one of asc, desc", param="order"
        )
    page = input_page(
        kept,
        request.match_info["id"],
        limit=limit_of(query),
        after=query.get("after", ""),
        order=order,
    )
    return body_of(page)


async def forget(request: web.Request) -> web.Response:
    """Make a kept answer unknown; answers that went on from it keep what they need of it."""
    name = request.match_info["id"]
    if request.app[CONVERSATIONS].remnant(name, request[KEY_ID]) is None:
        await _asked_for(request)
    try:
        await request.app[CONVERSATIONS].forget_turn(name, request[KEY_ID])
    except Unavailable as error:
        raise unavailable(error) from None
    return body_of(deleted_body(name))


async def _asked_for(request: web.Request) -> Kept:
    name = request.match_info["id"]
    kept = await kept_answer(request, name)
    if kept is None:
        raise GatewayError("not_found", f"Response with id '{name}' not found.")
    return kept


def routes() -> list[web.RouteDef]:
    """With and without /v1, as the door that answers."""
    found: list[web.RouteDef] = []
    for prefix in ("/v1", ""):
        found += [
            web.get(f"{prefix}/responses/{{id}}", response),
            web.delete(f"{prefix}/responses/{{id}}", forget),
            web.get(f"{prefix}/responses/{{id}}/input_items", input_items),
        ]
    return found
