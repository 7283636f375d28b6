"""Values that nobody may see, taken out of any text in whatever form they travel in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

HIDDEN: Final = "[hidden]"
# Bearer values, JSON Web Tokens, sessions of Salesforce, and key-like words of the vendors.
_SHAPES: Final = re.compile(
    r"(?i:bearer)\s+[\w.~+/=-]{8,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|\b00D\w{12,15}![\w.]{10,}|\bsk-[\w-]{8,}"
)
# Shorter ones, and short words such as "ollama" for servers that want any key, stand in innocent texts too.
_LEAST: Final = 6
_LEAST_WORD: Final = 10
# Tokens that are issued while the program runs: the last ones of them.
_MOST_PASSING: Final = 32


class Secrets:
    """One per program: whoever comes to know a secret tells it here, whoever shows a foreign text asks here."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._lasting: set[str] = set()
        self._passing: list[str] = []
        self._known: re.Pattern[str] | None = None
        self.learn(values)

    def learn(self, values: Iterable[str]) -> None:
        """Hide these from now on, beside those that are hidden already: an old secret stays one."""
        self._lasting |= {form for value in values if _tells(value) for form in _forms(value)}
        self._compile()

    def learn_passing(self, value: str) -> None:
        """Hide this one, until many others have come."""
        self._passing = [*self._passing[1 - _MOST_PASSING :], value]
        self._compile()

    def hidden(self, text: str) -> str:
        """The text with a mark in the place of each secret, and of whatever looks like a token."""
        text = _SHAPES.sub(HIDDEN, text)
        return self._known.sub(HIDDEN, text) if self._known else text

    def _compile(self) -> None:
        passing = {form for value in self._passing if _tells(value) for form in _forms(value)}
        longest_first = sorted(self._lasting | passing, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def _tells(value: str) -> bool:
    return len(value) >= (_LEAST_WORD if value.isalpha() else _LEAST)


def _forms(value: str) -> Iterator[str]:
    """As it is, within JSON, within an address, within a form."""
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="")
    yield quote_plus(value)
