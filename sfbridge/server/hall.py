"""The hall that every request passes: its id, who may enter, and the right envelope for every failure."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Final
from urllib.parse import quote, urlsplit

from aiohttp import hdrs, web
from aiohttp.http_exceptions import ContentEncodingError

from sfbridge.config import Server, is_loopback
from sfbridge.core.errors import ErrorKind, GatewayError
from sfbridge.exchange import Exchange
from sfbridge.log import SAID, Said
from sfbridge.policy.limits import presented
from sfbridge.wire.base import Wire

from .conversations import HEADER
from .keys import (
    BODY,
    CLOCK,
    COMPARING,
    EXCHANGE,
    GENERATION,
    GENERATIONS,
    IDS,
    KEY_ID,
    ORIGIN,
    SECRETS,
    SESSION,
    WIRE,
)
from .paths import DASHBOARD, door_of
from .telling import said, told
from .wires import wire_of

_log = logging.getLogger("sfbridge.server")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON_TYPE: Final = "application/json; charset=utf-8"
# Health and start-up probes: no key, because the clients that send them have none at that moment.
PROBES: Final = ("/", "/api/hello", "/anthropic", "/anthropic/", "/anthropic/api/hello")
METRICS_PATH: Final = "/metrics"
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", *PROBES})
# A proxy's marks.
_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "Via")
_HTTP_KINDS: Final[dict[int, ErrorKind]] = {
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media",
}


@web.middleware
async def hall(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every answer leaves through here, with its headers; every failure in its door's envelope."""
    app = request.app
    exchange = Exchange(f"req_{app[IDS].getrandbits(96):024x}", app[CLOCK], app[SECRETS].hidden)
    wire = wire_of(request)
    request[EXCHANGE], request[WIRE] = exchange, wire
    request[GENERATION] = generation = app[GENERATIONS].now.enter()
    SAID.set(quotable := Said(partial(said, request)))
    try:
        await _admit(request)
        if request.method == hdrs.METH_OPTIONS:
            response: web.StreamResponse = _preflight(request)
        else:
            response = await handler(request)
    except GatewayError as error:
        response = failed(request, error)
    except web.HTTPException as error:
        response = failed(request, _from_http(request, error))
    except (asyncio.CancelledError, ConnectionError):
        # many clients close at the end mark: then they have had all of a 200
        told(request, status=200 if exchange.delivered else None)
        # aiohttp reports a broken connection as our fault, and a cancellation as what it is
        raise asyncio.CancelledError from None
    except Exception:  # noqa: BLE001  one of the two places where the plan allows it
        _log.exception("%s %s %s failed", exchange.id, request.method, request.path)
        response = failed(request, _internal())
    finally:
        generation.leave()
        quotable.forget()
    if not response.prepared:
        response.headers.update(answer_headers(request))
    told(request, status=response.status)
    return response


def answer_headers(request: web.Request) -> dict[str, str]:
    """What every answer says of its own making."""
    exchange = request[EXCHANGE]
    headers = {
        "x-request-id": exchange.id,
        "x-upstream-latency": str(exchange.upstream_ms),
        "x-auth-refreshes": str(exchange.trace.auth_refreshes),
        "x-stream-downgraded": "true" if exchange.downgraded else "false",
        "x-sfbridge-ignored": printable(", ".join(exchange.ignored)),
    }
    if answerer := exchange.answerer:
        headers["x-sfbridge-model"] = printable(answerer)
    if request[WIRE].name == "anthropic":
        headers["request-id"] = exchange.id
    if session := request.get(SESSION):
        headers[HEADER] = session.id
        if session.problem:
            headers["x-sfbridge-sessions"] = "unavailable"
    if origin := request.get(ORIGIN):
        headers["Access-Control-Expose-Headers"] = ", ".join((*headers, "retry-after"))
        headers["Access-Control-Allow-Origin"] = origin
        headers["Vary"] = "Origin"
    return headers


def printable(text: str) -> str:
    """The text as a header can hold it: models' names are what clients and servers make them."""
    return text if text.isascii() and text.isprintable() else quote(text, safe="/:;=,. ")


def failed(request: web.Request, error: GatewayError) -> web.Response:
    """An error as a whole answer in the door's envelope."""
    exchange = request[EXCHANGE]
    exchange.error = shown(request, error)
    status, body = request[WIRE].fault(error, exchange.id)
    response = web.Response(
        body=body,
        status=status,
        headers={"Content-Type": JSON_TYPE, **retry_headers(error)},
    )
    if error.kind in ("authentication", "permission", "too_large"):
        response.force_close()
    return response


def shown(request: web.Request, error: GatewayError) -> GatewayError:
    """An error as its client may see it: an upstream may have quoted the key that it was sent."""
    error.said = request.app[SECRETS].hidden(error.said)
    return error


def retry_headers(error: GatewayError) -> dict[str, str]:
    headers = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    if error.retriable is not None:
        headers["x-should-retry"] = "true" if error.retriable else "false"
    return headers


def _preflight(request: web.Request) -> web.Response:
    """What a browser asks before a page of an allowed origin may post; touches nothing."""
    wanted = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "")
    headers = {
        "Access-Control-Allow-Methods": "GET, POST, DELETE",
        "Access-Control-Allow-Headers": wanted,
    }
    return web.Response(status=204, headers=headers if hdrs.ORIGIN in request.headers else None)


def _internal() -> GatewayError:
    return GatewayError(
        "internal", "sfbridge failed on this request. Its log names the fault under the request id."
    )


def _from_http(request: web.Request, error: web.HTTPException) -> GatewayError:
    kind = _HTTP_KINDS.get(error.status, "invalid_request" if error.status < 500 else "internal")
    match kind:
        case "not_found":
            message = f"There is nothing at {request.method} {request.path}."
        case "method_not_allowed":
            allowed = error.headers.get(hdrs.ALLOW, "")
            message = f"{request.path} does not take {request.method}; it takes {allowed}."
        case "too_large":
            limit = request[GENERATION].config.server.max_body
            message = f"The body is larger than {limit} bytes (server.max_body)."
        case _:
            message = error.reason
    return GatewayError(kind, message)


# ---- who may enter


async def _admit(request: web.Request) -> None:
    generation = request[GENERATION]
    server = generation.config.server
    _check_host(request, server)
    _check_origin(request, server)
    keys, door = generation.keys, door_of(request)
    open_door = door in OPEN_PATHS or door.startswith(DASHBOARD)
    open_door = open_door or (door == METRICS_PATH and server.open_metrics)
    if not keys or open_door or request.method == hdrs.METH_OPTIONS:
        request[KEY_ID] = ""
        return
    request[KEY_ID] = await name_of(request, *presented(request.headers))


async def name_of(request: web.Request, *sent: str) -> str:
    """The name of the first of these that is a key. Raises GatewayError `authentication`.

    Where keys are hashed, one that was not seen before is compared in a thread, one at a time.
    """
    keys = request[GENERATION].keys
    name = keys.known(*sent)
    if name is not None:
        return name
    async with request.app[COMPARING].ticket(request.remote or ""):
        name = keys.known(*sent)  # meanwhile another request may have brought the same key
        if name is not None:
            return name
        comparing = asyncio.ensure_future(asyncio.to_thread(keys.compare, *sent))
        try:
            return keys.learn(await asyncio.shield(comparing), *sent)
        except asyncio.CancelledError:
            # a thread cannot be stopped, so its place stays taken
            await asyncio.wait([comparing])
            raise


def _check_host(request: web.Request, server: Server) -> None:
    """A page that rebinds its own name to 127.0.0.1 still sends that name; an address cannot be rebound."""
    name = _host_name(request.headers.get(hdrs.HOST, ""))
    if name == "localhost" or name.endswith(".localhost") or _is_address(name):
        return
    if name in (server.host.lower(), *map(str.lower, server.allowed_hosts)):
        return
    raise GatewayError(
        "permission",
        f"Requests for the host {name!r} are not served here; add it to server.allowed_hosts if it is yours.",
        code="foreign_host",
        retriable=False,
    )


@lru_cache(maxsize=64)
def _host_name(host: str) -> str:
    """The name of a Host header, without port and final dot; empty for what is no host."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower().removesuffix(".")
    except ValueError:
        return ""


@lru_cache(maxsize=64)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_origin(request: web.Request, server: Server) -> None:
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None:
        return
    own = f"http://{request.headers.get(hdrs.HOST, '')}"
    if origin == own or origin in server.allowed_origins:
        request[ORIGIN] = origin
        return
    raise GatewayError(
        "permission",
        "Web pages may not call this server; add the page's origin to server.allowed_origins to let it.",
        code="foreign_origin",
        retriable=False,
    )


def is_near(request: web.Request) -> bool:
    """Whether a request comes from this machine; behind a proxy everybody would seem to."""
    return is_loopback(request.remote or "") and not any(
        name in request.headers for name in _FORWARDED
    )


async def read_json(request: web.Request, wire: Wire) -> bytes:
    """The body of a post. Only JSON is taken: a form or text/plain post needs no preflight, so a web page could
    send it unseen."""
    if request.content_type != "application/json" and not request.content_type.endswith("+json"):
        raise GatewayError(
            "unsupported_media",
            f"Bodies for {wire.name} are JSON: send the header Content-Type: application/json.",
        )
    try:
        request[BODY] = body = await request.read()
    except ContentEncodingError:
        raise GatewayError(
            "invalid_request", "The body is not encoded as its Content-Encoding says."
        ) from None
    except web.RequestPayloadError as error:
        if isinstance(error.__cause__, ContentEncodingError):
            raise GatewayError(
                "invalid_request", "The body is not encoded as its Content-Encoding says."
            ) from None
        raise ConnectionResetError("the client broke off its body") from None
    return body
