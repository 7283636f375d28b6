"""A model that repeats a document it was shown: a scenario for the sandbox org.

The prompt holds the document as `[[document]]…[[end of document]]`, how it was packed and how to quote it as
`[[unpack PACKING, quote MANNER]]`; see `PACKINGS` and `MANNERS`. Without a document it says OK.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

DOCUMENT = re.compile(r"\[\[document\]\](.*?)\[\[end of document\]\]", re.DOTALL)
QUOTE = re.compile(r"\[\[unpack (\w+), quote (\w+)\]\]")
MANNERS = {
    "bare": "{}",
    "introduced": "The page says:\n{}",
    "ended": "{}\nThat is what the page says.",
    "fenced": "The page says:\n\n```\n{}\n```\nOdd.",
    "json": "```json\n{}\n```",
    "thrice": "{}\n{}\n{}",
}

# How a document reaches a model that understands it: as it is, inside JSON once or twice, as HTML shows it.
Packing = tuple[Callable[[str], str], Callable[[str], str]]
PACKINGS: dict[str, Packing] = {
    "plain": (str, str),
    "json": (json.dumps, json.loads),
    "nested": (
        lambda text: json.dumps(json.dumps(text)),
        lambda text: json.loads(json.loads(text)),
    ),
    "html": (html.escape, html.unescape),
}


@dataclass
class Turn:
    text: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def turn(prompt_text: str, done: int) -> Turn:
    document, manner = DOCUMENT.search(prompt_text), QUOTE.search(prompt_text)
    if document is None or manner is None:
        return Turn("OK")
    text = PACKINGS[manner[1]][1](document[1])
    return Turn(MANNERS[manner[2]].replace("{}", text))
