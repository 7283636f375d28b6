"""Vectors in the order of their texts, whatever order they came in; shared by the adapters."""

from __future__ import annotations

from collections.abc import Sequence

from sfbridge.core.errors import GatewayError


def in_order(items: Sequence[tuple[int | None, Sequence[float]]]) -> list[Sequence[float]]:
    """The vectors by their index, each index from 0 on exactly once; without any index, as they stand.

    Raises GatewayError where it is not certain which vector is whose.
    """
    if all(index is None for index, _ in items):
        return [vector for _, vector in items]
    found = dict(items)
    if len(found) != len(items) or any(place not in found for place in range(len(items))):
        raise GatewayError(
            "upstream_failed",
            "The upstream numbered its vectors in a way that does not tell whose they are.",
            code="upstream_garbled",
        )
    return [found[place] for place in range(len(items))]
