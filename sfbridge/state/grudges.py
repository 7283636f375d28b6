"""Requests whose answers stayed faulty, remembered for a while: a client that retries them for ever would burn
repair rounds for ever."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

SECONDS: Final = 600.0
_MOST: Final = 256


class Grudges:
    """Whether a request failed the same way within the last ten minutes."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failed: OrderedDict[bytes, float] = OrderedDict()

    def again(self, request: bytes) -> bool:
        """Remember that `request` (a digest) failed; True when it had failed before."""
        now = self._now()
        before = self._failed.pop(request, None)
        self._failed[request] = now
        while len(self._failed) > _MOST:
            self._failed.popitem(last=False)
        return before is not None and now - before <= SECONDS
