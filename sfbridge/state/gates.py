"""The gate before an upstream: so many calls at a time, and a short, fair queue for the others.

Fair between callers (round robin), first come first served within one. Whoever is let in holds a ticket until
the answer is over, whatever ends it.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from types import TracebackType
from typing import Final

from msgspec import Struct

from sfbridge.core.errors import GatewayError
from sfbridge.core.statistics import GateState

from .clock import Clock

# Clients give up at once when they are told to wait for longer (Claude Code from 90 s on, openai-node from 60 s).
_LONGEST_ADVICE: Final = 60.0
# Weight of the newest stay in the average that advice is made from.
_NEWEST: Final = 0.2


class Passage(Struct, frozen=True, kw_only=True):
    """How many calls an upstream takes.

    in_flight      calls at a time; 0: no limit
    queue          calls that may wait for a place
    queue_seconds  how long each may wait
    """

    in_flight: int = 0
    queue: int = 64
    queue_seconds: float = 30.0


def check(passage: Passage) -> None:
    """Raises ValueError, naming it, for a number that makes no sense."""
    for key in ("in_flight", "queue", "queue_seconds"):
        value = getattr(passage, key)
        if value < 0 or not math.isfinite(value):
            raise ValueError(f"{key}: {value} is not possible; it must be at least 0")


class Gates:
    """Every gate by its upstream's name. They outlive a configuration: calls of an older one still count."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gates: dict[str, Gate] = {}

    def gate(self, name: str) -> Gate:
        """The gate of an upstream; a new one has no limit yet."""
        found = self._gates.get(name)
        if found is None:
            found = self._gates[name] = Gate(name, self._clock)
        return found

    def all(self) -> tuple[Gate, ...]:
        return tuple(self._gates.values())


class Gate:
    """The gate of one upstream.

    inside        calls let in and not over
    waiting       calls in the queue
    peak          the most that were inside at once
    queued        calls that had to wait, since the start
    full          calls turned away because the queue was full
    late          calls turned away because no place became free in time
    """

    def __init__(self, name: str, clock: Clock, passage: Passage = Passage()) -> None:
        self.name = name
        self.clock = clock
        self.inside = self.waiting = self.peak = 0
        self.queued = self.full = self.late = 0
        self._lanes: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._stay = 1.0
        self.adjust(passage)

    def adjust(self, passage: Passage) -> None:
        """Go by other numbers from now on; who is inside or waiting stays there. Raises ValueError as `check`."""
        check(passage)
        self.passage = passage
        self._limit = passage.in_flight or math.inf
        self._let_in()

    def state(self) -> GateState:
        """How it stands now."""
        return GateState(
            limit=self.passage.in_flight,
            queue=self.passage.queue,
            queue_seconds=self.passage.queue_seconds,
            in_flight=self.inside,
            waiting=self.waiting,
            peak=self.peak,
            queued=self.queued,
            full=self.full,
            late=self.late,
        )

    def ticket(self, caller: str) -> Ticket:
        """A ticket for one call: entering it may wait, leaving it lets the next one in.

        Entering raises GatewayError `overloaded` when the queue is full or no place became free in time.
        """
        return Ticket(self, caller)

    async def enter(self, caller: str) -> None:
        if self.inside < self._limit:  # then nobody waits: a place that becomes free is handed on
            self.inside += 1
            if self.inside > self.peak:
                self.peak = self.inside
            return
        if self.waiting >= self.passage.queue and not self._make_room(caller):
            self.full += 1
            raise self._refusal("queue_full", f"and {self.waiting} more wait already")
        await self._queue_up(caller)

    def leave(self, stayed: float | None = None) -> None:
        """Give a place back, to the next who waits if there is one. `stayed`: seconds that it was taken."""
        if stayed is not None:
            self._stay += _NEWEST * (stayed - self._stay)
        self.inside -= 1
        if self.waiting:
            self._let_in()

    def _let_in(self) -> None:
        """Hand free places to those who wait, to one caller after the other."""
        while self._lanes and self.inside < self._limit:
            caller, lane = next(iter(self._lanes.items()))
            place = lane.popleft()
            self.waiting -= 1
            self._lanes.move_to_end(caller)
            if not lane:
                del self._lanes[caller]
            if not place.done():
                place.set_result(None)
                self.inside += 1

    async def _queue_up(self, caller: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lanes.setdefault(caller, deque()).append(place)
        self.waiting += 1
        self.queued += 1
        timer = asyncio.create_task(self._give_up(caller, place), name=f"queue of {self.name}")
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave()  # the place was handed over in the moment in which its owner left
            else:
                self._forget(caller, place)
            raise
        finally:
            timer.cancel()

    async def _give_up(self, caller: str, place: asyncio.Future[None]) -> None:
        seconds = self.passage.queue_seconds
        await self.clock.sleep(seconds)
        if not place.done():
            self._forget(caller, place)
            self.late += 1
            words = f"and none became free within {seconds:g} s (queue_seconds)"
            place.set_exception(self._refusal("queue_timeout", words))

    def _forget(self, caller: str, place: asyncio.Future[None]) -> None:
        lane = self._lanes.get(caller)
        if lane is None or place not in lane:
            return
        lane.remove(place)
        self.waiting -= 1
        if not lane:
            del self._lanes[caller]

    def _make_room(self, caller: str) -> bool:
        """In a full queue, the newest of whoever has the most waiting gives way to a caller who has fewer."""
        if not self._lanes:
            return False
        longest = max(self._lanes, key=lambda name: len(self._lanes[name]))
        if len(self._lanes[longest]) <= len(self._lanes.get(caller, ())) + 1:
            return False
        place = self._lanes[longest].pop()
        self.waiting -= 1
        if not place.done():
            self.full += 1
            words = "and the queue is needed for others, too"
            place.set_exception(self._refusal("queue_full", words))
        return True

    def _refusal(self, code: str, words: str) -> GatewayError:
        limit = self.passage.in_flight
        advice = self._stay * (self.waiting + 1) / limit
        return GatewayError(
            "overloaded",
            f"The upstream {self.name} answers {limit} at a time (in_flight), {words}. Ask again later.",
            code=code,
            retry_after=min(max(1.0, advice), _LONGEST_ADVICE),
            upstream=self.name,
        )


class Ticket:
    """One call's stay behind a gate, as a context manager."""

    __slots__ = ("_began", "_caller", "_entered", "_gate")

    def __init__(self, gate: Gate, caller: str) -> None:
        self._gate = gate
        self._caller = caller
        self._began: float | None = None
        self._entered: float | None = None

    @property
    def queues(self) -> bool:
        return self._began is not None and self._entered is None

    @property
    def waited(self) -> float:
        """Seconds in the queue, so far or in all."""
        if self._began is None:
            return 0.0
        return (self._gate.clock.now() if self._entered is None else self._entered) - self._began

    async def __aenter__(self) -> Ticket:
        gate = self._gate
        if not gate.passage.in_flight:
            await gate.enter(self._caller)
            return self
        self._began = gate.clock.now()
        try:
            await gate.enter(self._caller)
        finally:
            self._entered = gate.clock.now()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        entered = self._entered
        self._gate.leave(None if entered is None else self._gate.clock.now() - entered)
