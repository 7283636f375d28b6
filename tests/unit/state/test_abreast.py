"""Jobs run side by side, never more than allowed, and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sfbridge.core.errors import GatewayError
from sfbridge.state.abreast import Job, abreast


class Lane:
    """Jobs that wait for a gate and count how many are inside."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.inside = self.most = self.begun = self.done = 0

    def job(self, fails: Exception | None = None) -> Job:
        async def run() -> None:
            self.inside += 1
            self.begun += 1
            self.most = max(self.most, self.inside)
            try:
                if fails is not None:
                    raise fails
                await self.gate.wait()
                self.done += 1
            finally:
                self.inside -= 1

        return run


async def begun(lane: Lane, number: int) -> None:
    async with asyncio.timeout(2):
        while lane.begun < number:
            await asyncio.sleep(0)


@pytest.mark.parametrize(("jobs", "most"), [(1, 4), (3, 4), (9, 4), (5, 1)])
async def test_all_jobs_run_within_the_bound(jobs: int, most: int) -> None:
    """Every job is done once, and no more than `most` are under way."""
    lane = Lane()
    async with asyncio.TaskGroup() as group:
        group.create_task(abreast([lane.job() for _ in range(jobs)], most))
        await begun(lane, min(jobs, most))
        lane.gate.set()
    assert (lane.done, lane.inside) == (jobs, 0)
    assert lane.most == min(jobs, most)


async def test_no_job_is_no_work() -> None:
    """Nothing to do is done at once."""
    await abreast([], 4)


async def test_the_first_failure_ends_the_others() -> None:
    """The failure is raised as it is, the rest is cancelled, what waited is never begun."""
    lane = Lane()
    jobs = [lane.job(), lane.job(GatewayError("timeout", "late")), lane.job(), lane.job()]
    with pytest.raises(GatewayError, match="late"):
        await abreast(jobs, 2)
    assert (lane.inside, lane.done, lane.begun) == (0, 0, 2)


async def test_leaving_cancels_every_job() -> None:
    """A caller that is cancelled leaves no task behind."""
    lane = Lane()
    jobs: list[Callable[[], Any]] = [lane.job() for _ in range(6)]
    running = asyncio.create_task(abreast(jobs, 3))
    await begun(lane, 3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (lane.inside, lane.done) == (0, 0)
