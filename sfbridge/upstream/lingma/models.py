"""The models that the process offers its account. They differ per account and tenant, so no list of them is kept here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

AUTO: Final = "auto"
_DEEPEST: Final = 6
_KEYS: Final = ("key", "modelId", "id")
_NAMES: Final = ("displayName", "name", "label", "title")


class Offered(Struct, frozen=True):
    """One model: what the process calls it, and what people do."""

    key: str
    name: str = ""


def offered(result: Raw) -> tuple[Offered, ...]:
    """The models of a `config/queryModels` reply, those of the chat first, each once; empty when there are none."""
    try:
        scenes = msgspec.json.decode(result)
    except msgspec.MsgspecError:
        return ()
    if isinstance(scenes, dict):
        scenes = {"chat": scenes.get("chat"), **scenes}
    found: dict[str, Offered] = {}
    for model in _walk(scenes, _DEEPEST):
        found.setdefault(model.key, model)
    return tuple(found.values())


def _walk(value: Any, depth: int) -> Iterator[Offered]:
    """Every object that has a key is a model; nothing else of it is read, for it may hold a key of another kind."""
    if depth == 0:
        return
    if isinstance(value, list):
        for item in value:
            yield from _walk(item, depth - 1)
    elif isinstance(value, dict):
        key = _word(value, _KEYS)
        if key:
            yield Offered(key, _word(value, _NAMES))
            return
        for item in value.values():
            yield from _walk(item, depth - 1)


def _word(table: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        word = table.get(name)
        if isinstance(word, str) and word:
            return word
    return ""
