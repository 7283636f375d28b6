"""Stopping waits, then interrupts, and never mistakes a leaving client for it."""

from __future__ import annotations

import asyncio

import pytest

from sfbridge.core.errors import GatewayError
from sfbridge.server.draining import Draining


async def test_an_answer_that_ends_in_time_is_not_interrupted() -> None:
    """Grace is for finishing."""
    draining, done = Draining(), asyncio.Event()

    async def answer() -> str:
        with draining.interruptible():
            await done.wait()
            return "whole"

    task = asyncio.create_task(answer())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(done.set)
    await draining.stop(grace=5)
    assert await task == "whole"
    assert draining.open == 0


async def test_an_answer_that_outlasts_its_grace_gets_the_error() -> None:
    """After the grace an open answer hears of it as an error that it can still write."""
    draining, words = Draining(), []

    async def answer() -> None:
        try:
            with draining.interruptible():
                await asyncio.Event().wait()
        except GatewayError as error:
            words.append(error.code)

    task = asyncio.create_task(answer())
    await asyncio.sleep(0)
    await draining.stop(grace=0)
    await task
    assert words == ["shutting_down"]
    assert draining.stopping


async def test_a_leaving_client_stays_a_cancellation() -> None:
    """Only `stop` turns a cancellation into an error."""
    draining = Draining()

    async def answer() -> None:
        with draining.interruptible():
            await asyncio.Event().wait()

    task = asyncio.create_task(answer())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert draining.open == 0
