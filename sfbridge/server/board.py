"""What the dashboard shows, as values: everything it may know, and nothing that was said."""

from __future__ import annotations

import msgspec
from aiohttp import web
from msgspec import Struct

from sfbridge.core.receipt import Receipt
from sfbridge.core.statistics import Stats
from sfbridge.policy.explaining import explain, note
from sfbridge.state.contexts import Contexts

from .generation import Generation
from .keys import DRAINING, JOURNAL
from .numbers import statistics_of
from .pages import shown

# Conversations and turns that are shown; more are a click on /v1/context and /v1/sfbridge/turns away.
_MOST_CONTEXTS = 12
MOST_TURNS = 200


class TurnLine(Struct, frozen=True, kw_only=True):
    """One row of the turn list: a receipt without its details. `changes` says in words what was done to it."""

    id: str
    at: float
    verdict: str
    error_kind: str = ""
    client: str = ""
    key: str = ""
    model: str
    target: str = ""
    answered_by: str = ""
    input: int | None = None
    output: int | None = None
    estimated: bool = False
    first_ms: int | None = None
    total_ms: int
    changes: tuple[str, ...] = ()


class Meter(Struct, frozen=True, kw_only=True):
    """How full the window of one conversation is, in tokens."""

    conversation: str
    model: str
    window: int
    input_tokens: int
    peak_input_tokens: int
    turns_left: int | None
    prunes: int


class UpstreamLook(Struct, frozen=True, kw_only=True):
    """One upstream's health, in words and facts fit for a public page."""

    ready: bool
    summary: str
    facts: dict[str, str | int | bool | None]


class Look(Struct, frozen=True, kw_only=True):
    """One message of the feed. `turns` holds those that the watcher has not been told yet, the oldest first."""

    ready: bool
    sandbox: bool
    stats: Stats
    upstreams: dict[str, UpstreamLook]
    contexts: list[Meter]
    turns: tuple[TurnLine, ...]


class Story(Struct, frozen=True, kw_only=True):
    """One turn in full, and in words."""

    turn: Receipt
    story: list[str]


async def look(app: web.Application, generation: Generation, told: str) -> Look:
    """The board now, with the turns that came after the one called `told`."""
    upstreams: dict[str, UpstreamLook] = {}
    for name, back in generation.gateway.planner.backs.items():
        health = await back.upstream.health()
        upstreams[name] = UpstreamLook(
            ready=health.ready, summary=health.summary, facts=health.facts
        )
    stopping = app[DRAINING].stopping
    tables = generation.config.upstream.values()
    return Look(
        ready=all(one.ready for one in upstreams.values()) and not stopping,
        sandbox=any("sandbox" in table.values() for table in tables),
        stats=statistics_of(app, generation.gateway),
        upstreams=upstreams,
        contexts=_meters(generation.gateway.contexts),
        turns=_since(app[JOURNAL].latest(MOST_TURNS), told),
    )


def _meters(contexts: Contexts) -> list[Meter]:
    shown = [one for one in contexts.snapshot()["conversations"] if one["window"]]
    return msgspec.convert(shown[:_MOST_CONTEXTS], list[Meter])


def story(request: web.Request, turn: str) -> Story | None:
    receipt = request.app[JOURNAL].turn(turn)
    if receipt is None:
        return None
    found = shown(request, receipt)
    return Story(turn=found, story=explain(found).splitlines())


def _since(newest_first: list[Receipt], told: str) -> tuple[TurnLine, ...]:
    found: list[TurnLine] = []
    for receipt in newest_first:
        if receipt.id == told:
            break
        found.append(_line(receipt))
    return tuple(reversed(found))


def _line(r: Receipt) -> TurnLine:
    changes = [*r.emulated, *(note(name) for name in r.notes)]
    if r.rounds:
        changes.append("asked again")
    return TurnLine(
        id=r.id,
        at=r.at,
        verdict=r.verdict,
        error_kind=r.error_kind,
        client=r.client,
        key=r.key,
        model=r.model,
        target=r.target,
        answered_by=r.answered_by,
        input=r.input,
        output=r.output,
        estimated=r.estimated,
        first_ms=r.first_ms,
        total_ms=r.total_ms,
        changes=tuple(changes),
    )
