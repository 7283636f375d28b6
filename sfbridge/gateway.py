"""The spine: one exchange through the rooms. Knows neither who asks nor who answers.

The planner decides (route, fit, prune, dress), `answer` speaks with the upstream and yields batches of events.
Fallbacks happen here and end with the first event; calls are repeated in `asking`, faulty answers asked for again
in `correcting`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from .asking import Asking
from .core.answer import Fold
from .core.errors import GatewayError
from .core.model import Capabilities
from .core.request import ChatRequest
from .core.sequencer import Sequencer
from .core.stream import Event, Piece
from .correcting import Correcting
from .exchange import Exchange, Plan
from .planning import Planner
from .policy.routing import Target
from .state.clock import Clock
from .state.contexts import Contexts
from .state.counters import Counters
from .state.gates import Ticket
from .tap import Tap
from .threads import Threads
from .upstream.base import Thread

_log = logging.getLogger("sfbridge.gateway")

# Seconds that counting tokens waits for an upstream; clients send such requests by the dozen.
_COUNT_PATIENCE: Final = 0.5
# Reroutes that the log names, each once.
_MOST_PAIRS: Final = 200
# Failures that another model may not share.
_WORTH_A_FALLBACK: Final = frozenset(
    (
        "rate_limited",
        "overloaded",
        "timeout",
        "upstream_failed",
        "upstream_refused",
        "upstream_login",
    )
)


class Gateway:
    """Built once per application; holds no request."""

    def __init__(
        self,
        planner: Planner,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        counters: Counters,
        contexts: Contexts,
    ) -> None:
        self.planner = planner
        self.counters = counters
        self.contexts = contexts
        self._asking = Asking(clock=clock, jitter=jitter, counters=counters)
        self._correcting = Correcting(self._asking, counters, clock.now)
        self._threads = Threads(clock.now)
        self._told_pairs: set[str] = set()

    async def count(self, request: ChatRequest) -> int:
        """The tokens of a prompt as the upstream would be sent it, estimated and never 0; with an upstream that
        cannot say at once what it can do, as one without any abilities would be sent it."""
        target = self.planner.targets(request.model, request.caller.key_id)[0]
        try:
            async with asyncio.timeout(_COUNT_PATIENCE):
                upstream = self.planner.backs[target.upstream].upstream
                can = await upstream.capabilities(target.model)
        except (GatewayError, TimeoutError):
            can = Capabilities()
        return self.planner.plan(request, target, can, whole=True).prompt_tokens

    async def answer(
        self, exchange: Exchange, request: ChatRequest, make_id: Callable[[int], str]
    ) -> AsyncGenerator[list[Event]]:
        """Batches of events of one whole answer, or GatewayError at any point."""
        targets = list(self.planner.targets(request.model, request.caller.key_id))
        while True:
            target, spoken = targets.pop(0), False
            try:
                exchange.plan = plan = await self._prepare(exchange, request, target)
                exchange.mark("prepared")
                ticket = self._ticket(exchange, request, target)
                async with ticket, aclosing(self._one(exchange, plan, make_id)) as answer:
                    async for events in answer:
                        spoken = True
                        yield events
            except GatewayError as error:
                if not spoken and self._outgrew(exchange, error):
                    targets.insert(0, target)
                elif spoken or not targets or error.kind not in _WORTH_A_FALLBACK:
                    self._told(exchange, overflow=error.kind == "context_overflow")
                    raise
                else:
                    _log.warning("%s: %s failed (%s)", exchange.id, target.model, error.message)
                    exchange.notes["fallback"] += 1
                    self.counters.one("fallbacks")
            else:
                self._told(exchange, overflow=False)
                return

    def _ticket(self, exchange: Exchange, request: ChatRequest, target: Target) -> Ticket:
        """A place for the whole answer: one that had to queue again for its correction could be lost half said."""
        caller = request.caller
        ticket = self.planner.backs[target.upstream].gate.ticket(caller.key_id or caller.client)
        exchange.tickets.append(ticket)
        return ticket

    def _outgrew(self, exchange: Exchange, error: GatewayError) -> bool:
        """Whether a prompt was too long though it was estimated to fit: then its true length is learnt, and it is
        planned once more."""
        plan = exchange.plan
        if plan is None or not plan.watched or not error.counted or error.tokens is None:
            return False
        if error.kind != "context_overflow" or exchange.notes["replanned"]:
            return False
        exchange.notes["replanned"] += 1
        self.planner.learn(plan, error.tokens[0], sure=True)
        return True

    async def _prepare(self, exchange: Exchange, request: ChatRequest, target: Target) -> Plan:
        upstream = self.planner.backs[target.upstream].upstream
        attempt = 0
        while True:
            try:
                can = await upstream.capabilities(target.model)
                break
            except GatewayError as error:
                await self._asking.wait(exchange, attempt, error)
                attempt += 1
        return self.planner.plan(request, target, can)

    def _told(self, exchange: Exchange, *, overflow: bool) -> None:
        """Learn from what the upstream reported, and watch the conversation's window."""
        plan, usage = exchange.plan, exchange.usage
        if plan is None:
            return
        if exchange.rerouted:
            self._rerouted(exchange)
        told = sum(n or 0 for n in (usage.input, usage.cache_read, usage.cache_write))
        if not plan.conversation:
            return
        if plan.watched and told and not usage.estimated and not exchange.rounds:
            self.planner.learn(plan, told)
        level = self.contexts.seen(
            plan.conversation,
            model=next(iter(exchange.trace.known_as), plan.target.model),
            window=plan.window,
            input=told or plan.prompt_tokens,
            output=usage.output or 0,
            estimated=usage.estimated or not told,
            pruned=bool(plan.notes.get("prunings")),
            overflow=overflow,
            at=exchange.at,
        )
        if level is not None:
            _log.warning(
                "%s: the window of %s is at level %s", exchange.id, plan.target.model, level
            )

    def _rerouted(self, exchange: Exchange) -> None:
        """Note that another model answered; the log is told once of each pair."""
        exchange.notes["rerouted"] = 1
        self.counters.one("reroutes")
        pair = exchange.answerer
        if pair not in self._told_pairs and len(self._told_pairs) < _MOST_PAIRS:
            self._told_pairs.add(pair)
            _log.warning("%s: another model answered than was asked: %r", exchange.id, pair)

    async def _one(
        self, exchange: Exchange, plan: Plan, make_id: Callable[[int], str]
    ) -> AsyncGenerator[list[Event]]:
        """The answer of one target."""
        sequencer = Sequencer(make_id, plan.opening, wordless=plan.answers_results)
        exchange.activities = sequencer.activities
        tap = Tap(exchange, plan)
        exchange.notes.update(plan.fitted.repairs)
        exchange.notes.update(plan.notes)
        thread = self._threads.taken(plan) if plan.threads else None
        fold = Fold() if thread is not None else None
        if plan.reads:
            batches = self._correcting.pieces(exchange, plan, thread)
        else:
            batches = self._passed(exchange, plan, thread)
        async with aclosing(batches):
            async for pieces in batches:
                events = sequencer.feed(pieces)
                if not events:
                    continue
                if fold is not None:
                    fold.feed(events)
                yield tap.through(events)
        sequencer.drain()
        if thread is not None and fold is not None:
            self._threads.keep(plan, fold.answer(), thread)

    async def _passed(
        self, exchange: Exchange, plan: Plan, thread: Thread | None
    ) -> AsyncGenerator[Sequence[Piece]]:
        """The upstream's own pieces, as they are."""
        accepted = self._asking.accepted(exchange, plan, plan.request, thread)
        async with accepted as reception:
            async for pieces in reception.pieces:
                yield pieces
