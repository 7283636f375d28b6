"""Which models can be asked for now: the upstreams' lists and abilities as routes, renewed in the background.

Apart from planning, because it lives while no request does: requests read what is there and never wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from .core.errors import GatewayError
from .core.model import UNASKED, Capabilities, ModelCard
from .policy.routing import Routes
from .state.clock import Clock
from .upstream.base import Upstream

_log = logging.getLogger("sfbridge.roster")

# How old the list may grow; how soon after a look a missed name is worth another; how long a look waits for one
# upstream. Seconds.
TTL: Final = 60.0
AGAIN: Final = 5.0
_PATIENCE: Final = 3.0

Listed = tuple[tuple[str, ModelCard], ...]
# (upstream, card) of every model, and whether names may lead nowhere for now -> the routes
Build = Callable[[Listed, bool], Routes]


class Roster:
    """Built once per application. `routes` is replaced as a whole, so whoever reads it keeps what it read."""

    def __init__(
        self, upstreams: Mapping[str, Upstream], build: Build, *, clock: Clock, bell: asyncio.Event
    ) -> None:
        """The bell is rung by upstreams whose models changed. Raises what `build` raises, for a configuration that
        names models which nobody has, unless some upstream has not told yet which it has."""
        self._upstreams = upstreams
        self._build = build
        self._clock = clock
        self._bell = bell
        self._can: dict[tuple[str, str], Capabilities] = {}
        self._looked = float("-inf")
        self._missing = False
        self._listed = self._now()
        self.routes = build(self._listed, any(card.status == UNASKED for _, card in self._listed))
        self._warn()

    def missed(self) -> None:
        """A name was not found: perhaps a server has it since a moment ago. Many misses are one look."""
        if self._clock.now() - self._looked >= AGAIN:
            self._missing = True
            self._bell.set()

    async def keep(self) -> None:
        """Look now, when the bell rings, and when the list is old; until cancelled."""
        while True:
            self._bell.clear()
            await self.look()
            await self._pause()

    async def look(self) -> None:
        """Ask every upstream what its models can do. A slow or absent one holds up no other, and what was known of
        it stays."""
        self._looked = self._clock.now()
        missing, self._missing = self._missing, False
        await asyncio.gather(
            *(self._ask(name, upstream, missing) for name, upstream in self._upstreams.items())
        )

    async def _ask(self, name: str, upstream: Upstream, missing: bool) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                if missing:
                    await upstream.health()  # makes it look whether it is still there, and as what
                for card in upstream.models():
                    self._can[name, card.target] = await upstream.capabilities(card.target)
        except (GatewayError, TimeoutError):
            pass
        self._renew()

    async def _pause(self) -> None:
        waits = [
            asyncio.ensure_future(self._bell.wait()),
            asyncio.ensure_future(self._clock.sleep(TTL)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _renew(self) -> None:
        """Take over what the upstreams list now."""
        listed = self._now()
        if listed == self._listed:
            return
        before, after = _names(self._listed), _names(listed)
        self.routes = self._build(listed, True)
        self._listed = listed
        kept = {(name, card.target) for name, card in listed}
        self._can = {key: can for key, can in self._can.items() if key in kept}
        if before != after:
            come, gone = sorted(after - before)[:8], sorted(before - after)[:8]
            _log.info("models: %d; new: %s; gone: %s", len(after), come or "none", gone or "none")
            self._warn()

    def _warn(self) -> None:
        for name, wanted in self.routes.dangling.items():
            _log.warning("models: %r leads to %r, which no upstream offers now", name, wanted)

    def _now(self) -> Listed:
        return tuple(
            [
                (name, _able(replace(card, upstream=name), self._can.get((name, card.target))))
                for name, upstream in self._upstreams.items()
                for card in upstream.models()
            ]
        )


def _able(card: ModelCard, can: Capabilities | None) -> ModelCard:
    if can is None:
        return card
    return replace(
        card,
        can=can,
        window=can.window if card.window is None else card.window,
        max_output=can.output_cap if card.max_output is None else card.max_output,
    )


def _names(listed: Sequence[tuple[str, ModelCard]]) -> set[str]:
    return {f"{name}/{card.id}" for name, card in listed}
