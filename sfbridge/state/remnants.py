"""What is still known of turns that no memory holds any more: the little that later requests may refer to.

Apart from the turns themselves, because it is far smaller: a coding agent's request holds its whole conversation, and a
few of them fill the memory of announced turns, while SDKs refer to items of every answer from the first one on.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_MOST: Final = 4096
_BYTES: Final = 8_000_000

Key = tuple[str, str]  # owner, turn


class Remnants:
    """One remnant per turn; the ones that nobody has asked for longest go first."""

    def __init__(self, *, most: int = _MOST, room: int = _BYTES) -> None:
        self._most = most
        self._all = self._room = room
        self._kept: OrderedDict[Key, bytes] = OrderedDict()

    def keep(self, key: Key, remnant: bytes) -> None:
        """Hold a remnant; one for which there is no room at all pushes out no other."""
        self.take(key)
        if len(remnant) > self._all:
            return
        self._kept[key] = remnant
        self._room -= len(remnant)
        while len(self._kept) > self._most or self._room < 0:
            self._room += len(self._kept.popitem(last=False)[1])

    def of(self, key: Key) -> bytes | None:
        """The remnant of that key, which stays here."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def take(self, key: Key) -> bytes | None:
        """The remnant of that key, which is gone from here from now on."""
        found = self._kept.pop(key, None)
        self._room += len(found or b"")
        return found

    def take_all(self, owner: str) -> None:
        """Let go of everything of one owner."""
        for key in [key for key in self._kept if key[0] == owner]:
            self.take(key)
