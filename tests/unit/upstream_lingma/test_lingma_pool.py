"""The pool: places are never given twice and always given back; who knows the conversation answers; waiting ends."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from sfbridge.core.errors import GatewayError
from sfbridge.upstream.lingma.instance import NEXT, Instance, Session, State
from sfbridge.upstream.lingma.models import Offered
from sfbridge.upstream.lingma.pool import Pool, Seat


class Line:
    """A connection that is open."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()


def pool_of(
    count: int, *, limit: int = 1, most: int = 100, patience: float = 30.0, affinity: float = 5.0
) -> Pool:
    pool = Pool(limit=limit, most=most, patience=patience, affinity=affinity, clock=lambda: 0.0)
    pool.instances = [Instance(index, None, pool.look) for index in range(count)]
    return pool


def make_ready(instance: Instance, *models: str) -> None:
    for state in ("spawning", "discovering", "connecting", "initializing", "authenticating"):
        instance.move(state)  # type: ignore[arg-type]
    line: Any = Line()
    instance.connection = line
    instance.models = tuple(Offered(model) for model in models or ("auto",))
    instance.move("ready")


def lose(instance: Instance) -> None:
    instance.lost()


async def test_places_are_never_given_twice_and_always_given_back() -> None:
    """A storm of askers that finish, fail or leave at any moment, while instances come and go: no instance ever has more
    than its limit, and at the end nobody is counted anywhere."""
    dice = random.Random(5)
    for round_ in range(12):
        pool = pool_of(3, limit=1 + round_ % 2, patience=0.05 if round_ % 3 == 0 else 30.0)
        for instance in pool.instances:
            make_ready(instance)
        sessions = [Session(0, 0, "s0"), Session(1, 0, "s1"), None]
        for session in sessions[:2]:
            assert session is not None
            pool.instances[session.instance].occupy(session.id, 0.0)
            pool.instances[session.instance].vacate(session.id, keep=True, now=0.0)

        async def ask(pool: Pool = pool, sessions: list[Session | None] = sessions) -> None:
            seat: Seat = await pool.seat("auto", dice.choice(sessions))
            try:
                assert all(one.in_flight <= pool._limit for one in pool.instances)
                for _ in range(dice.randrange(4)):
                    await asyncio.sleep(0)
                if dice.random() < 0.2:
                    raise ValueError
            finally:
                if seat.session is not None:
                    seat.instance.vacate(seat.session.id, keep=True, now=0.0)
                seat.release()
                seat.release()

        tasks = [asyncio.create_task(ask()) for _ in range(80)]
        for _ in range(30):
            await asyncio.sleep(0)
            dice.choice(tasks).cancel()
            if dice.random() < 0.2 and pool.instances[2].state == "ready":
                lose(pool.instances[2])
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in found:
            assert outcome is None or isinstance(
                outcome, ValueError | asyncio.CancelledError | GatewayError
            )
        assert (pool.in_flight, pool.waiting) == (0, 0)
        assert [one.in_flight for one in pool.instances] == [0, 0, 0]


async def test_the_least_busy_is_asked_then_the_one_that_rested_longest() -> None:
    """Without a conversation, load decides; among equals, rest."""
    pool = pool_of(3, limit=2)
    for instance in pool.instances:
        make_ready(instance)
    pool.instances[0].used, pool.instances[1].used, pool.instances[2].used = 3.0, 1.0, 2.0
    order = [(await pool.seat("auto", None)).instance.index for _ in range(3)]
    assert order == [1, 2, 0]


async def test_those_in_line_are_served_in_their_order() -> None:
    """First come, first served; who waits for its own instance holds nobody up."""
    pool = pool_of(2)
    for instance in pool.instances:
        make_ready(instance)
    pool.instances[0].occupy("s", 0.0)
    pool.instances[0].vacate("s", keep=True, now=0.0)
    first, second = await pool.seat("auto", None), await pool.seat("auto", None)
    assert (first.instance.index, second.instance.index) == (0, 1)
    order: list[str] = []

    async def wait(name: str, session: Session | None) -> Seat:
        seat = await pool.seat("auto", session)
        order.append(name)
        return seat

    bound = asyncio.create_task(wait("bound", Session(0, 0, "s")))
    a, b = asyncio.create_task(wait("a", None)), asyncio.create_task(wait("b", None))
    await asyncio.sleep(0)
    assert pool.waiting == 3
    second.release()
    seat = await a
    assert seat.instance.index == 1
    seat.release()
    await b
    first.release()
    assert (await bound).session == Session(0, 0, "s")
    assert order == ["a", "b", "bound"]


async def test_waiting_in_vain_ends_at_once() -> None:
    """Who waits for an instance that will not come back is told why, not at the end of its patience."""
    pool = pool_of(1)
    make_ready(pool.instances[0])
    seat = await pool.seat("auto", None)
    waiting = asyncio.create_task(pool.seat("auto", None))
    await asyncio.sleep(0)
    pool.instances[0].move("needs_login", "its login has expired")
    with pytest.raises(GatewayError, match="expired") as caught:
        await waiting
    assert caught.value.code == "lingma_login_required"
    with pytest.raises(GatewayError, match="expired"):
        await pool.seat("auto", None)
    seat.release()


async def test_a_model_is_asked_where_it_is() -> None:
    """Only instances that offer a model are asked for it; one that none offers is not found."""
    pool = pool_of(2)
    make_ready(pool.instances[0])
    make_ready(pool.instances[1], "auto", "big")
    assert (await pool.seat("big", None)).instance.index == 1
    with pytest.raises(GatewayError) as caught:
        await pool.seat("none", None)
    assert caught.value.code == "model_not_found"


async def test_doubtful_instances_are_asked_last() -> None:
    """One that failed three times in a row is asked only while no other is ready, and is trusted after a success."""
    pool = pool_of(2)
    for instance in pool.instances:
        make_ready(instance)
    for _ in range(3):
        pool.instances[0].failed()
    assert pool.instances[0].state == "degraded"
    seat = await pool.seat("auto", None)
    assert seat.instance.index == 1
    lose(pool.instances[1])
    assert (await pool.seat("auto", None)).instance.index == 0
    pool.instances[0].succeeded()
    assert pool.instances[0].state == "ready"


@pytest.mark.parametrize(
    "session", [Session(0, 0, "s"), Session(0, 1, "other"), Session(7, 1, "s")]
)
async def test_conversations_of_another_life_are_not_continued(session: Session) -> None:
    """Neither of an earlier process, nor an unknown one, nor one of an instance that is not there."""
    pool = pool_of(1)
    make_ready(pool.instances[0])
    pool.instances[0].began()
    pool.instances[0].occupy("s", 0.0)
    pool.instances[0].vacate("s", keep=True, now=0.0)
    assert (await pool.seat("auto", session)).session is None


def test_every_state_can_be_left_or_is_final() -> None:
    """The table of states is closed, and whatever is not final leads back to readiness."""
    finals = {"incompatible", "failed", "absent", "stopped"}
    assert set(NEXT) >= set().union(*NEXT.values())

    def reaches(state: State) -> bool:
        seen: set[State] = set()
        open_ = {state}
        while open_:
            seen |= open_
            open_ = set().union(*(NEXT[one] for one in open_)) - seen
        return "ready" in seen

    assert {state for state in NEXT if not reaches(state)} == finals | {"stopping"}
