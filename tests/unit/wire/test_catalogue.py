"""Model lists in each dialect: ids, aliases, picker ids and pages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import ModelCard
from sfbridge.wire.catalogue import (
    anthropic_list,
    anthropic_one,
    openai_list,
    openai_one,
    picker_id,
)

CARDS = (
    ModelCard(
        id="gpt-4o",
        target="sfdc__gpt4o",
        label="GPT-4o",
        owner="openai",
        aliases=("gpt-4", "sfdc__gpt4o"),
        window=128_000,
        max_output=16_384,
        created=1_767_225_600,
    ),
    ModelCard(id="claude-x", target="sfdc__claude", aliases=("gpt-4",)),
    ModelCard(id="ada", target="sfdc__ada", kind="embeddings"),
)
IDS = ["gpt-4o", "sf/claude-code-gpt-4o", "claude-x", "sf/claude-code-claude-x"]


def page(limit: int = 1000, after: str | None = None, before: str | None = None) -> Any:
    return json.loads(anthropic_list(CARDS, limit=limit, after_id=after, before_id=before))


def test_a_picker_id_holds_claude_but_not_in_front() -> None:
    """The picker shows ids with `claude` inside; in front it would mean a model that it knows."""
    name = picker_id("gpt-4o")
    assert "claude" in name
    assert not name.startswith(("claude", "anthropic"))
    assert name.endswith("gpt-4o")


def test_the_openai_list_has_ids_and_aliases_once() -> None:
    """Every name that can be asked for is listed once, in order, without picker ids."""
    listed = json.loads(openai_list(CARDS, 1_700_000_000))
    assert listed["object"] == "list"
    assert [entry["id"] for entry in listed["data"]] == [
        "gpt-4o",
        "gpt-4",
        "sfdc__gpt4o",
        "claude-x",
        "ada",
    ]
    assert listed["data"][0] == {
        "id": "gpt-4o",
        "object": "model",
        "created": 1_767_225_600,
        "owned_by": "openai",
        "context_window": 128_000,
        "max_output_tokens": 16_384,
    }
    assert listed["data"][3]["created"] == 1_700_000_000


def test_one_openai_model_under_the_name_it_was_asked_for() -> None:
    """An alias is answered under its own name."""
    assert json.loads(openai_one(CARDS[0]))["id"] == "gpt-4o"
    assert json.loads(openai_one(CARDS[0], name="gpt-4"))["id"] == "gpt-4"


def test_the_anthropic_list_has_each_chat_model_twice() -> None:
    """Each chat model stands under its id and its picker id, with the limits that are known."""
    listed = page()
    assert [entry["id"] for entry in listed["data"]] == IDS
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, IDS[0], IDS[-1])
    assert listed["data"][1] == {
        "type": "model",
        "id": "sf/claude-code-gpt-4o",
        "display_name": "GPT-4o",
        "created_at": "2026-01-01T00:00:00Z",
        "max_input_tokens": 128_000,
        "max_tokens": 16_384,
    }
    assert listed["data"][2] == {
        "type": "model",
        "id": "claude-x",
        "display_name": "claude-x",
        "created_at": "1970-01-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("limit", "after", "before", "ids", "more"),
    [
        (2, None, None, IDS[:2], True),
        (2, IDS[1], None, IDS[2:], False),
        (1, IDS[1], None, IDS[2:3], True),
        (9, IDS[3], None, [], False),
        (2, None, IDS[3], IDS[1:3], True),
        (3, None, IDS[3], IDS[:3], False),
        (0, None, None, IDS[:1], True),
    ],
)
def test_pages(
    limit: int, after: str | None, before: str | None, ids: list[str], more: bool
) -> None:
    """Pages go forward from an id or back from one, and tell whether more follows."""
    listed = page(limit, after, before)
    assert [entry["id"] for entry in listed["data"]] == ids
    assert listed["has_more"] is more
    assert listed["first_id"] == (ids[0] if ids else None)
    assert listed["last_id"] == (ids[-1] if ids else None)


def test_walking_the_pages_finds_every_model() -> None:
    """Following last_id from page to page lists everything once."""
    found: list[str] = []
    listed = page(1)
    while True:
        found += [entry["id"] for entry in listed["data"]]
        if not listed["has_more"]:
            break
        listed = page(1, listed["last_id"])
    assert found == IDS


def test_paging_from_an_unknown_id_is_refused() -> None:
    """An id that is not in the list is a fault of the query, not an empty page."""
    with pytest.raises(GatewayError) as caught:
        page(after="nobody")
    assert caught.value.param == "after_id"


def test_one_anthropic_model() -> None:
    """One model has the shape of a list entry."""
    assert json.loads(anthropic_one(CARDS[0])) == page()["data"][0]
