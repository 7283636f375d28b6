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
    r"(?i:bearer)\s+[\w.~+/=-]{8,}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*|\b00D\w{12,15}![\w.]{10,}|\bsk-[\w-]{8,}"
)
# Shorter ones stand in innocent texts too.
_LEAST: Final = 6
# Tokens that are issued while the program runs: the last ones of them.
_MOST_PASSING: Final = 32


class Secrets:
    """One per program: whoever comes to know a secret tells it here, whoever shows a foreign text asks here."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._lasting: set[str] = set()
        self._passing: list[tuple[str, ...]] = []
        self._known: re.Pattern[str] | None = None
        self.learn(values)

    def learn(self, values: Iterable[str]) -> None:
        """Hide these from now on, beside those that are hidden already: an old secret stays one."""
        told = [value for value in values if len(value) >= _LEAST]
        self._lasting |= {form for value in told for form in _forms(value)}
        longest_first = sorted(self._lasting, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def learn_passing(self, value: str) -> None:
        """Hide this one, until many others have come. It costs nothing to learn: tokens come all day long."""
        if len(value) >= _LEAST:
            forms = tuple(sorted(set(_forms(value)), key=len, reverse=True))
            self._passing = [*self._passing[1 - _MOST_PASSING :], forms]

    def hidden(self, text: str) -> str:
        """The text with a mark in the place of each secret, and of whatever looks like a token."""
        text = _SHAPES.sub(HIDDEN, text)
        for forms in self._passing:
            for form in forms:
                if form in text:
                    text = text.replace(form, HIDDEN)
        return self._known.sub(HIDDEN, text) if self._known else text


def _forms(value: str) -> Iterator[str]:
    """As it is, within JSON, within an address, within a form."""
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    # a variable of the environment may hold bytes that are no UTF-8
    yield quote(value, safe="", errors="surrogateescape")
    yield quote_plus(value, errors="surrogateescape")
