"""Texts are divided into portions that an upstream takes, and refused portions into halves."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.core.embedding import Portion
from sfbridge.core.errors import GatewayError
from sfbridge.policy.portions import halves, portions


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(0, 9), st.integers(0, 100))
def test_every_text_goes_once_and_in_order(weights: list[int], texts: int, tokens: int) -> None:
    """Portions follow each other without gap, keep the limits, and only a heavy text alone exceeds them."""
    found = portions(weights, Portion(texts, tokens))
    assert [place for part in found for place in part] == list(range(len(weights)))
    for part in found:
        assert 1 <= len(part) <= max(1, texts)
        assert len(part) == 1 or sum(weights[place] for place in part) <= tokens


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 9), st.integers(0, 100))
def test_no_portion_is_smaller_than_it_must_be(weights: list[int], texts: int, tokens: int) -> None:
    """Two portions in a row would not fit into one."""
    found = portions(weights, Portion(texts, tokens))
    for part, after in pairwise(found):
        weight = sum(weights[place] for place in part) + weights[after.start]
        assert len(part) == texts or weight > tokens


@given(st.integers(0, 99), st.integers(2, 99))
def test_halves_are_the_whole(start: int, size: int) -> None:
    """Both halves hold something, and together everything."""
    first, second = halves(range(start, start + size), GatewayError("too_large", "x"))
    assert [*first, *second] == list(range(start, start + size))
    assert first
    assert second


@pytest.mark.parametrize("kind", ["rate_limited", "not_found", "upstream_failed", "unsupported"])
def test_other_failures_are_not_about_size(kind: str) -> None:
    """What fewer texts would not mend is not tried with fewer."""
    assert halves(range(8), GatewayError(kind, "x")) == ()  # type: ignore[arg-type]
    assert halves(range(1), GatewayError("invalid_request", "x")) == ()
