"""The doors beside the chat: model lists, token counts, health, probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from sfbridge import __version__
from sfbridge.config import ConfigError
from sfbridge.core.errors import GatewayError
from sfbridge.core.receipt import Receipt
from sfbridge.policy.explaining import explain
from sfbridge.wire import catalogue
from sfbridge.wire.anthropic.decode import decode_count
from sfbridge.wire.anthropic.encode import count_body

from .chat import identified
from .hall import JSON_TYPE, PROBES, is_near, read_json
from .keys import CONVERSATIONS, DRAINING, GENERATION, JOURNAL, KEY_ID, RELOADING, WIRE

_json = msgspec.json.Encoder()
_DEFAULT_PAGE = 20


def body_of(data: bytes, status: int = 200) -> web.Response:
    """JSON as a whole answer."""
    return web.Response(body=data, status=status, headers={"Content-Type": JSON_TYPE})


async def models(request: web.Request) -> web.Response:
    """The model list in the dialect of whoever asks."""
    cards = request[GENERATION].gateway.planner.cards(request[KEY_ID])
    if request[WIRE].name != "anthropic":
        return body_of(catalogue.openai_list(cards))
    query = request.query
    return body_of(
        catalogue.anthropic_list(
            [card for card in cards if card.kind != "embeddings"],
            limit=limit_of(query),
            after_id=query.get("after_id"),
            before_id=query.get("before_id"),
        )
    )


def limit_of(query: Mapping[str, str]) -> int:
    """How many items a list is to have. Raises GatewayError for what is no such number."""
    text = query.get("limit", str(_DEFAULT_PAGE))
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise GatewayError("invalid_request", "limit must be from 1 to 1000.", param="limit")
    return int(text)


async def model(request: web.Request) -> web.Response:
    name = request.match_info["model"]
    card = request[GENERATION].gateway.planner.card(name, request[KEY_ID])
    one = catalogue.anthropic_one if request[WIRE].name == "anthropic" else catalogue.openai_one
    return body_of(one(card, name=name))


async def count_tokens(request: web.Request) -> web.Response:
    """Our estimate of a prompt as the upstream would be sent it; no vendor here counts for us."""
    asked = decode_count(await read_json(request, request[WIRE]), request.headers)
    counted = await request[GENERATION].gateway.count(identified(request, asked.request))
    return body_of(count_body(counted))


async def healthz(_: web.Request) -> web.Response:
    """This process answers."""
    return body_of(_json.encode({"status": "ok", "version": __version__}))


async def readyz(request: web.Request) -> web.Response:
    """Whether a request would find its upstream: token held, surface known. 503 while not."""
    states: dict[str, Any] = {}
    ready = not request.app[DRAINING].stopping
    for name, back in request[GENERATION].gateway.planner.backs.items():
        health = await back.upstream.health()
        states[name] = {"ready": health.ready, "summary": health.summary, **health.facts}
        ready = ready and health.ready
    problem = request.app[CONVERSATIONS].store.problem
    body = {
        "status": "ready" if ready else "not ready",
        "upstreams": states,
        # turns are answered without it, so it makes nobody unready
        "sessions": {"ready": not problem, "summary": problem or "conversations can be kept"},
    }
    return body_of(_json.encode(body), 200 if ready else 503)


async def context(request: web.Request) -> web.Response:
    """How full the windows of the last conversations are, where sfbridge watches them."""
    return body_of(_json.encode(request[GENERATION].gateway.contexts.snapshot()))


async def turns(request: web.Request) -> web.Response:
    """The receipts of the last turns, newest first."""
    latest = request.app[JOURNAL].latest(limit_of(request.query))
    return body_of(_json.encode({"turns": [shown(request, receipt) for receipt in latest]}))


def shown(request: web.Request, receipt: Receipt) -> Receipt:
    """A receipt for whoever asks: what was said under another key is not theirs to read."""
    if receipt.contents is None or receipt.key == request[KEY_ID]:
        return receipt
    return msgspec.structs.replace(receipt, contents=None)


async def turn(request: web.Request) -> web.Response:
    """One receipt, with its explanation in words."""
    name = request.match_info["id"]
    receipt = request.app[JOURNAL].turn(name)
    if receipt is None:
        raise GatewayError(
            "not_found",
            f"No turn {name!r} is remembered; the last {request[GENERATION].config.journal.keep} are (journal.keep).",
            code="turn_not_found",
        )
    found = shown(request, receipt)
    return body_of(_json.encode({"turn": found, "explanation": explain(found)}))


async def reload(request: web.Request) -> web.Response:
    """Read the configuration anew, for requests from now on. Only this machine may ask for it."""
    if not is_near(request):
        raise GatewayError(
            "permission",
            "The configuration is reloaded only for requests from this machine.",
            code="loopback_only",
            retriable=False,
        )
    try:
        found = await request.app[RELOADING].reload()
    except ConfigError as error:
        raise GatewayError(
            "invalid_request",
            f"The configuration cannot be used, the old one stays: {error}",
            code="configuration_refused",
            retriable=False,
        ) from None
    return body_of(_json.encode(found))


async def probe(_: web.Request) -> web.Response:
    """Claude Code's start-up probe."""
    return web.Response(text=f"sfbridge {__version__}\n")


def routes() -> list[web.RouteDef]:
    """Every door but the chat's; Anthropic doors stand again under /anthropic."""
    found = [
        *(web.get(path, probe) for path in PROBES if path != "/"),
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/v1/context", context),
        web.get("/v1/sfbridge/turns", turns),
        web.get("/v1/sfbridge/turns/{id}", turn),
        web.post("/v1/sfbridge/reload", reload),
        web.get("/models", models),
        web.get("/models/{model:.+}", model),
    ]
    for prefix in ("", "/anthropic"):
        found += [
            web.get(f"{prefix}/v1/models", models),
            web.get(f"{prefix}/v1/models/{{model:.+}}", model),
            web.post(f"{prefix}/v1/messages/count_tokens", count_tokens),
        ]
    return found
