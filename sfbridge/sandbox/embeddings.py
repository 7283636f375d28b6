"""Deterministic embeddings: each lower-case word has a place and a sign among 1,536 numbers.

Texts that share words point in similar directions, which is all that a vector store needs for a trial.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import lru_cache
from typing import Final

SIZE: Final = 1536
_WORD: Final = re.compile(r"\w+")


@lru_cache(maxsize=4096)
def _place(word: str) -> tuple[int, float]:
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    number = int.from_bytes(digest, "big")
    return number % SIZE, 1.0 if number >> 63 else -1.0


def embedding(text: str) -> list[float]:
    """The unit vector of a text. Text without words has one of its own, the same for all such texts."""
    vector = [0.0] * SIZE
    for word in _WORD.findall(text.lower()) or [""]:
        place, sign = _place(word)
        vector[place] += sign
    length = math.sqrt(sum(number * number for number in vector))
    if length == 0.0:  # two words cancelled each other out
        vector[0] = length = 1.0
    return [number / length if number else 0.0 for number in vector]
