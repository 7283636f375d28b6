"""Vectors find their texts by index, and only when no doubt is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.core.errors import GatewayError
from sfbridge.upstream.vectors import in_order


@given(st.permutations(range(12)))
def test_any_order_is_put_right(places: list[int]) -> None:
    """Whatever order they come in, each vector stands at its index."""
    assert in_order([(place, [float(place)]) for place in places]) == [
        [float(n)] for n in range(12)
    ]


def test_without_an_index_they_stand_as_they_came() -> None:
    """Servers that number nothing keep the order of the texts."""
    assert in_order([(None, [1.0]), (None, [0.0])]) == [[1.0], [0.0]]
    assert in_order([]) == []


@pytest.mark.parametrize("indices", [(0, 0), (0, 2), (-1, 0), (1, 2), (None, 0), (1, None)])
def test_doubtful_numbers_are_refused(indices: tuple[int | None, ...]) -> None:
    """A vector that may be another text's is worse than none."""
    with pytest.raises(GatewayError) as caught:
        in_order([(index, [1.0]) for index in indices])
    assert caught.value.code == "upstream_garbled"
