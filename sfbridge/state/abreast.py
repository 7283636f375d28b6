"""Several jobs at a time, as many as are allowed; they end together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

Job = Callable[[], Awaitable[None]]


async def abreast(jobs: Sequence[Job], most: int) -> None:
    """Run all jobs, begun in order, `most` at a time. The first failure ends the others and is raised as it is."""
    if len(jobs) == 1:
        await jobs[0]()
        return
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(most, len(jobs))):
                group.create_task(work())
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
