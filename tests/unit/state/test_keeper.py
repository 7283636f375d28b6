"""Background tasks never outlive the application and never take it down."""

from __future__ import annotations

import asyncio
import logging

import pytest

from sfbridge.state.counters import Counters
from sfbridge.state.keeper import Keeper


async def test_leaving_ends_what_still_runs() -> None:
    """No task is left when the keeper is left."""
    ended = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Keeper() as keeper:
        task = keeper.spawn("forever", forever())
        await asyncio.sleep(0)
    assert ended.is_set()
    assert task.done()


async def test_a_failing_task_is_logged_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    """One task's fault is told by its name and harms no other."""

    async def broken() -> None:
        raise ValueError("oops")

    with caplog.at_level(logging.ERROR):
        async with Keeper() as keeper:
            await keeper.spawn("probe", broken())
            done = asyncio.Event()

            async def fine() -> None:
                done.set()

            await keeper.spawn("fine", fine())
    assert done.is_set()
    assert "background task probe failed" in caplog.text


def test_counters_add_up() -> None:
    """Totals are sums by name."""
    counters = Counters()
    counters.add({"comma": 2})
    counters.one("comma")
    counters.add({"ctrl": 1})
    assert counters.snapshot() == {"comma": 3, "ctrl": 1}
