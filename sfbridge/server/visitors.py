"""Who may look at the dashboard without showing a key each time."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from sfbridge.config import Key

_MOST_VISITORS: Final = 100


class Visitors:
    """Browsers that showed a key, by the random name in their cookie. Forgotten when the server ends, and with the
    key: one that a reload took away, or gave another secret, opens nothing any more."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def enter(self, key: str, keys: Mapping[str, Key]) -> str:
        """The name of a browser that showed the key of this name, one of `keys`."""
        name = secrets.token_urlsafe(32)
        self._names[name] = (key, _lock(keys[key]))
        while len(self._names) > _MOST_VISITORS:
            self._names.popitem(last=False)
        return name

    def key_of(self, name: str, keys: Mapping[str, Key]) -> str | None:
        """The key that this browser showed; None for one that showed none of `keys`."""
        key, lock = self._names.get(name, ("", ""))
        return key if key in keys and _lock(keys[key]) == lock else None


def _lock(key: Key) -> str:
    """What a key's secret is compared with."""
    return key.secret_hash or key.secret
