"""Names that people know, whoever serves them; families of names; whether two names mean one model. Data and
string work, apart from routing, so that a shipped name is a line in a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

# Longer names belong to no family: matching them would cost whoever asks for them nothing, and us much.
_LONGEST: Final = 200

_GPT: Final = ("gpt-4o", "gpt-4.1", "gpt-5.1", "gpt-5")
_MINI: Final = ("gpt-4o-mini", "gpt-4.1-mini", "gpt-5-mini")

# A name that clients come with -> the models that answer to it, the first that anybody serves. A name that some
# model has itself is never looked up here; where none of these is served, the default answers.
SHIPPED: Final[Mapping[str, tuple[str, ...]]] = {
    "gpt-3.5-turbo": _MINI,
    "gpt-4": _GPT,
    "gpt-4-turbo": _GPT,
    "gpt-4o": _GPT,
    "gpt-4o-mini": _MINI,
    "sonnet": ("claude-sonnet-4-6", "claude-sonnet-4-5", "claude-sonnet-5", "claude-*sonnet*"),
    "opus": ("claude-opus-4-6", "claude-opus-4-5", "claude-opus-4-8", "claude-*opus*"),
    "haiku": ("claude-haiku-4-5", "claude-3-haiku", "claude-*haiku*"),
}
# Names that clients of embeddings come with (n8n's node, LangChain): answered by the first model that makes them.
EMBEDDING: Final = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")
# Names that Claude Code asks for unasked: answered by the default.
DEFAULTED: Final = ("claude-*", "*anthropic*")


class Family(NamedTuple):
    """Every name that fits a pattern, in which `*` stands for any characters."""

    pattern: str
    fits: re.Pattern[str]

    def has(self, name: str) -> bool:
        return len(name) <= _LONGEST and self.fits.fullmatch(name) is not None


def family(pattern: str) -> Family:
    body = ".*".join(re.escape(part) for part in pattern.lower().split("*"))
    return Family(pattern, re.compile(body, re.IGNORECASE | re.DOTALL))


def by_precision(patterns: Sequence[str]) -> list[Family]:
    """The families of the patterns, those that say most of their names first."""
    ordered = sorted(patterns, key=lambda pattern: len(pattern.replace("*", "")), reverse=True)
    return [family(pattern) for pattern in ordered]


# ---- one model under two names

# Who sells, hosts or packs a model, as its names tell it; none of that makes it another model.
_PACKAGING: Final = frozenset((
    "sfdc", "ai", "default", "azure", "openai", "bedrock", "anthropic", "vertexai", "vertex", "google", "amazon",
    "meta", "nvidia", "us", "eu", "apac", "global", "latest", "preview", "beta", "gguf",
))  # fmt: skip
# dates, Bedrock's `v1:0`, Vertex's `001`
_RELEASE: Final = re.compile(r"20\d{2}-?[01]\d-?[0-3]\d|\bv\d+(?::\d+)?\b|\b\d{3}$")
_WORD: Final = re.compile(r"[a-z]+|\d+")


@lru_cache(maxsize=512)
def another(known_as: tuple[str, ...], answered_by: str) -> bool:
    """Whether the model that says that it answered has none of the names of the one that was asked. Vendors, dates,
    folders and file endings do not count; without a name on either side nothing is known."""
    if not answered_by or not known_as:
        return False
    found = _essence(answered_by)
    return found not in [_essence(name) for name in known_as]


def _essence(name: str) -> tuple[str, ...]:
    """The words and numbers of a name that make the model, in no order: `claude-4-6-sonnet` is `claude-sonnet-4-6`."""
    last = name.lower().rstrip("/").rpartition("/")[2]
    words = _WORD.findall(_RELEASE.sub("", last))
    return tuple(sorted(word for word in words if word not in _PACKAGING))
