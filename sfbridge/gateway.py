"""The spine: one exchange through the rooms. Knows neither who asks nor who answers.

The planner decides (route, fit, prune, dress), `answer` speaks with the upstream and yields batches of events.
Asking again after a faulty answer happens here, and so do retries and fallbacks, which end with the first piece.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import Final

import msgspec
from msgspec.structs import replace

from .core.errors import GatewayError
from .core.model import Capabilities
from .core.request import ChatRequest
from .core.sequencer import Sequencer
from .core.stream import (
    BlockStarted,
    CallArguments,
    CallClosed,
    CallOpened,
    Closed,
    Delta,
    Event,
    Finished,
    Opened,
    Piece,
    Text,
    Usage,
)
from .emulation import REPAIRS, dropped_line
from .emulation.turn import Outcome
from .exchange import Exchange, Plan
from .planning import Planner
from .policy.estimate import estimate_text
from .policy.retries import delay
from .policy.routing import Target
from .state.clock import Clock
from .state.contexts import Contexts
from .state.counters import Counters
from .state.grudges import Grudges
from .upstream.base import Call, Reception

_log = logging.getLogger("sfbridge.gateway")
_encode = msgspec.json.Encoder().encode

# Seconds that counting tokens waits for an upstream; clients send such requests by the dozen.
_COUNT_PATIENCE: Final = 0.5
# Tools with broken schemas that the log names, each once.
_MOST_NAMED: Final = 200
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
        self._clock = clock
        self._jitter = jitter
        self._grudges = Grudges(clock.now)
        self._broken: set[str] = set()

    async def count(self, request: ChatRequest) -> int:
        """The tokens of a prompt as the upstream would be sent it, estimated and never 0; with an upstream that
        cannot say at once what it can do, as one without any abilities would be sent it."""
        target = self.planner.targets(request.model)[0]
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
        targets = list(self.planner.targets(request.model))
        while True:
            target, spoken = targets.pop(0), False
            try:
                exchange.plan = plan = await self._prepare(exchange, request, target)
                async with aclosing(self._one(exchange, plan, make_id)) as answer:
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

    def _outgrew(self, exchange: Exchange, error: GatewayError) -> bool:
        """Whether a prompt was too long though it was estimated to fit: then its true length is learnt, and it is
        planned once more."""
        plan = exchange.plan
        if plan is None or not plan.conversation or not error.counted or error.tokens is None:
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
                await self.wait(exchange, attempt, error)
                attempt += 1
        return self.planner.plan(request, target, can)

    def _told(self, exchange: Exchange, *, overflow: bool) -> None:
        """Learn from what the upstream reported, and watch the conversation's window."""
        plan, usage = exchange.plan, exchange.usage
        if plan is None:
            return
        told = sum(n or 0 for n in (usage.input, usage.cache_read, usage.cache_write))
        if not plan.conversation:
            return
        if told and not usage.estimated and not exchange.rounds:
            self.planner.learn(plan, told)
        level = self.contexts.seen(
            plan.conversation,
            model=plan.target.model,
            window=plan.window,
            input=told or plan.prompt_tokens,
            output=usage.output or 0,
            pruned=bool(plan.notes.get("prunings")),
            overflow=overflow,
            at=exchange.at,
        )
        if level is not None:
            _log.warning(
                "%s: the window of %s is at level %s", exchange.id, plan.target.model, level
            )

    async def _one(
        self, exchange: Exchange, plan: Plan, make_id: Callable[[int], str]
    ) -> AsyncGenerator[list[Event]]:
        """The answer of one target."""
        sequencer = Sequencer(make_id, plan.opening)
        tap = _Tap(exchange, plan)
        exchange.notes.update(plan.fitted.repairs)
        exchange.notes.update(plan.notes)
        pieces_of = self._read(exchange, plan) if plan.reads else self._pass(exchange, plan)
        async with aclosing(pieces_of):
            async for pieces in pieces_of:
                events = sequencer.feed(pieces)
                if events:
                    yield tap.through(events)
        sequencer.drain()

    # ---- two ways to read an upstream

    async def _pass(self, exchange: Exchange, plan: Plan) -> AsyncGenerator[Iterable[Piece]]:
        """The upstream's own pieces, as they are."""
        async with self._accepted(exchange, plan, plan.request) as reception:
            async for pieces in reception.pieces:
                yield pieces

    async def _read(self, exchange: Exchange, plan: Plan) -> AsyncGenerator[Iterable[Piece]]:
        """The upstream's answer read for calls, stops and shape; asked for again while it is faulty."""
        request, spent = plan.request, Usage()
        seen: tuple[object, ...] = ()
        while True:
            turn = plan.turn()
            prose: list[Piece] = []
            async with self._accepted(exchange, plan, request) as reception:
                async for pieces in reception.pieces:
                    free = turn.feed(pieces)
                    if exchange.rounds:
                        prose += [piece for piece in free if not isinstance(piece, Opened)]
                    elif free:
                        yield free
                    if turn.halted and plan.fitted.stream:
                        break
            outcome = turn.outcome()
            spent = spent.plus(outcome.closed.usage)
            self._count(exchange, outcome)
            faults = tuple((fault.name, fault.problems) for fault in outcome.faults)
            if not faults or exchange.rounds >= plan.rounds or faults == seen:
                if exchange.rounds and not faults:
                    self.counters.one("repair_success")
                yield self._last(exchange, plan, outcome, prose, spent)
                return
            if not exchange.rounds and outcome.pieces:
                yield outcome.pieces
            seen = faults
            exchange.rounds += 1
            self.counters.one("repair_rounds")
            request = replace(request, messages=request.messages + outcome.correction)

    def _last(
        self, exchange: Exchange, plan: Plan, outcome: Outcome, prose: list[Piece], spent: Usage
    ) -> list[Piece]:
        """What leaves at the end of a turn: prose, whole calls, the terminal mark."""
        out: list[Piece] = []
        # the calls of a corrected answer replace those of the turn; its prose would repeat what was said
        if not (exchange.rounds and outcome.calls):
            out += [*prose, *outcome.pieces]
        closed = outcome.closed
        if outcome.faults:
            self.counters.one("faults_final")
            if not outcome.calls:
                self._give_up(plan, outcome)
                out, closed = [], Closed(reason="stop", raw=closed.raw)
            out.append(Text(dropped_line(outcome.faults)))
        exchange.calls = outcome.calls
        for key, call in enumerate(outcome.calls):
            out += (
                CallOpened(key, call.id, call.name),
                CallArguments(key, call.arguments),
                CallClosed(key),
            )
        out.append(replace(closed, usage=spent))
        return out

    def _give_up(self, plan: Plan, outcome: Outcome) -> None:
        """Fail the turn, unless the same request failed like this a moment ago: then it ends in plain words."""
        asked = plan.asked
        digest = hashlib.blake2b(
            _encode((asked.model, asked.system, asked.messages)), digest_size=16
        )
        if self._grudges.again(digest.digest()):
            return
        raise GatewayError(
            "upstream_failed",
            "The model's answer was not usable, also after it was asked again: "
            + "; ".join(p for fault in outcome.faults for p in fault.problems)[:500],
            code="model_fault",
        )

    def _count(self, exchange: Exchange, outcome: Outcome) -> None:
        exchange.notes.update(outcome.notes)
        if outcome.faults:
            exchange.faults = outcome.faults
        self.counters.add(outcome.notes)
        if outcome.calls and not outcome.faults:
            self.counters.add({"calls_delivered": len(outcome.calls)})
        if outcome.notes.get("broken_schema"):
            self._name_broken(call.name for call in outcome.calls)
        if repaired := sum(n for name, n in outcome.notes.items() if name in REPAIRS):
            self.counters.add({"json_repair_total": repaired})

    def _name_broken(self, called: Iterable[str]) -> None:
        """Tell the log once about a tool whose schema is none, so that its arguments go unchecked."""
        for name in called:
            if name not in self._broken and len(self._broken) < _MOST_NAMED:
                self._broken.add(name)
                _log.warning(
                    "the schema of the tool %r is broken; its arguments go unchecked", name
                )

    def _accepted(self, exchange: Exchange, plan: Plan, request: ChatRequest) -> _Accepted:
        return _Accepted(self, exchange, plan, request)

    async def wait(self, exchange: Exchange, attempt: int, error: GatewayError) -> None:
        """Wait before the next attempt, or raise the error when there is to be none."""
        seconds = delay(attempt, error, self._jitter())
        if seconds is None:
            raise error
        _log.info("%s: %s, trying again in %.2f s", exchange.id, error.kind, seconds)
        exchange.retries += 1
        self.counters.one("retries")
        await self._clock.sleep(seconds)


class _Accepted:
    """An accepted upstream call. Refusals that may pass are tried again while it is entered, and nowhere else.

    A class, because a generator as context manager costs several microseconds more, at every request.
    """

    __slots__ = ("_call", "_exchange", "_gateway", "_open", "_upstream")

    def __init__(
        self, gateway: Gateway, exchange: Exchange, plan: Plan, request: ChatRequest
    ) -> None:
        self._gateway = gateway
        self._exchange = exchange
        self._upstream = plan.upstream
        self._call = Call(
            request=request,
            model=plan.target.model,
            stream=plan.fitted.stream,
            trace=exchange.trace,
        )

    async def __aenter__(self) -> Reception:
        exchange = self._exchange
        exchange.mark("asked")
        attempt = 0
        while True:
            exchange.attempts += 1
            self._open = self._upstream.open(self._call)
            try:
                reception = await self._open.__aenter__()
            except GatewayError as error:
                await self._gateway.wait(exchange, attempt, error)
                attempt += 1
            else:
                exchange.mark("accepted")
                return reception

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.__aexit__(kind, error, trace)


class _Tap:
    """Sees every event on its way out: notes what was said, fills in the usage that was not reported."""

    def __init__(self, exchange: Exchange, plan: Plan) -> None:
        self._exchange = exchange
        self._plan = plan
        exchange.mark("prepared")

    def through(self, events: list[Event]) -> list[Event]:
        exchange = self._exchange
        exchange.mark("first")
        for place, event in enumerate(events):
            if isinstance(event, Delta):
                exchange.answered.append(event.text)
            elif isinstance(event, BlockStarted):
                if event.kind == "call":
                    exchange.called.append(event.name)
            elif isinstance(event, Finished):
                exchange.usage, exchange.reason = self._filled(event.usage), event.reason
                events[place] = replace(event, usage=exchange.usage)
        return events

    def _filled(self, told: Usage) -> Usage:
        prompt_known = bool(told.input or told.cache_read or told.cache_write)
        if prompt_known and told.output is not None:
            return told
        guess = Usage(estimated=True)
        if not prompt_known:
            guess = replace(guess, input=self._plan.prompt_tokens * (self._exchange.rounds + 1))
        if told.output is None:
            guess = replace(
                guess, output=estimate_text("".join(self._exchange.answered), self._plan.family)
            )
        return told.merged(guess)
