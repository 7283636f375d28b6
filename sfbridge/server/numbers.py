"""The doors for numbers: statistics as JSON, and as text for Prometheus."""

from __future__ import annotations

import msgspec
from aiohttp import hdrs, web

from sfbridge import __version__
from sfbridge.core.statistics import Stats
from sfbridge.emulation import REPAIRS
from sfbridge.gateway import Gateway

from .hall import JSON_TYPE, METRICS_PATH
from .keys import CLOCK, GENERATION, METRICS, QUOTAS, RUNNING, STATISTICS

_encode = msgspec.json.Encoder().encode


def statistics_of(app: web.Application, gateway: Gateway) -> Stats:
    """Everything that is counted, as it stands now."""
    found = app[STATISTICS]
    totals = gateway.counters.snapshot()
    repairs = sum(n for name, n in totals.items() if name in REPAIRS)
    refusals: dict[str, int] = {}
    for (_, kind), number in found.refusals.items():
        refusals[kind] = refusals.get(kind, 0) + number
    return Stats(
        version=__version__,
        at=app[CLOCK].wall(),
        uptime_seconds=int(found.uptime),
        running=app[RUNNING].now(),
        overall=found.overall(),
        wires=found.shares("wire"),
        upstreams=found.shares("upstream"),
        models=found.shares("model"),
        keys=found.shares("key"),
        gates={name: back.gate.state() for name, back in gateway.planner.backs.items()},
        quotas=app[QUOTAS].states(),
        refusals=refusals,
        counters={**totals, "json_repair_total": repairs},
        minutes=found.minutes(),
    )


async def stats(request: web.Request) -> web.Response:
    """`core.statistics.Stats` as JSON."""
    return web.Response(
        body=_encode(statistics_of(request.app, request[GENERATION].gateway)),
        headers={hdrs.CONTENT_TYPE: JSON_TYPE},
    )


async def metrics(request: web.Request) -> web.Response:
    """The same for Prometheus."""
    body, content_type = request.app[METRICS].text(request.headers.get(hdrs.ACCEPT, ""))
    return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})


def routes() -> list[web.RouteDef]:
    return [web.get("/v1/sfbridge/stats", stats), web.get(METRICS_PATH, metrics)]
