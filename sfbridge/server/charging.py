"""Turns at the expense of an API key: what it may use is held while a turn lasts, and settled when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from aiohttp import web

from sfbridge.core.embedding import EmbeddingRequest
from sfbridge.core.request import ChatRequest
from sfbridge.policy.estimate import estimate, estimate_text, family_of
from sfbridge.state.quotas import Stay

from .keys import EXCHANGE, KEY_ID, QUOTAS


class Charged:
    """One turn as a context manager. Entering raises GatewayError `rate_limited` beyond the key's limits; without a
    key it does nothing.

    weigh  the tokens of the prompt, estimated; asked only where tokens are limited
    """

    __slots__ = ("_request", "_stay", "_weigh")

    def __init__(self, request: web.Request, weigh: Callable[[], int]) -> None:
        self._request = request
        self._weigh = weigh
        self._stay: Stay | None = None

    def __enter__(self) -> None:
        quota = self._request.app[QUOTAS].quota(self._request[KEY_ID])
        if quota is not None:
            limited = quota.limits.tokens_per_minute
            self._stay = quota.enter(self._weigh() if limited else 0)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stay is not None:
            self._stay.leave(self._request[EXCHANGE].tokens)


def weight(asked: ChatRequest | EmbeddingRequest) -> int:
    """The tokens of what is asked, estimated."""
    family = family_of(asked.model)
    if isinstance(asked, ChatRequest):
        return estimate(asked, family)
    return sum(estimate_text(text, family) for text in asked.texts)
