"""Kept answers of the Responses API: a scripted model that knows only what it is sent shows what it was sent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from responses_stream import read_response
from speak import ASK, CALCULATOR, records

SCENARIO = str(Path(__file__).parents[1] / "scenarios" / "names.toml")
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
ADA, WHO = "My name is Ada.", "What is my name?"
HERS = "Your name is Ada."


class Desk:
    """A bridge with a store of its own, asked through /v1/responses."""

    def __init__(self, start: Any, file: Path) -> None:
        self._start = start
        self.file = file
        self.bridge: Any = None

    async def begin(self, *, scenario: str = SCENARIO, **more: Any) -> Desk:
        config = {"sessions": {"path": str(self.file)}, **more.pop("config", {})}
        self.bridge = await self._start(org={"scenario": scenario}, config=config, **more)
        return self

    async def ask(self, said: Any, *, key: str = "", session: str = "", **more: Any) -> Any:
        """The response object, or the error; streamed where `stream` says so."""
        headers = {
            **({"x-api-key": key} if key else {}),
            **({"X-Session-ID": session} if session else {}),
        }
        body = {"model": "gpt-4o", "input": said, **more}
        async with self.bridge.http.post(
            self.bridge.url + "/v1/responses", json=body, headers=headers
        ) as answer:
            self.headers = answer.headers
            if answer.headers["Content-Type"].startswith("text/event-stream"):
                return read_response(records(await answer.read()))
            found = await answer.json()
            return found if answer.status == 200 else {"status": answer.status, **found["error"]}

    async def get(self, path: str, method: str = "GET", key: str = "") -> tuple[int, Any]:
        headers = {"x-api-key": key} if key else {}
        async with self.bridge.http.request(
            method, f"{self.bridge.url}/v1/responses/{path}", headers=headers
        ) as answer:
            return answer.status, await answer.json()

    def sent(self) -> str:
        """What the org was last sent, as text."""
        body: bytes = self.bridge.org.calls.last[-1].body
        return body.decode()


@pytest.fixture
def desk(start: Any, tmp_path: Path) -> Desk:
    return Desk(start, tmp_path / "sessions.db")


def text(response: Any) -> str:
    found: str = response["output"][-1]["content"][0]["text"]
    return found


@MODES
async def test_an_answer_is_gone_on_from(desk: Desk, stream: bool) -> None:
    """With `previous_response_id` only what is new is sent; instructions were for their own answer."""
    await desk.begin()
    first = await desk.ask(ADA, stream=stream, instructions="Be kind.")
    assert not desk.file.exists()
    second = await desk.ask(WHO, stream=stream, previous_response_id=first["id"])
    assert (text(second), second["previous_response_id"]) == (HERS, first["id"])
    assert "Be kind" not in desk.sent()
    assert desk.file.exists()
    third = await desk.ask(WHO, stream=stream, previous_response_id=second["id"])
    assert text(third) == HERS
    status, found = await desk.get(third["id"])
    assert (status, found) == (200, third)


@MODES
async def test_what_is_stored_outlives_the_process(desk: Desk, stream: bool) -> None:
    """`store: true` puts an answer on disk before its end is sent; developers' words stay with it."""
    await desk.begin()
    said = [{"role": "developer", "content": "Speak softly."}, {"role": "user", "content": ADA}]
    first = await desk.ask(said, store=True, stream=stream, instructions="Be kind.")
    await desk.begin()
    assert (await desk.get(first["id"])) == (200, first)
    second = await desk.ask(WHO, previous_response_id=first["id"], stream=stream)
    assert text(second) == HERS
    assert "Speak softly" in desk.sent()
    assert "Be kind" not in desk.sent()


@pytest.mark.parametrize("store", [None, False])
async def test_nobody_gets_a_copy_on_disk_who_did_not_ask(desk: Desk, store: bool | None) -> None:
    """Without `store` an answer is in memory for a while; with `store: false` it is nowhere."""
    await desk.begin()
    first = await desk.ask(ADA, store=store)
    status, found = await desk.get(first["id"])
    assert not desk.file.exists()
    if store is None:
        assert (status, found) == (200, first)
        return
    assert status == 404
    assert f"Response with id '{first['id']}' not found." == found["error"]["message"]
    refused = await desk.ask(WHO, previous_response_id=first["id"])
    assert refused["message"] == f"Previous response with id '{first['id']}' not found."
    assert (refused["status"], refused["param"], refused["code"]) == (
        400,
        "previous_response_id",
        "previous_response_not_found",
    )


async def test_any_answer_can_be_gone_on_from_at_once(desk: Desk) -> None:
    """Several branches of one answer run side by side, each with its own history."""
    await desk.begin()
    first = await desk.ask(ADA, store=True)
    names = ("Bob", "Cid", "Dot", "Eve")
    forks = await asyncio.gather(
        *(desk.ask(f"My name is {name}.", previous_response_id=first["id"]) for name in names)
    )
    for name, fork in zip(names, forks, strict=True):
        await desk.ask(WHO, previous_response_id=fork["id"])
        assert ADA in desk.sent()
        assert f"My name is {name}." in desk.sent()
        assert all(other not in desk.sent() for other in set(names) - {name})
    assert text(await desk.ask(WHO, previous_response_id=first["id"])) == HERS


async def test_the_first_follow_ups_may_come_together(desk: Desk) -> None:
    """Two branches of an answer that was only in memory find it, whoever puts it on disk."""
    await desk.begin()
    first = await desk.ask(ADA)
    both = await asyncio.gather(*(desk.ask(WHO, previous_response_id=first["id"]) for _ in "ab"))
    assert [text(answer) for answer in both] == [HERS, HERS]
    for answer in both:
        assert text(await desk.ask(WHO, previous_response_id=answer["id"])) == HERS


async def test_following_without_storing_leaves_no_trace(desk: Desk) -> None:
    """`store: false` on a follow-up reads what is kept and keeps nothing."""
    await desk.begin()
    first = await desk.ask(ADA)
    second = await desk.ask(WHO, previous_response_id=first["id"], store=False)
    assert text(second) == HERS
    assert not desk.file.exists()
    assert (await desk.get(second["id"]))[0] == 404


async def test_answers_belong_to_their_key(desk: Desk) -> None:
    """Another key neither sees, deletes, continues nor refers to an answer."""
    await desk.begin(config={"keys": {"ada": "adas-key-1", "bob": "bobs-key-1"}})
    for store in (None, True):
        first = await desk.ask(ADA, store=store, key="adas-key-1")
        for path in (first["id"], f"{first['id']}/input_items"):
            assert (await desk.get(path, key="bobs-key-1"))[0] == 404
        assert (await desk.get(first["id"], "DELETE", key="bobs-key-1"))[0] == 404
        stolen = await desk.ask(WHO, previous_response_id=first["id"], key="bobs-key-1")
        assert stolen["code"] == "previous_response_not_found"
        reference = {"type": "item_reference", "id": first["output"][0]["id"]}
        stolen = await desk.ask([reference, {"role": "user", "content": WHO}], key="bobs-key-1")
        assert stolen["status"] == 404
        assert (await desk.get(first["id"], key="adas-key-1")) == (200, first)


@pytest.mark.parametrize("store", [None, True])
async def test_a_deleted_answer_is_unknown(desk: Desk, store: bool | None) -> None:
    """What went on from it before still stands, with all that was said."""
    await desk.begin()
    first = await desk.ask(ADA, store=store)
    second = await desk.ask(WHO, previous_response_id=first["id"]) if store else None
    gone = {"id": first["id"], "object": "response", "deleted": True}
    assert (await desk.get(first["id"], "DELETE")) == (200, gone)
    assert (await desk.get(first["id"], "DELETE"))[0] == 404
    assert (await desk.get(first["id"]))[0] == 404
    refused = await desk.ask(WHO, previous_response_id=first["id"])
    assert refused["code"] == "previous_response_not_found"
    if second:
        assert text(await desk.ask(WHO, previous_response_id=second["id"])) == HERS


async def test_what_was_sent_is_listed_in_pages(desk: Desk) -> None:
    """Items have their type and an id, the last one first; a page goes on after an item."""
    await desk.begin()
    said = [
        {"role": "user", "content": "One."},
        {"type": "message", "id": "msg_x", "role": "assistant", "content": "Two."},
        {"role": "user", "content": [{"type": "input_text", "text": ADA}]},
    ]
    first = await desk.ask(said)
    path = f"{first['id']}/input_items"
    status, page = await desk.get(f"{path}?limit=2")
    assert (status, page["object"], page["has_more"]) == (200, "list", True)
    assert [item["content"][0]["text"] for item in page["data"]] == [ADA, "Two."]
    assert [item["type"] for item in page["data"]] == ["message", "message"]
    assert page["last_id"] == "msg_x"
    _, rest = await desk.get(f"{path}?after=msg_x")
    assert [item["content"] for item in rest["data"]] == [[{"type": "input_text", "text": "One."}]]
    assert not rest["has_more"]
    _, forward = await desk.get(f"{path}?order=asc&limit=1")
    assert forward["data"] == rest["data"]
    assert (await desk.get(f"{path}?after=nothing"))[0] == 400
    assert (await desk.get(f"{path}?limit=0"))[0] == 400
    assert (await desk.get(f"{path}?order=up"))[0] == 400


async def test_a_kept_answer_is_no_stream(desk: Desk) -> None:
    """Who asks for a kept answer as a stream is told so: SDKs read JSON in its place as an empty stream."""
    await desk.begin()
    first = await desk.ask(ADA)
    status, refused = await desk.get(f"{first['id']}?stream=true")
    assert (status, refused["error"]["param"]) == (400, "stream")
    assert (await desk.get(f"{first['id']}?stream=false"))[0] == 200


@MODES
async def test_items_are_referred_to(desk: Desk, stream: bool) -> None:
    """SDKs that trust the default send the id of an earlier answer's item in its place."""
    await desk.begin()
    first = await desk.ask([{"role": "user", "content": ADA}], stream=stream)
    _, page = await desk.get(f"{first['id']}/input_items")
    references = [
        {"type": "item_reference", "id": page["data"][0]["id"]},
        {"type": "item_reference", "id": first["output"][0]["id"]},
    ]
    second = await desk.ask([*references, {"role": "user", "content": WHO}], stream=stream)
    assert text(second) == HERS
    assert text(first) in desk.sent()
    assert not desk.file.exists()
    for unknown in ("msg_unknown", "msg_" + "0" * 24 + "00", first["output"][0]["id"][:-1] + "9"):
        refused = await desk.ask([{"type": "item_reference", "id": unknown}])
        assert (refused["status"], refused["param"]) == (404, "input")
        assert refused["message"].startswith(f"Item with id '{unknown}' not found.")


@MODES
async def test_items_outlive_the_turns_that_memory_lets_go_of(desk: Desk, stream: bool) -> None:
    """A long conversation of an SDK that refers to every answer goes on, however large its requests are; what was
    said is known to its key alone, until it is deleted."""
    keys = {"ada": "adas-key-1", "bob": "bobs-key-1"}
    await desk.begin(config={"keys": keys})
    ada = {"key": keys["ada"], "stream": stream}
    large = {"type": "message", "role": "user", "content": "Hm.", "note": "x" * 900_000}
    items: list[Any] = []
    for said in (ADA, "Go on.", "And on."):
        items += [large, {"role": "user", "content": said}]
        answer = await desk.ask(items, **ada)
        items = [item for item in items if item is not large]
        items.append({"type": "item_reference", "id": answer["output"][0]["id"]})
    first = items[1]["id"]
    name = "resp_" + first.removeprefix("msg_")[:24]
    assert (await desk.get(name, key=keys["ada"]))[0] == 404  # the turn itself is gone
    assert text(await desk.ask([*items, {"role": "user", "content": WHO}], **ada)) == HERS
    stolen = await desk.ask([{"type": "item_reference", "id": first}], key=keys["bob"])
    assert (stolen["status"], stolen["param"]) == (404, "input")
    assert (await desk.get(name, "DELETE", key=keys["bob"]))[0] == 404
    assert (await desk.get(name, "DELETE", key=keys["ada"]))[0] == 200
    assert (await desk.ask(items, key=keys["ada"]))["status"] == 404
    assert not desk.file.exists()


@pytest.mark.parametrize("surface", ["gateway", "platform"])
@MODES
async def test_a_call_is_answered_by_its_output_alone(
    desk: Desk, surface: str, stream: bool
) -> None:
    """With `previous_response_id` a tool's output needs no echo of its call."""
    await desk.begin(scenario="", surface=surface)
    tools = [{"type": "function", "name": "calculator", "parameters": CALCULATOR}]
    first = await desk.ask(ASK, tools=tools, stream=stream)
    output = {
        "type": "function_call_output",
        "call_id": first["output"][-1]["call_id"],
        "output": "42",
    }
    more = {"tools": tools, "stream": stream, "previous_response_id": first["id"]}
    assert "42" in text(await desk.ask([output], **more))
    assert desk.bridge.org.violations == []


async def test_a_session_goes_on_on_another_wire(desk: Desk) -> None:
    """The header and the chain are two handles of one conversation."""
    await desk.begin()
    first = await desk.ask(ADA, store=True)
    headers = {"X-Session-ID": desk.headers["X-Session-ID"]}
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": WHO}]}
    url = desk.bridge.url + "/v1/chat/completions"
    async with desk.bridge.http.post(url, json=chat, headers=headers) as answer:
        assert (await answer.json())["choices"][0]["message"]["content"] == HERS
    again = await desk.ask(WHO, session=headers["X-Session-ID"])
    assert text(again) == HERS
    assert (await desk.get(again["id"])) == (200, again)
    both = await desk.ask(WHO, session=headers["X-Session-ID"], previous_response_id=first["id"])
    assert (both["status"], both["code"]) == (400, "two_histories")


@MODES
async def test_a_broken_answer_is_not_kept(desk: Desk, stream: bool) -> None:
    """What failed is unknown afterwards, and what it followed is as it was."""
    await desk.begin(scenario="")
    first = await desk.ask(ADA, store=True)
    broken = await desk.ask(
        WHO, model="sfdc_ai__Defaultsandbox-cut", previous_response_id=first["id"], stream=stream
    )
    if stream:
        assert broken["status"] == "failed"
        assert (await desk.get(broken["id"]))[0] == 404
    assert (await desk.get(first["id"])) == (200, first)
    sessions = desk.bridge.url + "/v1/sfbridge/sessions"
    async with desk.bridge.http.get(sessions) as answer:
        (found,) = (await answer.json())["sessions"]
    assert found["turns"] == 1


async def test_without_a_database_memory_still_serves(desk: Desk) -> None:
    """A file that cannot be used loses what should be on disk, says so, and answers go on."""
    desk.file.write_text("this is no database, whatever its name says")
    await desk.begin()
    first = await desk.ask(ADA)
    second = await desk.ask(WHO, previous_response_id=first["id"])
    assert text(second) == HERS
    assert desk.headers["x-sfbridge-sessions"] == "unavailable"
    status, found = await desk.get("resp_" + "0" * 24)
    assert (status, found["error"]["code"]) == (503, "sessions_unavailable")
