"""Asking an upstream: one call, accepted or refused, and tried again while a refusal may pass."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType

from .core.errors import GatewayError
from .core.request import ChatRequest
from .exchange import Exchange, Plan
from .policy.retries import delay
from .state.clock import Clock
from .state.counters import Counters
from .upstream.base import Call, Reception, Thread

_log = logging.getLogger("sfbridge.gateway")


class Asking:
    """Built once per application: the only place where calls are repeated."""

    def __init__(self, *, clock: Clock, jitter: Callable[[], float], counters: Counters) -> None:
        self._clock = clock
        self._jitter = jitter
        self._counters = counters

    def accepted(
        self, exchange: Exchange, plan: Plan, request: ChatRequest, thread: Thread | None = None
    ) -> Accepted:
        return Accepted(self, exchange, plan, request, thread)

    async def wait(self, exchange: Exchange, attempt: int, error: GatewayError) -> None:
        """Wait before the next attempt, or raise the error when there is to be none."""
        seconds = delay(attempt, error, self._jitter())
        if seconds is None:
            raise error
        _log.info("%s: %s Trying again in %.2f s", exchange.id, error.message, seconds)
        exchange.retries += 1
        self._counters.one("retries")
        await self._clock.sleep(seconds)
        exchange.retried_ms.append(exchange.elapsed_ms)


class Accepted:
    """An accepted upstream call. Refusals that may pass are tried again while it is entered, and nowhere else.

    A class, because a generator as context manager costs several microseconds more, at every request.
    """

    __slots__ = ("_asking", "_call", "_exchange", "_open", "_upstream")

    def __init__(
        self,
        asking: Asking,
        exchange: Exchange,
        plan: Plan,
        request: ChatRequest,
        thread: Thread | None,
    ) -> None:
        self._asking = asking
        self._exchange = exchange
        self._upstream = plan.upstream
        self._call = Call(
            request=request,
            model=plan.target.model,
            stream=plan.fitted.stream,
            trace=exchange.trace,
            thread=thread,
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
                await self._asking.wait(exchange, attempt, error)
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
