"""One question to one instance, from sending it to its end: time limits, fallbacks for an end that does not come, and
leaving early without leaving anything behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, Final

from msgspec import Struct

from sfbridge.core.errors import GatewayError
from sfbridge.core.stream import Opened, Piece
from sfbridge.formats.jsonrpc import Fault
from sfbridge.upstream.base import Thread

from . import faults
from .faults import Lost, Refused
from .instance import Session
from .mailbox import Mailbox, Overrun
from .pool import Seat
from .reading import Overflow, Reading
from .settings import Settings
from .signals import Accepted, Forgotten, Signal

_log = logging.getLogger("sfbridge.upstream.lingma")

_STOP_REPLY_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 5.0


class Again(Exception):
    """Nothing was answered, and asking once more is worthwhile.

    pause  seconds to wait before
    lost   the process was lost with the question, so the question itself may be to blame
    """

    def __init__(self, error: GatewayError, *, pause: float = 0.0, lost: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.pause = pause
        self.lost = lost


class Question(Struct, frozen=True, kw_only=True):
    """What is asked, under which id; `session` is our name for the conversation, if it is a new one.

    text  the words, given whether the conversation goes on; raises GatewayError when they are too many
    """

    id: str
    session: str
    model: str
    text: Callable[[bool], str]


class Ask:
    """Begin it, read its pieces, leave it. The seat is given back exactly once, by `leave` or soon after."""

    def __init__(
        self,
        seat: Seat,
        question: Question,
        reading: Reading,
        settings: Settings,
        clock: Callable[[], float],
    ) -> None:
        self.instance = seat.instance
        self.model = question.model
        self._seat = seat
        self._question = question
        self._reading = reading
        self._settings = settings
        self._clock = clock
        self._box = Mailbox()
        self._generation = seat.instance.generation
        self._used = seat.session.id if seat.session is not None else ""
        self._sent = False
        self._began = clock()
        self._first: list[Piece] = []

    async def begin(self, now_ms: int) -> None:
        """Send it, and wait until the answer begins. Raises GatewayError, or Again while nothing was heard of it."""
        try:
            await self._send(now_ms)
            self._first = [Opened(model=self._question.model)]
            while not (self._reading.spoken or self._reading.over):
                self._first += self._take(await self._more())
        except Lost:
            raise Again(faults.disconnected(), lost=True) from None
        except Refused as refused:
            raise self._refusal(refused.fault) from None
        except (TimeoutError, ValueError):
            raise faults.unavailable("it did not open a conversation") from None

    async def pieces(self, thread: Thread | None) -> AsyncGenerator[Sequence[Piece]]:
        """Batches of pieces, to the terminal one; the thread is told how it can go on. Raises GatewayError."""
        found = self._first
        while True:
            if self._reading.over:
                self.instance.succeeded()
                if thread is not None:
                    thread.next = self._next()
            if found:
                yield found
            if self._reading.over:
                return
            try:
                found = self._take(await self._more())
            except Lost:
                raise faults.disconnected() from None

    def leave(self, *, keep: bool) -> Coroutine[Any, Any, None] | None:
        """Give the seat back: now, or where the answer is still under way once it was stopped, which is the work that
        is returned. `keep`: the conversation goes on later."""
        if self._sent and not self._box.ended.is_set():
            return self._stop()
        return self._give_back(keep=keep)

    # ---- steps

    async def _send(self, now_ms: int) -> None:
        question, instance = self._question, self.instance
        text = question.text(self._seat.session is not None)
        if self._seat.session is None:
            self._used = await instance.new_session(question.session, now_ms)
            instance.occupy(self._used, self._clock())
        self._sent = True
        self._began = self._clock()
        await instance.send(
            question.id, self._used, text, question.model, self._settings.mode, self._box
        )

    def _take(self, signals: Sequence[Signal]) -> list[Piece]:
        for signal in signals:
            match signal:
                case Accepted(fault=Fault() as fault) if not self._reading.spoken:
                    raise self._refusal(fault)
                case _:
                    continue
        try:
            return self._reading.feed(signals)
        except Overflow:
            raise _too_much(self._settings.most_answer) from None
        except GatewayError as error:
            if error.code == "lingma_forbidden" or error.kind == "rate_limited":
                self.instance.doubt.set()
            raise

    def _refusal(self, fault: Fault) -> Exception:
        self._box.ended.set()
        error = faults.refused(fault)
        if faults.busy(fault):
            return Again(error, pause=0.5)
        if fault.code == faults.UNKNOWN_SESSION and self._seat.session is not None:
            return Again(error)
        if Refused(fault).unknown_method and self.instance.usable:
            return Again(error)  # the instance changed its dialect
        return error

    async def _more(self) -> list[Signal]:
        """The next signals, within the limit that holds now. Raises Lost, GatewayError."""
        limit, told = self._limit()
        left = self._settings.ask_timeout - (self._clock() - self._began)
        try:
            return await self._box.some(max(0.0, min(limit, left)))
        except Overrun:
            raise _too_slow_client() from None
        except TimeoutError:
            if left <= limit:
                seconds = self._settings.ask_timeout
                raise faults.too_slow("was not done", seconds, "ask_timeout") from None
        return await self._silent(told, limit)

    def _limit(self) -> tuple[float, str]:
        """How long the next signal may take, and by which setting."""
        settings, reading = self._settings, self._reading
        if not self._box.heard:
            return settings.accept_timeout, "accept_timeout"
        if not reading.spoken and not reading.prepared:
            return settings.first_event_timeout, "first_event_timeout"
        if reading.waits_for_tool:
            return settings.tool_wait, "tool_wait"
        if reading.has_text and reading.prepared:
            return settings.answer_idle_timeout, "answer_idle_timeout"
        return settings.silent_timeout, "silent_timeout"

    async def _silent(self, told: str, limit: float) -> list[Signal]:
        """Silence after text may be an end that was not told: then a process that answers a ping has said all."""
        if told != "answer_idle_timeout":
            raise faults.too_slow("said nothing", limit, told)
        if not await self.instance.ping(self._settings.ping_timeout):
            raise Lost("the process does not answer")
        self.instance.board.counts["missing_finish"] += 1
        self._box.ended.set()
        return [Forgotten()]

    def _told(self) -> str:
        """The conversation's id: ours, unless the process chose another."""
        return self.instance.board.session(self._question.id) or self._used

    def _next(self) -> Session | None:
        """With what the conversation can go on; None unless the process itself said that the answer was complete."""
        if not self._reading.whole or self._generation != self.instance.generation:
            return None
        return Session(self.instance.index, self._generation, self._told())

    async def _stop(self) -> None:
        instance, left = self.instance, None
        try:
            await instance.stop(self._question.id, self._used, _STOP_REPLY_SECONDS)
            async with asyncio.timeout(_STOP_SECONDS):
                await self._box.ended.wait()
        except TimeoutError:
            _log.info("Lingma instance %d did not stop a question in time", instance.index)
        finally:
            left = self._give_back(keep=False)
        if left is not None:
            await left

    def _give_back(self, *, keep: bool) -> Coroutine[Any, Any, None] | None:
        instance, session, now = self.instance, self._told(), self._clock()
        instance.board.remove(self._question.id)
        instance.board.counts["overwrite_diverged"] += self._reading.diverged
        same = self._generation == instance.generation
        if same and session:
            if session != self._used:
                instance.vacate(self._used, keep=False, now=now)
                instance.occupy(session, now)
            instance.vacate(session, keep=keep, now=now)
        self._seat.release()
        if not same or not session or keep or self._settings.delete_sessions == "never":
            return None
        return instance.delete(session, self._settings.rpc_timeout)


def _too_much(most: int) -> GatewayError:
    return GatewayError(
        "upstream_failed",
        f"Lingma's answer is longer than {most} characters (most_answer).",
        code="upstream_overflow",
    )


def _too_slow_client() -> GatewayError:
    return GatewayError(
        "upstream_failed",
        "The client read the answer too slowly; what Lingma said could not be kept any longer.",
        code="slow_consumer",
    )
