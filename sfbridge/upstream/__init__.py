"""The back doors. An adapter's module is imported when a configuration names its kind, not before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Any, Final, NamedTuple

from msgspec import Struct

from .base import Resources, Upstream

# kind word -> module that exports `Settings`, `connect` and `examine`
UPSTREAMS: Final[Mapping[str, str]] = {
    "salesforce": "sfbridge.upstream.salesforce",
    "openai": "sfbridge.upstream.openai",
    "claude-cli": "sfbridge.upstream.claude_cli",
    "lingma": "sfbridge.upstream.lingma",
}


class Kind(NamedTuple):
    """How to read an `[upstream.<name>]` table, and how to open what it describes.

    connect  name, settings, resources -> the upstream; ValueError names a key that cannot be used
    examine  name, settings, address of the sandbox org where it is to run -> nothing; raises what `connect` would raise,
             and opens nothing
    """

    settings: type[Struct]
    connect: Callable[[str, Any, Resources], AbstractAsyncContextManager[Upstream]]
    examine: Callable[[str, Any, str], None]


def kind_of(word: str) -> Kind:
    """The adapter behind a kind word. Raises ValueError with the words that are known."""
    try:
        module = import_module(UPSTREAMS[word])
    except KeyError:
        known = ", ".join(repr(name) for name in UPSTREAMS)
        raise ValueError(f"there is no upstream kind {word!r}; known: {known}") from None
    return Kind(module.Settings, module.connect, module.examine)
