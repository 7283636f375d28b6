"""What the dashboard shows, as values: everything it may know, and nothing that was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from aiohttp import web
from msgspec import Struct

from sfbridge.core.receipt import Receipt
from sfbridge.core.statistics import Stats
from sfbridge.policy.explaining import explain, note
from sfbridge.state.contexts import Contexts, Level

from .generation import Generation
from .keys import CONVERSATIONS, DRAINING, JOURNAL
from .numbers import statistics_of
from .pages import shown

# Conversations and turns that are shown; more are a click on /v1/context and /v1/sfbridge/turns away.
_MOST_CONTEXTS: Final = 6
MOST_TURNS: Final = 200
# Failures are trouble when, of the turns of so many minutes, at least this share failed.
_LATELY_MINUTES: Final = 5
_TROUBLING: Final = 0.1

State = Literal["ready", "troubled", "partly", "down", "stopping"]


class TurnLine(Struct, frozen=True, kw_only=True):
    """One row of the turn list: a receipt without its details. `changes` says in words what was done to it."""

    id: str
    at: float
    verdict: str
    error_kind: str = ""
    reason: str = ""
    client: str = ""
    key: str = ""
    model: str
    upstream: str = ""
    target: str = ""
    answered_by: str = ""
    input: int | None = None
    output: int | None = None
    estimated: bool = False
    first_ms: int | None = None
    total_ms: int
    changes: tuple[str, ...] = ()


class Meter(Struct, frozen=True, kw_only=True):
    """How full the window of one conversation is, in tokens. `course`: the prompts of its latest turns."""

    conversation: str
    model: str
    window: int
    input_tokens: int
    peak_input_tokens: int
    estimated: bool
    level: Level | None
    turns_left: int | None
    prunes: int
    course: tuple[int, ...] = ()


class UpstreamLook(Struct, frozen=True, kw_only=True):
    """One upstream's health, in words and facts fit for a public page."""

    ready: bool
    summary: str
    facts: dict[str, str | int | bool | None]


class Look(Struct, frozen=True, kw_only=True):
    """One message of the feed.

    state     "troubled": ready, but for `troubles`; "partly": some upstreams are not; "down": none is
    troubles  what somebody should look at, in words, the worst first
    sandbox   upstreams that are the sandbox org
    contexts  the fullest conversations; `contexts_more` have none shown
    turns     those that the watcher has not been told yet, the oldest first
    """

    ready: bool
    state: State
    troubles: tuple[str, ...]
    sandbox: tuple[str, ...]
    stats: Stats
    upstreams: dict[str, UpstreamLook]
    contexts: tuple[Meter, ...]
    contexts_more: int
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
    stats = statistics_of(app, generation.gateway)
    found = troubles(upstreams, stats, app[CONVERSATIONS].store.problem, stopping=stopping)
    contexts, more = _meters(generation.gateway.contexts)
    tables = generation.config.upstream
    return Look(
        ready=all(one.ready for one in upstreams.values()) and not stopping,
        state=_state(upstreams, troubled=bool(found), stopping=stopping),
        troubles=found,
        sandbox=tuple([name for name, table in tables.items() if "sandbox" in table.values()]),
        stats=stats,
        upstreams=upstreams,
        contexts=contexts,
        contexts_more=more,
        turns=_since(app[JOURNAL].latest(MOST_TURNS), told),
    )


def troubles(
    upstreams: Mapping[str, UpstreamLook], stats: Stats, problem: str, *, stopping: bool
) -> tuple[str, ...]:
    """What somebody should look at. `problem`: why conversations cannot be kept, or nothing."""
    found = ["The server is stopping."] if stopping else []
    found += [f"{name}: {one.summary}" for name, one in upstreams.items() if not one.ready]
    found += _failures(stats)
    for name, gate in stats.gates.items():
        if gate.waiting:
            places = f"{gate.in_flight} of {gate.limit} places are taken (in_flight)"
            found.append(f"{name}: {gate.waiting} in the queue, {places}.")
    if problem:
        found.append(f"Conversations cannot be kept: {problem}")
    return tuple(found)


def _failures(stats: Stats) -> list[str]:
    lately = [minute for minute in stats.minutes if minute.ago < _LATELY_MINUTES]
    failed = sum(minute.failed for minute in lately)
    turns = failed + sum(minute.whole + minute.left for minute in lately)
    if not failed or failed < turns * _TROUBLING:
        return []
    kinds: Counter[str] = Counter()
    for minute in lately:
        kinds.update(minute.errors)
    most = [f"{number} {_words(kind)}" for kind, number in kinds.most_common(3)]
    if others := sum(number for _, number in kinds.most_common()[3:]):
        most.append(f"{others} others")
    told = f"{failed} of {turns} turns of the last {_LATELY_MINUTES} minutes failed"
    return [f"{told}: {', '.join(most)}."]


def _state(upstreams: Mapping[str, UpstreamLook], *, troubled: bool, stopping: bool) -> State:
    if stopping:
        return "stopping"
    ready = [one.ready for one in upstreams.values()]
    if all(ready):
        return "troubled" if troubled else "ready"
    return "partly" if any(ready) else "down"


def _meters(contexts: Contexts) -> tuple[tuple[Meter, ...], int]:
    """The fullest conversations whose window is known, the fullest first, and how many more there are."""
    watched = [one for one in contexts.snapshot()["conversations"] if one["window"]]
    watched.sort(key=lambda one: -float(one["utilisation"]))
    fullest = watched[:_MOST_CONTEXTS]
    for one in fullest:
        one["course"] = [turn["input_tokens"] for turn in one["history"]]
    return msgspec.convert(fullest, tuple[Meter, ...]), len(watched) - len(fullest)


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
    changes = [*(f"{what} emulated" for what in r.emulated), *(note(name) for name in r.notes)]
    if r.reason == "length":
        changes.insert(0, "cut at the limit")
    if r.retries:
        changes.append("tried again after a refusal")
    if r.rounds:
        changes.append("asked again")
    return TurnLine(
        id=r.id,
        at=r.at,
        verdict=r.verdict,
        error_kind=_words(r.error_kind),
        reason=r.reason,
        client=r.client,
        key=r.key,
        model=r.model,
        upstream=r.upstream,
        target=r.target,
        answered_by=r.answered_by,
        input=r.input,
        output=r.output,
        estimated=r.estimated,
        first_ms=r.first_ms,
        total_ms=r.total_ms,
        changes=tuple(changes),
    )


def _words(kind: str) -> str:
    return kind.replace("_", " ")
