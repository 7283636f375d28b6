"""Lists of models in each client's dialect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import Capabilities, ModelCard

from .frames import literal

_PICKER_PREFIX: Final = "sf/claude-code-"
_MOST: Final = 1000


def picker_id(card_id: str) -> str:
    """An id that Claude Code's model picker shows.

    The picker wants `claude` inside an id. It must not stand in front, or the client takes the model for one
    that it knows and believes its own idea of the context window.
    """
    return _PICKER_PREFIX + card_id


def openai_list(cards: Sequence[ModelCard], created: int = 0) -> bytes:
    """Every id and alias once, in order. `created` is for models of unknown age, in epoch seconds."""
    entries: dict[str, dict[str, Any]] = {}
    for card in cards:
        for name in (card.id, *card.aliases):
            entries.setdefault(name, _openai(card, name, created))
    return literal({"object": "list", "data": list(entries.values())})


def openai_one(card: ModelCard, *, name: str = "", created: int = 0) -> bytes:
    """One model, under the `name` it was asked for by."""
    return literal(_openai(card, name or card.id, created))


def anthropic_list(
    cards: Sequence[ModelCard], *, limit: int, after_id: str | None, before_id: str | None
) -> bytes:
    """One page of the chat models, each under its id and its picker id.

    `has_more` speaks of the direction of paging. Raises GatewayError for an id that is not in the list.
    """
    entries = list(_anthropic_entries(cards))
    limit = min(max(limit, 1), _MOST)
    if before_id:
        found = entries[: _place(entries, before_id, "before_id")]
        page, has_more = found[-limit:], len(found) > limit
    else:
        found = entries[_place(entries, after_id, "after_id") + 1 :] if after_id else entries
        page, has_more = found[:limit], len(found) > limit
    return literal(
        {
            "data": page,
            "has_more": has_more,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
        }
    )


def anthropic_one(card: ModelCard, *, name: str = "") -> bytes:
    """One model, under the `name` it was asked for by."""
    return literal(_anthropic(card, name or card.id))


def _openai(card: ModelCard, name: str, created: int) -> dict[str, Any]:
    """The vendor's four fields, then what it does not tell and we know."""
    entry: dict[str, Any] = {
        "id": name,
        "object": "model",
        "created": card.created or created,
        "owned_by": card.owner or "sfbridge",
    }
    if card.upstream:
        entry["upstream"] = card.upstream
    if card.window is not None:
        entry["context_window"] = card.window
    if card.max_output is not None:
        entry["max_output_tokens"] = card.max_output
    if card.kind == "embeddings":
        entry["capabilities"] = {"embeddings": True}
    elif card.can is not None:
        entry["capabilities"] = _abilities(card.can)
    return entry


def _abilities(can: Capabilities) -> dict[str, Any]:
    """What a client can count on: tools and schemas always, natively or emulated here."""
    return {
        "streaming": "native" if can.streams else "replayed",
        "tools": "native" if can.native_tools else "emulated",
        "structured_outputs": "native" if "schema" in can.shapes else "emulated",
        "images": can.images,
        "documents": can.documents,
        "thinking": can.thoughts,
    }


def _anthropic_entries(cards: Sequence[ModelCard]) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for card in cards:
        if card.kind != "embeddings" and card.id not in seen:
            seen.add(card.id)
            yield _anthropic(card, card.id)
            yield _anthropic(card, picker_id(card.id))


def _anthropic(card: ModelCard, name: str) -> dict[str, Any]:
    born = datetime.fromtimestamp(card.created, UTC)
    entry: dict[str, Any] = {
        "type": "model",
        "id": name,
        "display_name": card.label or card.id,
        "created_at": born.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if card.window is not None:
        entry["max_input_tokens"] = card.window
    if card.max_output is not None:
        entry["max_tokens"] = card.max_output
    if card.can is not None:
        entry["capabilities"] = {
            "image_input": {"supported": card.can.images},
            "pdf_input": {"supported": card.can.documents},
            "structured_outputs": {"supported": True},  # emulated where the upstream has none
        }
    return entry


def _place(entries: Sequence[dict[str, Any]], name: str, param: str) -> int:
    for index, entry in enumerate(entries):
        if entry["id"] == name:
            return index
    raise GatewayError("invalid_request", f"{param}: there is no model {name!r}", param=param)
