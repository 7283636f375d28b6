"""Watchers wake when something changes, miss nothing that stays, and hold nobody up."""

from __future__ import annotations

import asyncio

from sfbridge.core.receipt import Glimpse
from sfbridge.state.running import Feed, Running
from tests.conftest import settle


def glimpse(name: str) -> Glimpse:
    return Glimpse(
        id=name, at=0.0, wire="anthropic", client="", key="", model="m", upstream="", target="",
        stream=True, tools=0, phase="planned", attempts=0, retries=0, rounds=0, pieces=0,
        queued_ms=0, elapsed_ms=0,
    )  # fmt: skip


async def test_a_watcher_wakes_once_per_look_not_once_per_change() -> None:
    """A hundred changes while it looked away are one reason to look again."""
    feed = Feed()
    assert feed.number == 0
    watching = asyncio.create_task(feed.changed(0))
    await settle()
    assert not watching.done()
    for _ in range(100):
        feed.poke()
    seen = await watching
    assert seen == 100
    feed.poke()
    assert await feed.changed(seen) == 101


async def test_every_watcher_wakes_and_none_is_left_behind() -> None:
    """Watchers that leave are forgotten; the others wake all the same."""
    feed = Feed()
    watching = [asyncio.create_task(feed.changed(0)) for _ in range(5)]
    await settle()
    watching[2].cancel()
    await settle()
    feed.poke()
    found = await asyncio.gather(*watching, return_exceptions=True)
    assert [value for value in found if value == 1] == [1, 1, 1, 1]
    assert "[]" in repr(vars(feed))


async def test_beginning_and_ending_are_told() -> None:
    """The list is what is under way, the oldest first; both ends of a turn wake the watchers."""
    running = Running()
    running.begin("a", lambda: glimpse("a"))
    running.begin("b", lambda: glimpse("b"))
    assert [turn.id for turn in running.now()] == ["a", "b"]
    seen = running.feed.number
    running.end("a")
    assert await running.feed.changed(seen) > seen
    assert ([turn.id for turn in running.now()], len(running)) == (["b"], 1)
    running.end("never begun")
    assert len(running) == 1
