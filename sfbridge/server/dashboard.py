"""The dashboard at `/`: a page, its live feed, and one turn in full. Read-only, for this machine's own browser.

Where keys are configured the page asks for one and keeps a cookie instead, because a browser's EventSource cannot
send a key of its own.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib.resources import files
from typing import Final

import msgspec
from aiohttp import hdrs, web
from aiohttp_sse import sse_response
from msgspec import Struct

from sfbridge import __version__
from sfbridge.config import clients
from sfbridge.core.errors import GatewayError

from .board import look, story
from .hall import JSON_TYPE, is_near, name_of, read_json
from .keys import (
    CLOCK,
    DRAINING,
    GENERATION,
    GENERATIONS,
    KEY_ID,
    RUNNING,
    VISITORS,
    WIRE,
)
from .paths import DASHBOARD

_COOKIE: Final = "sfbridge_dashboard"

_FILES: Final = {
    "dashboard.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(
        (
            "board.js",
            "dashboard.js",
            "drawing.js",
            "entering.js",
            "feed.js",
            "health.js",
            "keep.js",
            "numbers.js",
            "story.js",
            "turns.js",
            "words.js",
        ),
        "text/javascript; charset=utf-8",
    ),
}
# Everything comes from this server, nothing is inline, and no other page may frame this one.
_GUARDED: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
# At most one message in this many seconds, and at least one in those: phases, ages and lifetimes go on without any
# turn's beginning or end. The page takes a server for gone that was silent for twice as long.
_LEAST_SECONDS: Final = 0.5
_BUSY_SECONDS: Final = 0.5
_IDLE_SECONDS: Final = 5.0
_RECONNECT_MS: Final = 1000

_encode = msgspec.json.Encoder().encode


class _Entering(Struct, frozen=True):
    key: str


_entering = msgspec.json.Decoder(_Entering)


def page(name: str, content_type: str) -> web.Response:
    """A file of the dashboard."""
    return web.Response(
        body=files("sfbridge").joinpath("static", name).read_bytes(),
        headers={**_GUARDED, hdrs.CONTENT_TYPE: content_type},
    )


async def front(request: web.Request) -> web.Response:
    """The page for a browser; one line for everybody else, as Claude Code's start-up probe is."""
    if "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
        return web.Response(text=f"sfbridge {__version__}\n", headers={hdrs.VARY: hdrs.ACCEPT})
    _near(request)
    return page("dashboard.html", "text/html; charset=utf-8")


async def static(request: web.Request) -> web.Response:
    _near(request)
    name = request.match_info["name"]
    return page(name, _FILES[name])


async def feed(request: web.Request) -> web.StreamResponse:
    """The board, sent anew whenever something changed, its first message with every turn that is remembered. It ends
    when the configuration is replaced or the server stops; the browser then asks again."""
    _admitted(request)
    app, generation, clock = request.app, request[GENERATION], request.app[CLOCK]
    running, told, stopping = app[RUNNING], "", False
    async with sse_response(request, headers=_GUARDED) as response:
        while app[GENERATIONS].now is generation and not stopping:
            seen, stopping = running.feed.number, app[DRAINING].stopping
            board = await look(app, generation, told)
            await response.send(_encode(board).decode(), event="look", retry=_RECONNECT_MS)
            told = board.turns[-1].id if board.turns else told
            if not stopping:
                await clock.sleep(_LEAST_SECONDS)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_BUSY_SECONDS if running else _IDLE_SECONDS):
                        await running.feed.changed(seen)
    return response


async def turn(request: web.Request) -> web.Response:
    """One turn with its story."""
    request[KEY_ID] = _admitted(request)
    found = story(request, request.match_info["id"])
    if found is None:
        raise GatewayError("not_found", "That turn is not remembered.", code="turn_not_found")
    return _json(_encode(found))


async def enter(request: web.Request) -> web.Response:
    """A key against a cookie."""
    _near(request)
    try:
        entering = _entering.decode(await read_json(request, request[WIRE]))
    except msgspec.MsgspecError as error:
        raise GatewayError("invalid_request", f"The key is not readable: {error}") from None
    keys = clients(request[GENERATION].config)
    name = await name_of(request, entering.key)
    visitor = request.app[VISITORS].enter(name, keys)
    response = _json(b"{}")
    response.set_cookie(_cookie(request), visitor, path=DASHBOARD, httponly=True, samesite="Strict")
    return response


async def opened(request: web.Request) -> web.Response:
    """Whether this browser may look; a browser does not say why its EventSource was refused."""
    _admitted(request)
    return _json(b"{}")


def routes() -> list[web.RouteDef]:
    return [
        web.get("/", front),
        web.get(DASHBOARD + "feed", feed),
        web.get(DASHBOARD + "open", opened),
        web.post(DASHBOARD + "enter", enter),
        web.get(DASHBOARD + "turns/{id}", turn),
        web.get(DASHBOARD + "{name:" + "|".join(map(_pattern, _FILES)) + "}", static),
    ]


def _cookie(request: web.Request) -> str:
    """Browsers send cookies of one host to all its ports; two servers would put each other's visitors out."""
    return f"{_COOKIE}_{request.url.port}"


def _pattern(name: str) -> str:
    return name.replace(".", r"\.")


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, headers={**_GUARDED, hdrs.CONTENT_TYPE: JSON_TYPE})


def _near(request: web.Request) -> None:
    """Only a browser on this machine sees the dashboard."""
    if is_near(request):
        return
    raise GatewayError(
        "permission",
        "The dashboard is shown on the server's own machine only; /v1/sfbridge/stats has its numbers for everybody "
        "with a key.",
        code="loopback_only",
        retriable=False,
    )


def _admitted(request: web.Request) -> str:
    """The key of whoever may see what happens here; empty where none is needed."""
    _near(request)
    keys = clients(request[GENERATION].config)
    if not keys:
        return ""
    key = request.app[VISITORS].key_of(request.cookies.get(_cookie(request), ""), keys)
    if key is None:
        raise GatewayError(
            "authentication", "This dashboard asks for a key.", code="missing_api_key"
        )
    return key
