"""The org itself: its state, what it remembers of requests, its limits and its models."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from .catalogue import MODELS, PREFIX, OrgModel, family_of
from .faults import Fault, fault_of
from .refusal import Refusal
from .scenario import Player, player_of
from .settings import SandboxSettings
from .tokens import Tokens

_MOST_VIOLATIONS: Final = 1000


class Record(Struct, kw_only=True):
    """One request as the org saw it. `status` is 0 while it is being answered."""

    route: str
    headers: dict[str, str]
    model: str = ""
    body: bytes = b""
    status: int = 0
    disconnected: bool = False


class Calls:
    """How often what was asked, and the last requests in full."""

    def __init__(self, keep: int) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.last: deque[Record] = deque(maxlen=max(1, keep))

    def count(self, route: str = "", model: str = "") -> int:
        """Requests of a route, of a model, of both, or all; models by the name that was asked for."""
        return sum(
            number
            for (its_route, its_model), number in self.counts.items()
            if route in ("", its_route) and model in ("", its_model)
        )


class Org:
    """One org; lives as long as its application. `now` gives epoch seconds and may be replaced.

    violations        requests that the real service would have misunderstood in silence (strict mode)
    open_connections  API requests that are being answered
    disconnects       clients that went away before their answer was whole
    """

    def __init__(self, settings: SandboxSettings, base_url: str = "") -> None:
        self.settings = settings
        self.base_url = base_url
        self.tokens = Tokens(settings)
        self.calls = Calls(settings.keep_requests)
        self.violations: list[str] = []
        self.open_connections = 0
        self.disconnects = 0
        self.now: Callable[[], float] = time.time
        self.player: Player = player_of(settings.scenario)
        self._serial = 0
        self._quiet = asyncio.Event()
        self._once: Counter[str] = Counter()
        self._spent: deque[tuple[float, int]] = deque()

    @property
    def token_mints(self) -> int:
        return self.tokens.minted

    def opened(self) -> None:
        self.open_connections += 1
        self._quiet.clear()

    def closed(self) -> None:
        self.open_connections -= 1
        if not self.open_connections:
            self._quiet.set()

    async def quiet(self) -> None:
        """Wait until no API request is being answered."""
        if self.open_connections:
            await self._quiet.wait()

    def serial(self) -> int:
        """1, 2, 3, …: what ids of this org are made from."""
        self._serial += 1
        return self._serial

    def violate(self, what: str) -> None:
        if len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(what)

    def model(self, name: str) -> tuple[OrgModel, Fault | None]:
        """The model of a name and its fault. Raises Refusal for names that this org does not have."""
        fault = fault_of(name)
        full = name if name.startswith(PREFIX) else PREFIX + name
        known = MODELS.get(name)
        if known is None and (fault is not None or name in self.settings.models):
            base = MODELS.get(full.rpartition("sandbox-")[0].rstrip("-"))
            known = base or OrgModel(
                name=name,
                family=family_of(name),
                provider_name=name,
                embeds=fault is not None,
            )
        if known is None:
            raise Refusal(
                404, "NOT_FOUND", f"The model {name[:200]} was not found or is not available."
            )
        if self.settings.window:
            known = replace(known, window=self.settings.window)
        return known, fault

    def fails_now(self, model: str, fault: Fault) -> bool:
        """Whether a fault strikes this time; those of one time strike every first of two requests."""
        if not fault.once:
            return True
        self._once[model] += 1
        return self._once[model] % 2 == 1

    def spend(self, tokens: int) -> None:
        """Count one request against the limits of the org. Raises Refusal over one of them."""
        limits = self.settings
        now = self.now()
        while self._spent and self._spent[0][0] <= now - 3600.0:
            self._spent.popleft()
        minute = [spent for at, spent in self._spent if at > now - 60.0]
        over = (
            0 < limits.requests_per_minute <= len(minute)
            or 0 < limits.requests_per_hour <= len(self._spent)
            or 0 < limits.tokens_per_minute < sum(minute) + tokens
        )
        if over:
            raise Refusal(429, "LIMIT_EXCEEDED", "The rate limit of the org was exceeded.")
        if limits.requests_per_minute or limits.requests_per_hour or limits.tokens_per_minute:
            self._spent.append((now, tokens))


ORG: Final[web.AppKey[Org]] = web.AppKey("sandbox_org", Org)
