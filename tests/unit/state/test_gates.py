"""Gates: never more inside than allowed, fair in the queue, and no ticket lost whatever happens to its owner."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfbridge.core.errors import GatewayError
from sfbridge.state.gates import Gate, Passage
from tests.conftest import HandClock, settle

LIMIT, QUEUE, SECONDS = 2, 3, 30.0


def gate_of(clock: Any, limit: int = LIMIT, queue: int = QUEUE) -> Gate:
    return Gate("local", clock, Passage(in_flight=limit, queue=queue, queue_seconds=SECONDS))


class Visitors:
    """Tasks that hold a ticket until they are told to go, and the order in which they were let in."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.let_in: list[tuple[str, int]] = []
        self.refused: list[GatewayError] = []
        self.inside: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def come(self, caller: str) -> int:
        number = len(self.tasks)
        self.tasks[number] = asyncio.create_task(self._visit(caller, number))
        return number

    async def _visit(self, caller: str, number: int) -> None:
        try:
            async with self.gate.ticket(caller):
                self.let_in.append((caller, number))
                self.inside[number] = asyncio.Event()
                try:
                    await self.inside[number].wait()
                finally:
                    del self.inside[number]
        except GatewayError as error:
            self.refused.append(error)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from("abc")),
        st.tuples(st.just("leave"), st.integers(0, 40)),
        st.tuples(st.just("cancel"), st.integers(0, 40)),
        st.tuples(st.just("leave and cancel"), st.integers(0, 40)),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 10.0, SECONDS])),
        st.tuples(st.just("rush"), st.integers(1, 5)),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(steps=STEPS, limit=st.integers(1, 3), queue=st.integers(0, 4))
def test_no_schedule_loses_a_ticket(steps: list[tuple[str, Any]], limit: int, queue: int) -> None:
    """After any schedule of comings, leavings, cancellations and waits the count is true, and at the end 0."""
    asyncio.run(_schedule(steps, limit, queue))


async def _schedule(steps: list[tuple[str, Any]], limit: int, queue: int) -> None:
    clock = HandClock()
    gate = gate_of(clock, limit, queue)
    visitors = Visitors(gate)
    for step, what in [("rush", limit + 2), *steps]:
        running = [n for n, task in visitors.tasks.items() if not task.done()]
        chosen = running[what % len(running)] if isinstance(what, int) and running else None
        match step:
            case "come":
                visitors.come(what)
            case "rush":
                for caller in "abcab"[:what]:  # more than there are places
                    visitors.come(caller)
            case "leave" | "leave and cancel" if visitors.inside:
                inside = sorted(visitors.inside)
                visitors.inside[inside[what % len(inside)]].set()
                if step == "leave and cancel":
                    # let the place be handed over, then take it from whoever has not noticed yet
                    await asyncio.sleep(0)
                    if chosen is not None:
                        visitors.tasks[chosen].cancel()
            case "cancel" if chosen is not None:
                visitors.tasks[chosen].cancel()
            case "wait":
                await clock.advance(what)
        await settle()
        assert gate.inside == len(visitors.inside) <= limit
        assert gate.waiting <= queue
        assert not gate.waiting or gate.inside == limit
        left = [n for n, task in visitors.tasks.items() if not task.done()]
        assert len(left) == gate.inside + gate.waiting
    for task in visitors.tasks.values():
        task.cancel()
    await asyncio.gather(*visitors.tasks.values(), return_exceptions=True)
    await settle()
    assert (gate.inside, gate.waiting) == (0, 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    for caller in "abc":
        came = [number for name, number in visitors.let_in if name == caller]
        assert came == sorted(came)  # first come, first served within one caller


async def test_the_queue_is_fair_between_callers(clock: HandClock) -> None:
    """A caller with one request waits for one of the flood, not for all of it."""
    gate = gate_of(clock, limit=1, queue=8)
    visitors = Visitors(gate)
    for caller in "aaaaba":
        visitors.come(caller)
        await settle()
    for _ in range(6):
        next(iter(visitors.inside.values())).set()
        await settle()
    assert [caller for caller, _ in visitors.let_in] == ["a", "a", "b", "a", "a", "a"]
    assert gate.inside == 0


async def test_a_full_queue_makes_room_for_a_caller_who_has_less(clock: HandClock) -> None:
    """Who floods the queue loses the newest place to somebody else; a caller's own flood is turned away."""
    gate = gate_of(clock, limit=1, queue=3)
    visitors = Visitors(gate)
    for caller in "aaaaab":
        visitors.come(caller)
        await settle()
    assert gate.waiting == 3
    assert [error.code for error in visitors.refused] == ["queue_full", "queue_full"]
    for _ in range(4):
        next(iter(visitors.inside.values())).set()
        await settle()
    assert visitors.let_in == [("a", 0), ("a", 1), ("b", 5), ("a", 2)]


async def test_waiting_ends_in_words(clock: HandClock) -> None:
    """Nobody waits for longer than queue_seconds; the failure names the upstream, the knob and when to return."""
    gate = gate_of(clock, limit=1)
    visitors = Visitors(gate)
    visitors.come("a")
    await settle()
    visitors.come("b")
    await clock.advance(SECONDS - 1)
    assert (gate.waiting, visitors.refused) == (1, [])
    await clock.advance(1)
    (error,) = visitors.refused
    assert (error.kind, error.code, error.upstream) == ("overloaded", "queue_timeout", "local")
    assert "local" in error.message
    assert "queue_seconds" in error.message
    assert error.retry_after is not None
    assert 1 <= error.retry_after <= 60
    assert (gate.late, gate.waiting, gate.inside) == (1, 0, 1)
    visitors.inside[0].set()
    await settle()
    assert gate.inside == 0


async def test_advice_grows_with_the_queue_and_stays_usable(clock: HandClock) -> None:
    """retry-after follows how long answers take here, and never passes what clients are ready to wait."""
    gate = gate_of(clock, limit=1, queue=0)
    for _ in range(20):
        async with gate.ticket("a"):
            await clock.advance(20)
    async with gate.ticket("a"):
        with pytest.raises(GatewayError) as caught:
            await gate.ticket("b").__aenter__()
    assert caught.value.retry_after == pytest.approx(20, rel=0.1)
    for _ in range(20):
        async with gate.ticket("a"):
            await clock.advance(900)
    async with gate.ticket("a"):
        with pytest.raises(GatewayError) as caught:
            await gate.ticket("b").__aenter__()
    assert caught.value.retry_after == 60


async def test_a_ticket_tells_how_long_it_waited(clock: HandClock) -> None:
    """Seconds in the queue are known while waiting and afterwards; without a limit there are none."""
    gate = gate_of(clock, limit=1)
    first, second = gate.ticket("a"), gate.ticket("a")
    await first.__aenter__()
    entering = asyncio.create_task(second.__aenter__())
    await clock.advance(4)
    assert (second.queues, second.waited) == (True, 4)
    await first.__aexit__(None, None, None)
    await entering
    await clock.advance(5)
    assert (second.queues, second.waited, first.waited) == (False, 4, 0)
    await second.__aexit__(None, None, None)
    async with Gate("free", clock).ticket("a") as free:
        assert (free.queues, free.waited) == (False, 0)


async def test_no_limit_means_no_limit(clock: HandClock) -> None:
    """An upstream without in_flight takes everybody, and still counts them."""
    gate = Gate("free", clock)
    visitors = Visitors(gate)
    for _ in range(500):
        visitors.come("a")
    await settle()
    assert (gate.inside, gate.peak, gate.waiting) == (500, 500, 0)
    for event in list(visitors.inside.values()):
        event.set()
    await asyncio.gather(*visitors.tasks.values())
    assert gate.inside == 0


@pytest.mark.parametrize("key", ["in_flight", "queue", "queue_seconds"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_impossible_numbers_are_refused(clock: HandClock, key: str, value: Any) -> None:
    """A number that cannot be stops the start and is named."""
    with pytest.raises(ValueError, match=key):
        Gate("local", clock, Passage(**{key: value}))


async def test_other_numbers_take_effect_at_once(clock: HandClock) -> None:
    """A higher limit lets those who wait in; a lower one lets nobody in before enough have left."""
    gate = gate_of(clock, limit=1, queue=9)
    visitors = Visitors(gate)
    for caller in "abcd":
        visitors.come(caller)
        await settle()
    gate.adjust(Passage(in_flight=3))
    await settle()
    assert (gate.inside, gate.waiting) == (3, 1)
    gate.adjust(Passage(in_flight=1))
    for number, waiting in ((0, 1), (1, 1), (2, 0)):
        visitors.inside[number].set()
        await settle()
        assert gate.waiting == waiting
    assert list(visitors.inside) == [3]
    gate.adjust(Passage())
    visitors.inside[3].set()
    await settle()
    assert gate.inside == 0
