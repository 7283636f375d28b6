"""How many texts go into one call of an embeddings upstream, and when a refused call may go again in halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sfbridge.core.embedding import Portion
from sfbridge.core.errors import GatewayError

# What an upstream may mean by "too much at once"; most publish no limit and answer 400.
_TOO_MUCH: Final = frozenset(("invalid_request", "too_large", "context_overflow"))


def portions(weights: Sequence[int], most: Portion) -> list[range]:
    """The places of the texts, portion by portion and in order. A text that is too heavy goes alone.

    weights  tokens of each text, estimated
    """
    found: list[range] = []
    start, weight = 0, 0
    for place, tokens in enumerate(weights):
        full = place - start >= max(1, most.texts) or weight + tokens > most.tokens
        if full and place > start:
            found.append(range(start, place))
            start, weight = place, 0
        weight += tokens
    if start < len(weights):
        found.append(range(start, len(weights)))
    return found


def halves(places: range, error: GatewayError) -> tuple[range, ...]:
    """The two halves of a portion that was refused for what may be its size; nothing where that cannot be why."""
    if len(places) < 2 or error.kind not in _TOO_MUCH:
        return ()
    middle = len(places) // 2
    return places[:middle], places[middle:]
