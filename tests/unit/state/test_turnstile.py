"""One at a time, in the order of coming, with an end to waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sfbridge.state.turnstile import Turnstile
from tests.conftest import settle


@pytest.fixture
def turnstile(clock: Any) -> Turnstile:
    return Turnstile(clock)


async def test_everybody_comes_through_in_order(turnstile: Turnstile) -> None:
    """Who comes first goes first, and never two at once."""
    inside: list[int] = []
    went: list[int] = []

    async def visit(number: int) -> None:
        assert await turnstile.enter("a", 10)
        inside.append(number)
        await settle()
        assert inside == [number]
        inside.remove(number)
        went.append(number)
        turnstile.leave("a")

    await asyncio.gather(*(visit(number) for number in range(5)))
    assert went == [0, 1, 2, 3, 4]
    assert "a" not in turnstile


async def test_names_do_not_wait_for_each_other(turnstile: Turnstile) -> None:
    """Another name is another turnstile."""
    assert await turnstile.enter("a", 0)
    assert await turnstile.enter("b", 0)


async def test_waiting_ends(turnstile: Turnstile, clock: Any) -> None:
    """Who waited too long is told so, and nobody behind it is held up."""
    turnstile.take("a")
    first = asyncio.create_task(turnstile.enter("a", 5))
    second = asyncio.create_task(turnstile.enter("a", 50))
    await clock.advance(6)
    assert await first is False
    turnstile.leave("a")
    assert await second is True
    turnstile.leave("a")
    assert "a" not in turnstile


async def test_who_is_cancelled_holds_nobody_up(turnstile: Turnstile) -> None:
    """Leaving the queue, also in the very moment of being let through, passes the turn on."""
    turnstile.take("a")
    tasks = [asyncio.create_task(turnstile.enter("a", 5)) for _ in range(3)]
    await settle()
    tasks[0].cancel()
    await settle()
    turnstile.leave("a")
    tasks[1].cancel()
    assert await tasks[2] is True
    turnstile.leave("a")
    assert "a" not in turnstile


async def test_a_long_queue_takes_nobody_more(turnstile: Turnstile) -> None:
    """Waiting requests are bounded."""
    turnstile.take("a")
    tasks = [asyncio.create_task(turnstile.enter("a", 5)) for _ in range(16)]
    await settle()
    assert await turnstile.enter("a", 5) is False
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
