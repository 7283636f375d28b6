"""The model list that everybody reads is renewed behind their backs, in time and never in a storm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import UNASKED, Capabilities, Health, ModelCard
from sfbridge.policy.routing import Routes
from sfbridge.roster import AGAIN, TTL, Listed, Roster
from sfbridge.state.keeper import Keeper
from sfbridge.upstream.base import Call, Reception


def card(name: str, **more: Any) -> ModelCard:
    return ModelCard(id=name, target=name, **more)


class Shelf:
    """An upstream whose models a test changes."""

    name = "shelf"

    def __init__(self, *cards: ModelCard) -> None:
        self.cards: tuple[ModelCard, ...] = cards
        self.asked = self.looked_at = 0
        self.absent = False
        self.gate: asyncio.Event | None = None

    def models(self) -> Sequence[ModelCard]:
        return self.cards

    async def capabilities(self, model: str) -> Capabilities:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.absent:
            raise GatewayError("upstream_failed", "away")
        return Capabilities(streams=True, window=len(model))

    def open(self, call: Call) -> AbstractAsyncContextManager[Reception]:
        raise NotImplementedError

    async def health(self) -> Health:
        self.looked_at += 1
        return Health(ready=True)


def build(listed: Listed, lenient: bool) -> Routes:
    return Routes(listed, default="a", aliases={"fast": "b"}, lenient=lenient)


class Desk:
    def __init__(self, clock: Any) -> None:
        self.clock, self.bell = clock, asyncio.Event()
        self.shelf = Shelf(card("a"), card("b"))

    def roster(self) -> Roster:
        return Roster({"shelf": self.shelf}, build, clock=self.clock, bell=self.bell)


@pytest.fixture
async def desk(clock: Any) -> AsyncIterator[Desk]:
    return Desk(clock)


def names(roster: Roster) -> list[str]:
    return [c.id for c in roster.routes.cards()]


async def test_the_list_is_there_at_once_and_learns_abilities(desk: Desk) -> None:
    """Nobody waits for the first look; after it the cards say what their models can do."""
    roster = desk.roster()
    assert names(roster) == ["a", "b", "fast"]
    async with Keeper() as keeper:
        keeper.spawn("lists", roster.keep())
        await desk.clock.advance(0)
        found = roster.routes.card("a")
        assert (found.can, found.window) == (Capabilities(streams=True, window=1), 1)


async def test_a_ring_renews_the_list_now(desk: Desk) -> None:
    """A server that came back with another model is known by it, without a request and without waiting."""
    roster = desk.roster()
    async with Keeper() as keeper:
        keeper.spawn("lists", roster.keep())
        await desk.clock.advance(0)
        desk.shelf.cards = (card("a"), card("new"))
        desk.bell.set()
        await desk.clock.advance(0)
        assert roster.routes.target("new").model == "new"
        assert roster.routes.dangling == {"fast": "b"}
        desk.shelf.cards = (card("a"), card("b"))
        desk.bell.set()
        await desk.clock.advance(0)
        assert roster.routes.target("fast").model == "b"


async def test_the_list_is_renewed_when_it_is_old(desk: Desk) -> None:
    """Without any ring the upstreams are asked once a minute, neither sooner nor more often."""
    roster = desk.roster()
    async with Keeper() as keeper:
        keeper.spawn("lists", roster.keep())
        await desk.clock.advance(0)
        desk.shelf.cards = (card("a"), card("b"), card("c"))
        asked = desk.shelf.asked
        await desk.clock.advance(TTL - 1)
        assert (desk.shelf.asked, "c" in names(roster)) == (asked, False)
        await desk.clock.advance(1)
        assert (desk.shelf.asked, "c" in names(roster)) == (asked + 3, True)


async def test_misses_do_not_storm(desk: Desk) -> None:
    """However many unknown names are asked for, the upstreams are looked at once in a while."""
    roster = desk.roster()
    async with Keeper() as keeper:
        keeper.spawn("lists", roster.keep())
        for _ in range(100):
            roster.missed()
            await desk.clock.advance(AGAIN / 50)
        assert desk.shelf.looked_at <= 2


async def test_a_slow_upstream_leaves_the_stale_list(desk: Desk) -> None:
    """While one upstream is asked, the list is read as it was; what it said before stays when it fails."""
    roster = desk.roster()
    await roster.look()
    before = roster.routes
    desk.shelf.gate = asyncio.Event()
    looking = asyncio.create_task(roster.look())
    await desk.clock.advance(0)
    assert roster.routes is before
    desk.shelf.absent = True
    desk.shelf.gate.set()
    await looking
    assert roster.routes is before
    assert roster.routes.card("a").can is not None


async def test_names_may_lead_nowhere_only_while_lists_are_unknown(desk: Desk) -> None:
    """A wrong name stops the start, unless an upstream has not told yet what it has."""
    desk.shelf.cards = (card("a"),)
    with pytest.raises(ValueError, match="'fast'"):
        desk.roster()
    desk.shelf.cards = (card("a", status=UNASKED),)
    assert desk.roster().routes.dangling == {"fast": "b"}
