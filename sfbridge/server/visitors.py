"""Who may look at the dashboard without showing a key each time."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Final

_MOST_VISITORS: Final = 100


class Visitors:
    """Browsers that showed a key, by the random name in their cookie. Forgotten when the server ends."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, str] = OrderedDict()

    def enter(self, key: str) -> str:
        """The name of a browser that showed the key of this name."""
        name = secrets.token_urlsafe(32)
        self._names[name] = key
        while len(self._names) > _MOST_VISITORS:
            self._names.popitem(last=False)
        return name

    def key_of(self, name: str) -> str | None:
        """The key that this browser showed; None for one that showed none."""
        return self._names.get(name)
