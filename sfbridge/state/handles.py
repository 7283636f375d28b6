"""Handles of upstreams' own conversations between two turns: bounded in number and in time, one taker each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_MOST: Final = 1024
_SECONDS: Final = 1800.0


class Handles:
    """A handle is taken out while it is used, so that two callers never share one."""

    def __init__(
        self, now: Callable[[], float], *, most: int = _MOST, seconds: float = _SECONDS
    ) -> None:
        self._now = now
        self._most = most
        self._seconds = seconds
        self._kept: OrderedDict[bytes, tuple[object, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, name: bytes) -> object | None:
        """The handle of that name, which is gone from here from now on; None when there is none, or it is too old."""
        kept = self._kept.pop(name, None)
        if kept is None or self._now() - kept[1] > self._seconds:
            return None
        return kept[0]

    def keep(self, name: bytes, handle: object) -> None:
        """Put a handle under its new name; the ones kept longest go when there are too many."""
        self._kept.pop(name, None)
        self._kept[name] = (handle, self._now())
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
