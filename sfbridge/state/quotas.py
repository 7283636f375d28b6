"""What each API key used lately, and whether it may go on: turns at once, requests and tokens of the last minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from sfbridge.core.errors import GatewayError
from sfbridge.core.statistics import QuotaState

WINDOW: Final = 60.0
# When a place will be free is unknown; this keeps clients from knocking without pause.
_ADVICE_IN_FLIGHT: Final = 5.0


class Limits(Struct, frozen=True, kw_only=True):
    """What one key may use; 0: no limit."""

    in_flight: int = 0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0


class Quotas:
    """Every key's quota by its name. They outlive a configuration: what was used stays used."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._quotas: dict[str, Quota] = {}

    def adjust(self, limits: Mapping[str, Limits]) -> None:
        """Go by these limits from now on; keys that are gone are forgotten."""
        kept = {name: self._quotas.get(name) or Quota(name, self._now) for name in limits}
        for name, quota in kept.items():
            quota.limits = limits[name]
        self._quotas = kept

    def quota(self, key: str) -> Quota | None:
        """The quota of a key; None where no key is needed."""
        return self._quotas.get(key)

    def states(self) -> dict[str, QuotaState]:
        return {name: quota.state() for name, quota in self._quotas.items()}


class Quota:
    """One key's use. Tokens are held by estimate while a turn lasts, and entered as they were when it has ended."""

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self.name = name
        self.limits = Limits()
        self.running = self.refused = 0
        self._held = 0
        self._requests: deque[float] = deque()
        self._tokens: deque[tuple[float, int]] = deque()
        self._spent = 0
        self._now = now

    def enter(self, tokens: int) -> Stay:
        """Begin a turn whose prompt is about `tokens` long. Raises GatewayError `rate_limited` when that is too much."""
        self._forget()
        refusal = self._refusal(tokens)
        if refusal is not None:
            self.refused += 1
            raise refusal
        self.running += 1
        self._requests.append(self._now())
        self._held += tokens
        return Stay(self, tokens)

    def leave(self, held: int, spent: int) -> None:
        self.running -= 1
        self._held -= held
        self._spent += spent
        self._tokens.append((self._now(), spent))

    def state(self) -> QuotaState:
        """How it stands now."""
        self._forget()
        return QuotaState(
            in_flight_limit=self.limits.in_flight,
            requests_per_minute=self.limits.requests_per_minute,
            tokens_per_minute=self.limits.tokens_per_minute,
            in_flight=self.running,
            requests=len(self._requests),
            tokens=self._held + self._spent,
            refused=self.refused,
        )

    def _forget(self) -> None:
        since = self._now() - WINDOW
        while self._requests and self._requests[0] <= since:
            self._requests.popleft()
        while self._tokens and self._tokens[0][0] <= since:
            self._spent -= self._tokens.popleft()[1]

    def _refusal(self, tokens: int) -> GatewayError | None:
        most = self.limits
        if most.in_flight and self.running >= most.in_flight:
            words = f"{most.in_flight} requests at a time (in_flight)"
            return self._limited(words, _ADVICE_IN_FLIGHT)
        if most.requests_per_minute and len(self._requests) >= most.requests_per_minute:
            words = f"{most.requests_per_minute} requests a minute (requests_per_minute)"
            free = self._requests[-most.requests_per_minute] + WINDOW
            return self._limited(words, free - self._now())
        if not most.tokens_per_minute:
            return None
        words = f"{most.tokens_per_minute} tokens a minute (tokens_per_minute)"
        if tokens > most.tokens_per_minute:
            return self._limited(f"{words}, and this prompt has about {tokens}", None)
        if self._held + self._spent + tokens > most.tokens_per_minute:
            return self._limited(words, self._until(most.tokens_per_minute - tokens))
        return None

    def _until(self, most: int) -> float:
        """Seconds until so many tokens of the ended turns are forgotten that at most `most` remain in use."""
        used = self._held + self._spent
        for at, spent in self._tokens:
            used -= spent
            if used <= most:
                return at + WINDOW - self._now()
        return _ADVICE_IN_FLIGHT  # the running turns hold them

    def _limited(self, words: str, wait: float | None) -> GatewayError:
        return GatewayError(
            "rate_limited",
            f"The key {self.name!r} may use {words}.",
            retry_after=wait,
            retriable=False if wait is None else None,
        )


class Stay:
    """One turn of a key. `leave` it once, whatever ended it, with the tokens that it came to."""

    __slots__ = ("_held", "_quota")

    def __init__(self, quota: Quota, held: int) -> None:
        self._quota = quota
        self._held = held

    def leave(self, spent: int) -> None:
        self._quota.leave(self._held, spent)
