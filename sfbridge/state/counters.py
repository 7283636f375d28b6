"""Totals since the start, by name: what was repaired, salvaged, dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


class Counters:
    """Adds up the notes of every turn, under the names that `emulation` gives them."""

    def __init__(self) -> None:
        self._totals: Counter[str] = Counter()

    def add(self, notes: Mapping[str, int]) -> None:
        self._totals.update(notes)

    def one(self, name: str) -> None:
        self._totals[name] += 1

    def snapshot(self) -> dict[str, int]:
        return dict(sorted(self._totals.items()))
