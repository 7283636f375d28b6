"""What is remembered of a conversation between its turns: what was cut, and how its prompt began. Bounded, in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_MOST: Final = 512


class Memories(Generic[T]):
    """One value per conversation; the ones not used for longest are forgotten."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._values: OrderedDict[str, T] = OrderedDict()

    def recall(self, conversation: str) -> T | None:
        value = self._values.get(conversation)
        if value is not None:
            self._values.move_to_end(conversation)
        return value

    def keep(self, conversation: str, value: T) -> None:
        self._values[conversation] = value
        self._values.move_to_end(conversation)
        while len(self._values) > self._most:
            self._values.popitem(last=False)
