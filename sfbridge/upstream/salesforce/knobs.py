"""Sampling as both gateway dialects take it."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, UnsetType

# OpenAI clients go up to 2. Anthropic refuses more than 1, and the gateway's own dialect is specified to 1.
MOST_TEMPERATURE: Final = 1.0


def temperature_of(asked: float | None) -> float | UnsetType:
    """The temperature to send; one that is too high becomes the highest."""
    return UNSET if asked is None else min(asked, MOST_TEMPERATURE)


def or_unset(number: float | None) -> float | UnsetType:
    return UNSET if number is None else number
