"""Notes of kept answers: what is found again by an item's id, and how what was sent is listed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from sfbridge.core.errors import GatewayError
from sfbridge.wire.openai_responses.kept import (
    Kept,
    answer_of,
    deleted_body,
    input_page,
    item_of,
    note_of,
    noted,
    remnant_of,
)

ID = "resp_0123456789abcdef01234567"
STEM = ID.removeprefix("resp_")
ANSWER = {"id": ID, "output": [{"id": f"msg_{STEM}00", "type": "message"}]}
SENT = [
    {"role": "user", "content": "One."},
    {"type": "function_call_output", "call_id": "c", "output": "42"},
    {"type": "message", "id": "mine", "role": "assistant", "content": "Two."},
]


def kept(sent: list[dict[str, Any]] = SENT) -> Kept:
    items = [Raw(json.dumps(item).encode()) for item in sent]
    found = note_of(noted(json.dumps(ANSWER).encode(), items, instructed=True))
    assert found is not None
    return found


def page(**query: Any) -> dict[str, Any]:
    asked = {"limit": 20, "after": "", "order": "desc", **query}
    found: dict[str, Any] = json.loads(input_page(kept(), ID, **asked))
    return found


def test_a_note_comes_back_as_it_was() -> None:
    """Object, items and the mark of instructions survive; a turn without a note has none."""
    found = kept()
    assert json.loads(bytes(found.answer)) == ANSWER
    assert [json.loads(bytes(raw)) for raw in found.items] == SENT
    assert found.instructed
    assert note_of(b"") is None


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        (f"msg_{STEM}00", ID),
        (f"ctc_{STEM}123", ID),
        (f"fco_{STEM}i01", ID),
        (f"msg_{STEM}", ""),
        ("msg_1", ""),
        ("", ""),
        (f"msg_{STEM.upper()}00", ""),
        (f"msg_{STEM}00\n", ""),
    ],
)
def test_an_item_names_its_answer(item: str, answer: str) -> None:
    """Only ids of our own making lead to an answer."""
    assert answer_of(item) == answer


def test_items_are_found_in_what_was_said_and_sent() -> None:
    """By the id that the answer or the list of what was sent shows."""
    found = item_of(kept(), ID, f"msg_{STEM}00")
    assert found is not None
    assert json.loads(bytes(found)) == ANSWER["output"][0]
    for item in page()["data"]:
        again = item_of(kept(), ID, item["id"])
        assert again is not None
        assert json.loads(bytes(again)) == item
    assert item_of(kept(), ID, f"msg_{STEM}07") is None


def test_what_was_sent_in_pages() -> None:
    """The last item first, or the first; each with type, id and parts."""
    ids = [f"msg_{STEM}i00", f"fco_{STEM}i01", "mine"]
    assert [item["id"] for item in page()["data"]] == ids[::-1]
    found = page(order="asc", limit=2)
    assert [item["id"] for item in found["data"]] == ids[:2]
    assert (found["first_id"], found["last_id"], found["has_more"]) == (ids[0], ids[1], True)
    assert found["data"][0]["content"] == [{"type": "input_text", "text": "One."}]
    assert found["data"][0]["type"] == "message"
    rest = page(order="asc", after=ids[1])
    assert [item["content"] for item in rest["data"]] == [[{"type": "output_text", "text": "Two."}]]
    assert page(after=ids[0])["data"] == []
    with pytest.raises(GatewayError, match="after: there is no item 'x'"):
        page(after="x")


def test_deletion_is_told_in_the_vendors_words() -> None:
    """The answer's id, its kind, and that it is gone."""
    assert json.loads(deleted_body(ID)) == {"id": ID, "object": "response", "deleted": True}


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400])
def test_what_was_sent_comes_back_whatever_numbers_it_holds(number: str) -> None:
    """A number that no float holds is listed and found as it was written."""
    raw = f'{{"role":"user","content":[{{"type":"input_text","text":"Hi","n":{number}}}],"n":{number}}}'
    found = Kept(Raw(json.dumps(ANSWER).encode()), (Raw(raw.encode()),))
    listed = input_page(found, ID, limit=1, after="", order="asc").decode()
    one = item_of(found, ID, f"msg_{STEM}i00")
    assert one is not None
    for told in (listed, bytes(one).decode()):
        assert told.count(f'"n":{number}') == 2


def test_an_item_whose_id_is_null_gets_one() -> None:
    """SDKs write fields that are not set as null; such an item can be referred to as any other."""
    name = f"msg_{STEM}i00"
    item = {"id": None, "type": None, "role": "assistant", "content": "Hi"}
    one = item_of(kept([item]), ID, name)
    assert one is not None
    assert json.loads(bytes(one)) == {
        "id": name,
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hi"}],
    }


def test_what_is_left_of_a_note_is_what_was_said() -> None:
    """The answer's items are found in it, what was sent is not; of what cannot be read nothing is left."""
    items = [Raw(json.dumps(item).encode()) for item in SENT]
    answer = json.dumps({**ANSWER, "tools": ["x" * 1000]}).encode()
    left = remnant_of(noted(answer, items, instructed=True))
    assert len(left) < 200
    found = note_of(left)
    assert found is not None
    said = item_of(found, ID, f"msg_{STEM}00")
    assert said is not None
    assert json.loads(bytes(said)) == ANSWER["output"][0]
    assert item_of(found, ID, f"msg_{STEM}i00") is None
    deep = b"[" * 5000 + b"]" * 5000
    assert remnant_of(noted(answer, [Raw(b'{"n":' + deep + b"}")], instructed=False)) == b""
