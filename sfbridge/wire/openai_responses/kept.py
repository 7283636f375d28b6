"""What is kept of an answer for those who come back to it: the object as its client saw it, and what was sent.

Ids of items begin with the id of their answer, so that an item is found without an index.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from sfbridge.core.errors import GatewayError
from sfbridge.formats.openai_responses import ItemHead
from sfbridge.wire.frames import literal

_ITEM: Final = re.compile(r"[a-z]+_([0-9a-f]{24})i?\d+")
_PREFIXES: Final = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}


class Kept(Struct, frozen=True):
    """An answer's note.

    answer      the response object
    items       what was sent this time
    instructed  its system prompt begins with instructions, which were for it only
    """

    answer: Raw
    items: tuple[Raw, ...]
    instructed: bool = False


class _Output(Struct, frozen=True):
    output: list[Raw]


class _Named(Struct, frozen=True, gc=False):
    id: str | None = None


_note: Final = msgspec.json.Decoder(Kept)
_output: Final = msgspec.json.Decoder(_Output)
_named: Final = msgspec.json.Decoder(_Named)
_head: Final = msgspec.json.Decoder(ItemHead)
# values as they were sent: a number too large for us is still somebody's number
_item: Final = msgspec.json.Decoder(dict[str, Raw])


def noted(answer: bytes, items: Sequence[Raw], *, instructed: bool) -> bytes:
    """The note of an answer."""
    return literal(Kept(Raw(answer), tuple(items), instructed))


def note_of(note: bytes) -> Kept | None:
    """What a note says; None where a turn has none, because it was no answer of this protocol."""
    return _note.decode(note) if note else None


def remnant_of(note: bytes) -> bytes:
    """A note of the answer's own items, without the rest of the object and without what was sent.

    Empty where the note is nested so deeply that it can be read only with less on the stack; it is then not the
    request at hand that may fail for it.
    """
    try:
        said = _output.decode(_note.decode(note).answer)
    except RecursionError:
        return b""
    return literal(Kept(Raw(literal(said)), ()))


def answer_of(item_id: str) -> str:
    """The id of the answer that an item belongs to; empty for an id that is not of our making."""
    found = _ITEM.fullmatch(item_id)
    return f"resp_{found[1]}" if found else ""


def item_of(kept: Kept, answer_id: str, item_id: str) -> Raw | None:
    """One item by its id, of what the answer said or of what was sent."""
    for raw in _output.decode(kept.answer).output:
        if _named.decode(raw).id == item_id:
            return raw
    for item in _sent(kept, answer_id):
        if item["id"] == item_id:
            return Raw(literal(item))
    return None


def input_page(kept: Kept, answer_id: str, *, limit: int, after: str, order: str) -> bytes:
    """One page of what was sent, the last item first unless `order` is "asc".

    Raises GatewayError for an item `after` which nothing can come because it is not there.
    """
    items = list(_sent(kept, answer_id))
    if order != "asc":
        items.reverse()
    if after:
        places = [place for place, item in enumerate(items) if item["id"] == after]
        if not places:
            raise GatewayError(
                "invalid_request", f"after: there is no item {after!r}", param="after"
            )
        items = items[places[0] + 1 :]
    page = items[:limit]
    return literal(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(items) > limit,
        }
    )


def deleted_body(answer_id: str) -> bytes:
    """That an answer is no longer kept."""
    return literal({"id": answer_id, "object": "response", "deleted": True})


def _sent(kept: Kept, answer_id: str) -> Iterator[dict[str, Any]]:
    """What was sent as the vendor lists it: each item with its type and an id, texts as parts."""
    stem = answer_id.partition("_")[2]
    for index, raw in enumerate(kept.items):
        head, item = _head.decode(raw), _item.decode(raw)
        kind = head.type or "message"
        name = head.id or f"{_PREFIXES.get(kind, 'item')}_{stem}i{index:02d}"
        shown: dict[str, Any] = {"id": name, "type": kind}
        shown |= {**item, **shown}
        said = item.get("content")
        if kind == "message" and said is not None and bytes(said).startswith(b'"'):
            word = "output_text" if head.role == "assistant" else "input_text"
            shown["content"] = [{"type": word, "text": said}]
        yield shown
