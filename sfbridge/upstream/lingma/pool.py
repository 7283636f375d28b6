"""Which instance answers: the one that knows the conversation, else the one with the least to do. Who finds all of them
busy waits in line; each instance answers a limited number of questions at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from sfbridge.core.errors import GatewayError

from .faults import login_required, unavailable
from .instance import STARTING, Instance, Session

_RETRY_AFTER: Final = 5.0  # seconds, as advice
# While an instance has not shown what it is; one that waits to start again has.
_UNSETTLED: Final = STARTING - {"backoff"}
QUEUE_TIMEOUT: Final = "queue_timeout"
QUEUE_FULL: Final = "queue_full"
NO_MODEL: Final = "model_not_found"


class Seat:
    """A place at an instance. `session` is the conversation that goes on there; None: a new one. Given back once."""

    def __init__(self, pool: Pool, instance: Instance, session: Session | None) -> None:
        self.instance = instance
        self.session = session
        self._pool: Pool | None = pool

    def release(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.released(self.instance)


class _Waiting:
    """Somebody in line."""

    def __init__(self, model: str, session: Session | None) -> None:
        self.model = model
        self.session = session
        self.seat: asyncio.Future[Seat] = asyncio.get_running_loop().create_future()


class Pool:
    """The instances of one upstream.

    limit     questions at once per instance
    most      people in line
    patience  seconds in line
    affinity  seconds that a conversation waits for its own instance
    """

    def __init__(
        self, *, limit: int, most: int, patience: float, affinity: float, clock: Callable[[], float]
    ) -> None:
        self.instances: Sequence[Instance] = ()
        self._limit = limit
        self._most = most
        self._patience = patience
        self._affinity = affinity
        self._clock = clock
        self._line: list[_Waiting] = []
        self.closing = False
        self.settled = asyncio.Event()  # one is ready, or none will be

    @property
    def waiting(self) -> int:
        return len(self._line)

    @property
    def in_flight(self) -> int:
        return sum(instance.in_flight for instance in self.instances)

    async def seat(self, model: str, session: Session | None) -> Seat:
        """A place for one question. Raises GatewayError when there is none, or none in time."""
        waiting = _Waiting(model, session if self._known(session) else None)
        if not self._line and (seat := self._place(waiting)) is not None:
            return seat
        self._check(model)
        if len(self._line) >= self._most:
            raise _full(self._most)
        self._line.append(waiting)
        patience = asyncio.get_running_loop().call_later(self._affinity, self._let_go, waiting)
        seat = None
        try:
            async with asyncio.timeout(self._patience):
                seat = await waiting.seat
            return seat
        except TimeoutError:
            raise self._too_late() from None
        finally:
            patience.cancel()
            if seat is None:
                self._leave(waiting)

    def look(self) -> None:
        """Something changed: serve whom it serves, turn away whom nobody will."""
        if self._best() or not any(one.state in _UNSETTLED for one in self.instances):
            self.settled.set()
        self._serve()
        for waiting in list(self._line):
            try:
                self._check(waiting.model)
            except GatewayError as error:
                self._line.remove(waiting)
                if not waiting.seat.done():
                    waiting.seat.set_exception(error)

    def released(self, instance: Instance) -> None:
        instance.in_flight -= 1
        self._serve()

    def _serve(self) -> None:
        """Give free places to those in line, in their order."""
        for waiting in list(self._line):
            if not any(one.usable and one.in_flight < self._limit for one in self.instances):
                return
            if waiting.session is not None and not self._known(waiting.session):
                waiting.session = None
            if waiting.seat.done():
                continue
            if (seat := self._place(waiting)) is not None:
                self._line.remove(waiting)
                waiting.seat.set_result(seat)

    # ---- choosing

    def _place(self, waiting: _Waiting) -> Seat | None:
        session = waiting.session
        if session is not None:
            own = self.instances[session.instance]
            if own.in_flight < self._limit and own.continues(session):
                return self._take(own, session)
            return None
        free = [
            instance
            for instance in self._best()
            if instance.in_flight < self._limit and instance.has(waiting.model)
        ]
        if not free:
            return None
        return self._take(min(free, key=lambda one: (one.in_flight, one.used, one.index)), None)

    def _best(self) -> list[Instance]:
        """Those that are ready; where none is, those of which that is not certain."""
        ready = [instance for instance in self.instances if instance.state == "ready"]
        return ready or [instance for instance in self.instances if instance.usable]

    def _take(self, instance: Instance, session: Session | None) -> Seat:
        instance.in_flight += 1
        instance.used = self._clock()
        if session is not None:
            instance.occupy(session.id, instance.used)
        return Seat(self, instance, session)

    def _known(self, session: Session | None) -> bool:
        """Whether a conversation can go on where it was, now or once its instance has time."""
        if session is None or session.instance >= len(self.instances):
            return False
        return self.instances[session.instance].continues(session)

    def _check(self, model: str) -> None:
        """Raise when waiting is in vain."""
        if self.closing:
            raise unavailable("sfbridge is stopping")
        if self._best():
            if not any(instance.has(model) for instance in self._best()):
                raise _no_model(model)
            return
        if any(instance.state in STARTING for instance in self.instances):
            return
        raise self.trouble()

    def trouble(self) -> GatewayError:
        """Why no instance can answer, when none can."""
        for instance in self.instances:
            if instance.state == "needs_login":
                return login_required(instance.reason)
        reasons = dict.fromkeys(instance.reason or instance.state for instance in self.instances)
        return unavailable("; ".join(reasons))

    # ---- the line

    def _let_go(self, waiting: _Waiting) -> None:
        """The conversation's own instance took too long: any instance will do."""
        if not waiting.seat.done() and waiting.session is not None:
            waiting.session = None
            self._serve()

    def _leave(self, waiting: _Waiting) -> None:
        if waiting in self._line:
            self._line.remove(waiting)
        seat = waiting.seat
        if seat.done() and not seat.cancelled() and seat.exception() is None:
            seat.result().release()  # it was given in the moment that its waiter left

    def _too_late(self) -> GatewayError:
        if not self._best():
            states = ", ".join(
                f"instance {instance.index} is {instance.state}" for instance in self.instances
            )
            return GatewayError(
                "overloaded",
                f"No Lingma instance became ready within {self._patience:g} s ({states}).",
                code=QUEUE_TIMEOUT,
                retry_after=_RETRY_AFTER,
            )
        return GatewayError(
            "overloaded",
            f"Every Lingma instance was busy for {self._patience:g} s (queue_timeout).",
            code=QUEUE_TIMEOUT,
            retry_after=_RETRY_AFTER,
        )


def _full(most: int) -> GatewayError:
    return GatewayError(
        "overloaded",
        f"{most} questions wait for Lingma already (most_waiting).",
        code=QUEUE_FULL,
        retry_after=_RETRY_AFTER,
    )


def _no_model(model: str) -> GatewayError:
    return GatewayError(
        "not_found",
        f"Lingma offers no model {model!r} to this account.",
        param="model",
        code=NO_MODEL,
    )
