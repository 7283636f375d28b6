"""Answers that must be looked at: read for calls, stops and shape, and asked for again while they are faulty."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from .asking import Asking
from .core.errors import GatewayError
from .core.stream import CallArguments, CallClosed, CallOpened, Closed, Opened, Piece, Text, Usage
from .emulation import REPAIRS, dropped_line
from .emulation.turn import Outcome
from .exchange import Exchange, Plan
from .state.counters import Counters
from .state.grudges import Grudges
from .upstream.base import Thread

_log = logging.getLogger("sfbridge.gateway")
_encode = msgspec.json.Encoder().encode

# Tools with broken schemas that the log names, each once.
_MOST_NAMED: Final = 200


class Correcting:
    """Built once per application; remembers which requests failed and which schemas were named, no more."""

    def __init__(self, asking: Asking, counters: Counters, now: Callable[[], float]) -> None:
        self._asking = asking
        self._counters = counters
        self._grudges = Grudges(now)
        self._broken: set[str] = set()

    async def pieces(
        self, exchange: Exchange, plan: Plan, thread: Thread | None
    ) -> AsyncGenerator[Iterable[Piece]]:
        """The upstream's answer read for calls, stops and shape; asked for again while it is faulty."""
        request, spent = plan.request, Usage()
        seen: tuple[object, ...] = ()
        while True:
            turn = plan.turn()
            prose: list[Piece] = []
            async with self._asking.accepted(exchange, plan, request, thread) as reception:
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
                    self._counters.one("repair_success")
                yield self._last(exchange, plan, outcome, prose, spent)
                return
            if not exchange.rounds and outcome.pieces:
                yield outcome.pieces
            seen = faults
            exchange.rounds += 1
            exchange.asked_again_ms.append(exchange.elapsed_ms)
            self._counters.one("repair_rounds")
            request = replace(request, messages=request.messages + outcome.correction)
            if thread is not None:
                # the upstream has heard its own faulty answer already
                said = [m for m in outcome.correction if m.role != "assistant"]
                thread.go_on(tuple(said), request.messages)

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
            self._counters.one("faults_final")
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
            "The model's answer was not usable, also after it was asked again.",
            said="; ".join(p for fault in outcome.faults for p in fault.problems)[:500],
            code="model_fault",
        )

    def _count(self, exchange: Exchange, outcome: Outcome) -> None:
        exchange.notes.update(outcome.notes)
        if outcome.faults:
            exchange.faults = outcome.faults
        self._counters.add(outcome.notes)
        if outcome.calls and not outcome.faults:
            self._counters.add({"calls_delivered": len(outcome.calls)})
        if outcome.notes.get("broken_schema"):
            self._name_broken(call.name for call in outcome.calls)
        if repaired := sum(n for name, n in outcome.notes.items() if name in REPAIRS):
            self._counters.add({"json_repair_total": repaired})

    def _name_broken(self, called: Iterable[str]) -> None:
        """Tell the log once about a tool whose schema is none, so that its arguments go unchecked."""
        for name in called:
            if name not in self._broken and len(self._broken) < _MOST_NAMED:
                self._broken.add(name)
                _log.warning(
                    "the schema of the tool %r is broken; its arguments go unchecked", name
                )
