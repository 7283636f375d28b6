"""Text that must not be printed by accident."""

from __future__ import annotations


class Secret:
    """Holds a secret; every printed form of it is a row of dots."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for the one place that sends it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(...)"

    def __str__(self) -> str:
        return "..."

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret cannot be copied out of its process")
