"""The spine: one exchange through the rooms. Knows neither who asks nor who answers.

`prepare` decides (route, fit, dress), `answer` speaks with the upstream and yields batches of events.
Asking again after a faulty call happens here, and so do retries, which end with the first accepted call.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct
from msgspec.structs import replace

from .core.errors import GatewayError
from .core.request import ChatRequest, Shape
from .core.sequencer import Sequencer
from .core.stream import (
    CallArguments,
    CallClosed,
    CallOpened,
    Delta,
    Event,
    Finished,
    Opened,
    Piece,
    Text,
    Usage,
)
from .emulation import REPAIRS, Dressed, ask_shape, dress, dropped_line
from .emulation.turn import Outcome, Turn
from .policy.estimate import estimate, estimate_text, family_of
from .policy.fitting import Fitted, fit
from .policy.retries import delay
from .policy.routing import Routes, Target
from .state.clock import Clock
from .state.counters import Counters
from .upstream.base import Call, Reception, Trace, Upstream

_log = logging.getLogger("sfbridge.gateway")


class Plan(Struct, frozen=True, kw_only=True):
    """What was decided about one request before the upstream hears of it."""

    target: Target
    upstream: Upstream
    request: ChatRequest
    fitted: Fitted
    dressed: Dressed | None
    shape: Shape | None
    family: str
    prompt_tokens: int

    @property
    def opening(self) -> Usage:
        """What an answer may say of its tokens before the upstream has said anything."""
        return Usage(input=self.prompt_tokens, output=0, estimated=True)

    @property
    def reads_text(self) -> bool:
        """Whether the upstream's text must be looked at, rather than passed on."""
        return self.dressed is not None or self.shape is not None or bool(self.fitted.emulate_stop)


class Exchange:
    """One request and what became of it; written here, read by the server for headers and the log."""

    def __init__(self, request_id: str, clock: Clock) -> None:
        self.id = request_id
        self.trace = Trace()
        self.started = clock.now()
        self.retries = 0
        self.rounds = 0
        self.forced_json = False
        self.plan: Plan | None = None
        self.usage = Usage()
        self._clock = clock
        self._asked: float | None = None
        self._accepted: float | None = None

    @property
    def ignored(self) -> tuple[str, ...]:
        fitted = self.plan.fitted.ignored if self.plan else ()
        return tuple(dict.fromkeys((*fitted, *self.trace.ignored)))

    @property
    def downgraded(self) -> bool:
        return self.forced_json or (self.plan is not None and self.plan.fitted.downgraded)

    @property
    def upstream_ms(self) -> int:
        """Milliseconds until the upstream accepted the call; while it has not, those waited so far."""
        if self._asked is None:
            return 0
        end = self._clock.now() if self._accepted is None else self._accepted
        return int((end - self._asked) * 1000)

    @property
    def elapsed_ms(self) -> int:
        return int((self._clock.now() - self.started) * 1000)

    def asking(self) -> None:
        if self._asked is None:
            self._asked = self._clock.now()

    def accepted(self) -> None:
        if self._accepted is None:
            self._accepted = self._clock.now()


class Gateway:
    """Built once per application from its upstreams, routes and numbers; holds no request."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        routes: Routes,
        *,
        mark_key: bytes,
        repair_rounds: int,
        clock: Clock,
        jitter: Callable[[], float],
        counters: Counters,
    ) -> None:
        self.upstreams = upstreams
        self.routes = routes
        self.counters = counters
        self._mark_key = mark_key
        self._rounds = repair_rounds
        self._clock = clock
        self._jitter = jitter

    async def prepare(self, request: ChatRequest) -> Plan:
        """Route, fit and dress one request. Raises GatewayError where it cannot be answered."""
        target = self.routes.target(request.model)
        if target.card.kind != "chat":
            raise GatewayError(
                "invalid_request",
                f"The model {request.model} makes embeddings and cannot chat.",
                param="model",
            )
        upstream = self.upstreams[target.upstream]
        fitted = fit(request, await upstream.capabilities(target.model))
        asked, shape = fitted.request, None
        if fitted.emulate_shape:
            shape, asked = asked.shape, ask_shape(asked)
        dressed = dress(asked, self._mark_key) if fitted.emulate else None
        asked = dressed.request if dressed else asked
        if fitted.emulate_stop:
            asked = replace(asked, stop=())
        family = family_of(target.model)
        return Plan(
            target=target,
            upstream=upstream,
            request=asked,
            fitted=fitted,
            dressed=dressed,
            shape=shape,
            family=family,
            prompt_tokens=estimate(asked, family),
        )

    async def answer(
        self, exchange: Exchange, plan: Plan, make_id: Callable[[int], str]
    ) -> AsyncGenerator[list[Event]]:
        """Batches of events of one whole answer, or GatewayError at any point."""
        sequencer = Sequencer(make_id, plan.opening)
        tap = _Tap(exchange, plan)
        if plan.reads_text:
            pieces_of = self._read(exchange, plan)
        else:
            pieces_of = self._pass(exchange, plan, plan.request)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(pieces_of.aclose)
            async for pieces in pieces_of:
                events = sequencer.feed(pieces)
                if events:
                    yield tap.through(events)
        sequencer.drain()
        exchange.usage = tap.usage

    # ---- two ways to read an upstream

    async def _pass(
        self, exchange: Exchange, plan: Plan, request: ChatRequest
    ) -> AsyncGenerator[Iterable[Piece]]:
        """The upstream's own pieces, as they are."""
        async with self._accepted(exchange, plan, request) as reception:
            async for pieces in reception.pieces:
                yield pieces

    async def _read(self, exchange: Exchange, plan: Plan) -> AsyncGenerator[Iterable[Piece]]:
        """The upstream's text read for calls, stops and shape; asked again while it is faulty."""
        request, spent = plan.request, Usage()
        seen: tuple[object, ...] = ()
        while True:
            turn = Turn(plan.dressed, plan.shape, plan.fitted.emulate_stop)
            again = exchange.rounds > 0
            prose: list[Piece] = []
            async with self._accepted(exchange, plan, request) as reception:
                async for pieces in reception.pieces:
                    free = turn.feed(pieces)
                    if again:
                        prose += [piece for piece in free if not isinstance(piece, Opened)]
                    elif free:
                        yield free
                    if turn.halted and plan.fitted.stream:
                        break
            outcome = turn.outcome()
            spent = spent.plus(outcome.closed.usage)
            self._count(outcome)
            faults = tuple((fault.name, fault.problems) for fault in outcome.faults)
            if not faults or exchange.rounds >= self._rounds or faults == seen:
                yield self._last(outcome, prose, spent)
                return
            seen = faults
            exchange.rounds += 1
            if not again and outcome.pieces:
                yield outcome.pieces
            request = replace(request, messages=request.messages + outcome.correction)
            self.counters.one("repair_rounds")

    def _last(self, outcome: Outcome, prose: list[Piece], spent: Usage) -> list[Piece]:
        """What leaves at the end of a turn: prose, whole calls, the terminal mark."""
        if outcome.faults and not outcome.calls:
            self.counters.one("faults_final")
            raise GatewayError(
                "upstream_failed",
                "The model's answer was not usable, also after it was asked again: "
                + "; ".join(p for fault in outcome.faults for p in fault.problems)[:500],
                code="model_fault",
                retriable=False,
            )
        out: list[Piece] = []
        if not (prose and outcome.calls):
            out += [*prose, *outcome.pieces]
        if outcome.faults:
            self.counters.one("faults_final")
            out.append(Text(dropped_line(outcome.faults)))
        for key, call in enumerate(outcome.calls):
            out += (
                CallOpened(key, "", call.name),
                CallArguments(key, call.arguments),
                CallClosed(key),
            )
        out.append(replace(outcome.closed, usage=spent))
        return out

    def _count(self, outcome: Outcome) -> None:
        self.counters.add(outcome.notes)
        self.counters.add({"calls_delivered": len(outcome.calls)} if outcome.calls else {})
        repaired = sum(n for name, n in outcome.notes.items() if name in REPAIRS)
        self.counters.add({"json_repair_total": repaired} if repaired else {})

    # ---- connecting

    @asynccontextmanager
    async def _accepted(
        self, exchange: Exchange, plan: Plan, request: ChatRequest
    ) -> AsyncIterator[Reception]:
        """An accepted upstream call. Refusals that may pass are tried again here, and nowhere else."""
        call = Call(
            request=request,
            model=plan.target.model,
            stream=plan.fitted.stream,
            trace=exchange.trace,
        )
        exchange.asking()
        attempt = 0
        async with AsyncExitStack() as stack:
            while True:
                try:
                    reception = await stack.enter_async_context(plan.upstream.open(call))
                    break
                except GatewayError as error:
                    wait = delay(attempt, error, self._jitter())
                    if wait is None:
                        raise
                    _log.info("%s: %s, trying again in %.2f s", exchange.id, error.kind, wait)
                attempt += 1
                exchange.retries += 1
                self.counters.one("retries")
                await self._clock.sleep(wait)
            exchange.accepted()
            yield reception

    async def count(self, request: ChatRequest) -> int:
        """The tokens of a prompt as the upstream would be sent it: our estimate, never 0."""
        return (await self.prepare(request)).prompt_tokens


class _Tap:
    """Sees every event on its way out, and fills in the usage that the upstream did not report."""

    def __init__(self, exchange: Exchange, plan: Plan) -> None:
        self._exchange = exchange
        self._plan = plan
        self._said: list[str] = []
        self.usage = Usage()

    def through(self, events: list[Event]) -> list[Event]:
        for place, event in enumerate(events):
            if isinstance(event, Delta):
                self._said.append(event.text)
            elif isinstance(event, Finished):
                self.usage = self._filled(event.usage)
                events[place] = replace(event, usage=self.usage)
        return events

    def _filled(self, told: Usage) -> Usage:
        prompt_known = bool(told.input or told.cache_read or told.cache_write)
        if prompt_known and told.output is not None:
            return told
        guess = Usage(estimated=True)
        if not prompt_known:
            guess = replace(guess, input=self._plan.prompt_tokens * (self._exchange.rounds + 1))
        if told.output is None:
            guess = replace(guess, output=estimate_text("".join(self._said), self._plan.family))
        return told.merged(guess)
