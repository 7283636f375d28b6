"""Token counts that are told in pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from sfbridge.core.stream import Usage

NUMBERS = some.none() | some.integers(0, 3)
USAGES = some.builds(
    Usage,
    input=NUMBERS,
    output=NUMBERS,
    cache_read=NUMBERS,
    cache_write=NUMBERS,
    thought=NUMBERS,
    estimated=some.booleans(),
)


@given(USAGES, USAGES | some.just(Usage()))
def test_later_numbers_win(first: Usage, later: Usage) -> None:
    """Each number is the later one where that is known, and an estimate in either taints the whole."""
    for one, other in ((first, later), (later, first), (first, first)):
        merged = one.merged(other)
        for name in ("input", "output", "cache_read", "cache_write", "thought"):
            new, old = getattr(other, name), getattr(one, name)
            assert getattr(merged, name) == (old if new is None else new)
        assert merged.estimated == (one.estimated or other.estimated)
