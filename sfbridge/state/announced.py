"""Turns of sessions that were only announced: an id went out with an answer, and nobody has come back with it yet.

Apart from the database, because most clients never look at the id: of theirs nothing may reach the disk, and what
is held here is little and soon forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from sfbridge.core.kept import KeptTurn

_MOST: Final = 256
_CHARACTERS: Final = 4_000_000

Key = tuple[str, str]  # owner, session


class Announced:
    """The first turns of such sessions; the oldest go when there are too many, or too much is in them."""

    def __init__(self, *, most: int = _MOST, characters: int = _CHARACTERS) -> None:
        self._most = most
        self._all = self._room = characters
        self._turns: OrderedDict[Key, tuple[KeptTurn, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._turns)

    def __contains__(self, key: Key) -> bool:
        return key in self._turns

    def keep(self, key: Key, turn: KeptTurn, size: int) -> list[tuple[str, KeptTurn]]:
        """Hold a turn of about `size` characters; one for which there is no room at all pushes out no other.

        Gives the turns that are not held any more, each with its owner.
        """
        if size > self._all:
            return [(key[0], turn)]
        self._turns[key] = (turn, size)
        self._room -= size
        gone: list[tuple[str, KeptTurn]] = []
        while self._turns and (len(self._turns) > self._most or self._room < 0):
            (owner, _), (oldest, freed) = self._turns.popitem(last=False)
            self._room += freed
            gone.append((owner, oldest))
        return gone

    def held(self, key: Key) -> KeptTurn | None:
        """The turn of that key, which stays here."""
        return self._turns.get(key, (None, 0))[0]

    def take(self, key: Key) -> KeptTurn | None:
        """The turn of that key, which is gone from here from now on."""
        turn, size = self._turns.pop(key, (None, 0))
        self._room += size
        return turn

    def of(self, turn: str, owner: str) -> tuple[str, KeptTurn] | None:
        """The session and the turn of that id; it stays here."""
        for (whose, session), (kept, _) in self._turns.items():
            if kept.id == turn and whose == owner:
                return session, kept
        return None

    def take_all(self, owner: str) -> int:
        """Let go of all turns of one owner; how many there were."""
        keys = [key for key in self._turns if key[0] == owner]
        for key in keys:
            self.take(key)
        return len(keys)
