"""X-Session-ID on both wires: a scripted model that knows only what it is sent shows what it was sent."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession
from speak import PATHS, WIRES, Heard, ask, body_of, heard

from sfbridge.server.keys import CONVERSATIONS
from sfbridge.state.sessions import fault_of

ROOT = Path(__file__).parent.parent
SCENARIO = str(ROOT / "scenarios" / "names.toml")
LIST = "/v1/sfbridge/sessions"
BOTH = pytest.mark.parametrize("wire", WIRES)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
ADA, WHO = "My name is Ada.", "What is my name?"


class Desk:
    """A bridge with a store of its own, and a client that asks within sessions."""

    def __init__(self, start: Any, file: Path) -> None:
        self._start = start
        self.file = file
        self.bridge: Any = None

    async def begin(self, *, sessions: dict[str, Any] | None = None, **more: Any) -> Desk:
        """Start (once more) on the same file."""
        config = {
            "sessions": {"path": str(self.file), **(sessions or {})},
            **more.pop("config", {}),
        }
        self.bridge = await self._start(org={"scenario": SCENARIO}, config=config, **more)
        return self

    async def say(
        self, prompt: str, session: str | None = None, *, wire: str = "openai", model: str = "gpt-4o",
        key: str = "", **more: Any,
    ) -> Heard:  # fmt: skip
        headers = {} if session is None else {"X-Session-ID": session}
        if key:
            headers["x-api-key"] = key
        return await ask(
            self.bridge.http, self.bridge.url, wire, model, prompt, headers=headers, **more
        )

    async def get(self, path: str, method: str = "GET", key: str = "") -> tuple[int, Any]:
        headers = {"x-api-key": key} if key else {}
        async with self.bridge.http.request(
            method, self.bridge.url + path, headers=headers
        ) as answer:
            return answer.status, await answer.json()

    async def turns(self, session: str) -> int:
        status, found = await self.get(f"{LIST}/{session}")
        return len(found["session"]["history"]) if status == 200 else 0

    def sent(self) -> str:
        """What the org was last sent, as text."""
        body: bytes = self.bridge.org.calls.last[-1].body
        return body.decode()


@pytest.fixture
def desk(start: Any, tmp_path: Path) -> Desk:
    return Desk(start, tmp_path / "sessions.db")


def named(answer: Heard) -> str:
    session: str = answer.headers["X-Session-ID"]
    assert re.fullmatch(r"sess_[0-9a-f]{32}", session)
    return session


@pytest.mark.parametrize("surface", ["gateway", "platform"])
@MODES
async def test_a_conversation_lasts_across_wires_models_and_a_restart(
    desk: Desk, surface: str, stream: bool
) -> None:
    """Told a name on one wire, another model knows it on the other wire, also after the server was started anew."""
    await desk.begin(surface=surface)
    told = await desk.say(ADA, wire="openai", model="gpt-4o", stream=stream)
    session = named(told)
    assert told.text == "Nice to meet you."
    asked = await desk.say(WHO, session, wire="anthropic", model="claude-sonnet-4-6", stream=stream)
    assert (asked.text, named(asked)) == ("Your name is Ada.", session)
    await desk.begin(surface=surface)
    again = await desk.say(WHO, session, wire="openai", model="gpt-4o", stream=stream)
    assert (again.text, named(again)) == ("Your name is Ada.", session)
    assert await desk.turns(session) == 3
    assert desk.bridge.org.violations == []


@BOTH
@MODES
async def test_without_the_header_nothing_is_written(desk: Desk, wire: str, stream: bool) -> None:
    """A client that never sends the header gets a fresh id each time and leaves no file behind."""
    await desk.begin()
    answers = [await desk.say(ADA, wire=wire, stream=stream) for _ in range(3)]
    assert len({named(answer) for answer in answers}) == 3
    assert (await desk.say(WHO, wire=wire, stream=stream)).text == "I do not know your name."
    assert await desk.get(LIST) == (200, {"sessions": []})
    assert list(desk.file.parent.iterdir()) == []


@BOTH
@MODES
@pytest.mark.parametrize(
    "sent", ["new", "", "sess_" + "0" * 32, "ü'; DROP TABLE turn; --", "x" * 4000]
)
async def test_any_other_value_opts_in(desk: Desk, wire: str, stream: bool, sent: str) -> None:
    """An unknown or malformed id is no error: a new session under a new id, on disk from this turn on."""
    await desk.begin()
    answer = await desk.say(ADA, sent, wire=wire, stream=stream)
    assert answer.status == 200
    session = named(answer)
    assert session != sent
    assert await desk.turns(session) == 1
    assert (await desk.say(WHO, session, wire=wire, stream=stream)).text == "Your name is Ada."


@BOTH
@pytest.mark.parametrize("sent", [b"\xff\xfe", b"\xed\xa0\x80", b"sess_\xff" + b"0" * 31])
async def test_an_id_of_bytes_that_are_no_text_opts_in(desk: Desk, wire: str, sent: bytes) -> None:
    """It is a malformed id like any other, also where there is a database to look into."""
    await desk.begin()
    await desk.say(ADA, "new")
    url, body = urlsplit(desk.bridge.url), json.dumps(body_of(wire, "gpt-4o", ADA)).encode()

    def post() -> tuple[int, str]:
        with closing(HTTPConnection(url.netloc, timeout=5)) as line:
            line.putrequest("POST", PATHS[wire])
            line.putheader("Content-Type", "application/json")
            line.putheader("Content-Length", str(len(body)))
            line.putheader("X-Session-ID", sent)
            line.endheaders(body)
            answer = line.getresponse()
            answer.read()
            return answer.status, answer.headers["X-Session-ID"]

    status, session = await asyncio.to_thread(post)
    assert status == 200
    assert await desk.turns(session) == 1


async def test_an_announced_session_is_promoted_when_its_client_comes_back(desk: Desk) -> None:
    """Its first turn goes to disk as soon as the id is used, whatever becomes of the second turn."""
    await desk.begin()
    session = named(await desk.say(ADA))
    failed = await desk.say(WHO, session, model="sfdc_ai__Defaultsandbox-403")
    assert failed.status == 403
    assert named(failed) == session
    await desk.begin()
    assert (await desk.say(WHO, session)).text == "Your name is Ada."


@BOTH
async def test_resent_history_is_not_doubled(desk: Desk, wire: str) -> None:
    """A client that sends everything again has each word sent once, and only the new ones kept."""
    await desk.begin()
    first = await desk.say(ADA, "new", wire=wire)
    session = named(first)
    body = body_of(wire, "gpt-4o", ADA)
    body["messages"] += [
        {"role": "assistant", "content": first.text + "\n"},
        {"role": "user", "content": WHO},
    ]
    for expected in (2, 3):
        async with desk.bridge.http.post(
            desk.bridge.url + PATHS[wire], json=body, headers={"X-Session-ID": session}
        ) as answer:
            found = heard(wire, answer.status, answer.headers, await answer.read())
        assert found.text == "Your name is Ada."
        assert desk.sent().count(ADA) == 1
        assert desk.sent().count(WHO) == expected - 1
        body["messages"] += [
            {"role": "assistant", "content": found.text},
            {"role": "user", "content": WHO},
        ]
        assert await desk.turns(session) == expected
    _, shown = await desk.get(f"{LIST}/{session}")
    assert [len(turn["said"]["messages"]) for turn in shown["session"]["history"]] == [2, 2, 2]


async def test_going_back_drops_what_came_after(desk: Desk) -> None:
    """Who resends the history up to an earlier answer has edited it: the later turn is not put before it."""
    await desk.begin()
    first = await desk.say("Hello there.", "new")
    session = named(first)
    await desk.say(ADA, session)
    body = body_of("openai", "gpt-4o", "Hello there.")
    body["messages"] += [
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": "My name is Grace."},
    ]
    async with desk.bridge.http.post(
        desk.bridge.url + PATHS["openai"], json=body, headers={"X-Session-ID": session}
    ) as answer:
        assert answer.status == 200
    assert "Ada" not in desk.sent()
    assert (await desk.say(WHO, session)).text == "Your name is Grace."


@pytest.mark.parametrize("surface", ["gateway", "platform"])
@pytest.mark.parametrize(("first", "second"), [WIRES, WIRES[::-1]])
async def test_calls_and_results_are_part_of_it(
    desk: Desk, surface: str, first: str, second: str
) -> None:
    """A call made on one wire is answered on the other with the result alone."""
    await desk.begin(surface=surface)
    called = await desk.say("Look up the answer.", "new", wire=first, tools=True)
    session, (call_id, _, _) = named(called), called.calls[0]
    body = body_of(second, "gpt-4o", tools=True)
    if second == "openai":
        result: dict[str, Any] = {
            "role": "tool",
            "tool_call_id": call_id,
            "content": "the answer is 42",
        }
    else:
        block = {"type": "tool_result", "tool_use_id": call_id, "content": "the answer is 42"}
        result = {"role": "user", "content": [block]}
    body["messages"] = [result]
    async with desk.bridge.http.post(
        desk.bridge.url + PATHS[second], json=body, headers={"X-Session-ID": session}
    ) as answer:
        found = heard(second, answer.status, answer.headers, await answer.read())
    assert found.text == "It is 42."
    asked = await desk.say("What did you find?", session, wire=first, tools=True)
    assert asked.text == "I found 42."
    assert desk.bridge.org.violations == []


@BOTH
@MODES
@pytest.mark.parametrize("fault", ["cut", "error-mid", "503", "bad-json"])
async def test_a_broken_turn_leaves_the_history_as_it_was(
    desk: Desk, wire: str, stream: bool, fault: str
) -> None:
    """What failed was not said: neither the question nor half an answer is kept, and the id is still told."""
    await desk.begin()
    session = named(await desk.say(ADA, "new", wire=wire))
    broken = await desk.say(
        "My name is Grace.",
        session,
        wire=wire,
        model=f"sfdc_ai__Defaultsandbox-{fault}",
        stream=stream,
    )
    assert not broken.whole
    assert named(broken) == session
    assert await desk.turns(session) == 1
    assert (await desk.say(WHO, session, wire=wire)).text == "Your name is Ada."
    assert "Grace" not in desk.sent()


@BOTH
@MODES
async def test_a_client_that_leaves_leaves_the_history_as_it_was(
    desk: Desk, wire: str, stream: bool
) -> None:
    """A turn that nobody waited for is not kept, and its session is free again."""
    await desk.begin()
    session = named(await desk.say(ADA, "new", wire=wire))
    body = body_of(wire, "sfdc_ai__Defaultsandbox-stall", "My name is Grace.", stream=stream)
    asking = asyncio.create_task(
        desk.bridge.http.post(
            desk.bridge.url + PATHS[wire], json=body, headers={"X-Session-ID": session}
        )
    )
    await until(lambda: desk.bridge.org.open_connections)
    if stream:
        response = await asking
        await response.content.readany()
        response.close()
    else:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: not desk.bridge.org.open_connections)
    assert (await desk.say(WHO, session, wire=wire)).text == "Your name is Ada."
    assert await desk.turns(session) == 2


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.005)


async def test_two_at_once_are_answered_one_after_the_other(desk: Desk) -> None:
    """The second request waits and knows what the first was told."""
    await desk.begin()
    session = named(await desk.say("Hello there.", "new"))
    first = asyncio.create_task(
        desk.say(ADA, session, model="sfdc_ai__Defaultsandbox-slow-0.3", stream=True)
    )
    await until(lambda: desk.bridge.org.open_connections)
    second = await desk.say(WHO, session)
    assert first.done()
    assert second.text == "Your name is Ada."
    assert await desk.turns(session) == 3


async def test_the_announced_id_of_a_stream_under_way_waits_for_it(desk: Desk) -> None:
    """A stream tells its id before its turn is whole; who uses it at once gets the history all the same."""
    await desk.begin(config={"stream": {"patience": 0.05}})
    body = body_of("openai", "sfdc_ai__Defaultsandbox-slow-0.3", ADA, stream=True)
    async with desk.bridge.http.post(desk.bridge.url + PATHS["openai"], json=body) as answer:
        session = answer.headers["X-Session-ID"]
        second = await desk.say(WHO, session)
        await answer.read()
    assert second.text == "Your name is Ada."


@BOTH
async def test_who_waits_too_long_is_told_409(desk: Desk, wire: str) -> None:
    """Waiting has an end, with the words that say why; nothing of the refused turn is kept."""
    await desk.begin(sessions={"wait": 0.05})
    session = named(await desk.say(ADA, "new", wire=wire))
    stalled = asyncio.create_task(
        desk.say("x", session, wire=wire, model="sfdc_ai__Defaultsandbox-stall", stream=True)
    )
    await until(lambda: desk.bridge.org.open_connections)
    refused = await desk.say(WHO, session, wire=wire)
    assert refused.status == 409
    assert "sessions.wait" in refused.error["message"]
    assert refused.headers["retry-after"] == "2"
    assert named(refused) == session
    stalled.cancel()
    await asyncio.gather(stalled, return_exceptions=True)
    assert (await desk.say(WHO, session, wire=wire)).text == "Your name is Ada."


async def test_who_finds_too_many_waiting_is_told_so_at_once(desk: Desk) -> None:
    """The refusal does not speak of a time that nobody has waited; those who wait are answered."""
    await desk.begin()
    session = named(await desk.say(ADA, "new"))
    model = "sfdc_ai__Defaultsandbox-slow-0.05"
    answers = await asyncio.gather(*(desk.say(WHO, session, model=model) for _ in range(20)))
    refused = [answer for answer in answers if answer.status == 409]
    assert len(refused) == 3
    assert all(answer.error["message"].startswith("Too many requests") for answer in refused)
    assert await desk.turns(session) == 18


async def test_many_at_once_on_one_session_are_never_interleaved(desk: Desk) -> None:
    """Ten parallel turns become a chain of ten, each answered with those before it."""
    await desk.begin()
    session = named(await desk.say("Hello there.", "new"))
    await asyncio.gather(*(desk.say(f"Number {n}.", session) for n in range(10)))
    _, shown = await desk.get(f"{LIST}/{session}")
    path = shown["session"]["history"]
    assert len(path) == shown["session"]["turns"] == 11
    said = [[message["role"] for message in turn["said"]["messages"]] for turn in path]
    assert said == [["user", "assistant"]] * 11


async def test_two_hundred_new_sessions_at_once(desk: Desk) -> None:
    """All of them are kept, each under an id of its own, and the file is sound."""
    await desk.begin()
    found = await asyncio.gather(
        *(desk.say(ADA, "new", wire=WIRES[n % 2], stream=n % 3 == 0) for n in range(200))
    )
    assert all(answer.whole for answer in found)
    assert len({named(answer) for answer in found}) == 200
    _, listed = await desk.get(f"{LIST}?limit=1000")
    assert len(listed["sessions"]) == 200
    assert fault_of(desk.file) == ""


KEYS = {"keys": {"me": "key-of-me-1", "you": "key-of-you-1"}}
ME, YOU = KEYS["keys"].values()


async def test_sessions_belong_to_their_key(desk: Desk) -> None:
    """Another key finds nothing under the id, gets a new one, and can neither see nor delete the session."""
    await desk.begin(config=KEYS)
    mine = named(await desk.say(ADA, "new", key=ME))
    announced = named(await desk.say(ADA, key=ME))
    for session in (mine, announced):
        stranger = await desk.say(WHO, session, key=YOU)
        assert stranger.text == "I do not know your name."
        assert named(stranger) != session
        assert (await desk.get(f"{LIST}/{session}", key=YOU))[0] == 404
        assert (await desk.get(f"{LIST}/{session}", "DELETE", key=YOU))[0] == 404
    assert await desk.get(LIST, "DELETE", key=YOU) == (200, {"deleted": 2})
    for session in (mine, announced):
        assert (await desk.say(WHO, session, key=ME)).text == "Your name is Ada."


async def test_sessions_are_listed_and_deleted(desk: Desk) -> None:
    """The doors tell numbers and words of what is kept; what was deleted is unknown from then on."""
    await desk.begin()
    first = named(await desk.say(ADA, "new", model="gpt-4o"))
    second = named(await desk.say(ADA, "new", wire="anthropic", model="claude-sonnet-4-6"))
    announced = named(await desk.say(ADA))
    _, listed = await desk.get(LIST)
    assert [each["id"] for each in listed["sessions"]] == [second, first]
    shown = listed["sessions"][0]
    assert (shown["turns"], shown["messages"], shown["model"]) == (1, 2, "claude-sonnet-4-6")
    assert shown["expires"] == shown["last_used"] + 24 * 3600
    status, one = await desk.get(f"{LIST}/{first}")
    assert status == 200
    assert one["session"]["history"][0]["said"]["messages"][0]["parts"][0][1]["text"] == ADA
    assert await desk.get(f"{LIST}/{first}", "DELETE") == (200, {"id": first, "deleted": True})
    assert await desk.get(f"{LIST}/{announced}", "DELETE") == (
        200,
        {"id": announced, "deleted": True},
    )
    for session in (first, announced):
        gone = await desk.say(WHO, session)
        assert gone.text == "I do not know your name."
        assert named(gone) != session
    status, unknown = await desk.get(f"{LIST}/{first}")
    assert (status, unknown["error"]["code"]) == (404, "session_not_found")
    assert (await desk.get(LIST, "DELETE"))[1]["deleted"] == 3
    assert await desk.get(LIST) == (200, {"sessions": []})


async def test_a_session_deleted_under_way_stays_deleted(desk: Desk) -> None:
    """The turn is answered, but does not bring its session back."""
    await desk.begin()
    session = named(await desk.say(ADA, "new"))
    asking = asyncio.create_task(desk.say(WHO, session, model="sfdc_ai__Defaultsandbox-slow-0.3"))
    await until(lambda: desk.bridge.org.open_connections)
    await desk.get(f"{LIST}/{session}", "DELETE")
    assert (await asking).text == "Your name is Ada."
    assert await desk.get(LIST) == (200, {"sessions": []})


async def test_a_session_ends_after_its_life(desk: Desk, clock: Any) -> None:
    """Counted from its last use; then it is unknown, and what it held is deleted by the sweep."""
    await desk.begin(clock=clock, sessions={"life_hours": 1})
    session = named(await desk.say(ADA, "new"))
    for _ in range(2):
        await clock.advance(3500)
        assert (await desk.say(WHO, session)).text == "Your name is Ada."
    await clock.advance(3700)
    await desk.bridge.app[CONVERSATIONS].store.expire()  # waits for the sweep's turn on the thread
    assert b"Ada" not in desk.file.read_bytes()
    ended = await desk.say(WHO, session)
    assert ended.text == "I do not know your name."
    assert named(ended) != session


@BOTH
async def test_a_full_session_says_what_to_do(desk: Desk, wire: str) -> None:
    """Beyond its limit a session takes no turn, in words and before the model is asked."""
    await desk.begin(sessions={"most_messages": 4})
    session = named(await desk.say(ADA, "new", wire=wire))
    assert (await desk.say(WHO, session, wire=wire)).status == 200
    calls = sum(desk.bridge.org.calls.counts.values())
    full = await desk.say(WHO, session, wire=wire)
    assert full.status == 400
    assert "X-Session-ID: new" in full.error["message"]
    assert sum(desk.bridge.org.calls.counts.values()) == calls


async def test_the_oldest_sessions_of_a_key_make_room(desk: Desk) -> None:
    """Beyond the limit the one not used for longest is unknown."""
    await desk.begin(sessions={"most_sessions": 2})
    first, *others = [named(await desk.say(ADA, "new")) for _ in range(3)]
    assert (await desk.say(WHO, others[0])).text == "Your name is Ada."
    assert (await desk.say(WHO, first)).text == "I do not know your name."


async def test_the_system_prompt_lasts_until_another_comes(desk: Desk) -> None:
    """A request without one has that of its conversation; one with its own changes it."""
    await desk.begin()
    body = body_of("anthropic", "gpt-4o", ADA, system="Speak like a pirate.")
    async with desk.bridge.http.post(
        desk.bridge.url + PATHS["anthropic"], json=body, headers={"X-Session-ID": "new"}
    ) as answer:
        session = answer.headers["X-Session-ID"]
    await desk.say(WHO, session, wire="openai")
    assert desk.sent().count("pirate") == 1
    await desk.say(WHO, session, wire="anthropic", system="Speak like a king.")
    assert "pirate" not in desk.sent()
    await desk.say(WHO, session, wire="openai")
    assert desk.sent().count("king") == 1


@BOTH
@MODES
@pytest.mark.parametrize("content", [b"nonsense " * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
async def test_without_a_database_every_turn_is_still_answered(
    desk: Desk, wire: str, stream: bool, content: bytes
) -> None:
    """A file that cannot be used is told in header, log and /readyz; it stays as it is, and no turn fails for it."""
    desk.file.write_bytes(content)
    await desk.begin()
    answer = await desk.say(ADA, "new", wire=wire, stream=stream)
    assert (answer.status, answer.whole) == (200, True)
    assert answer.headers["x-sfbridge-sessions"] == "unavailable"
    again = await desk.say(WHO, named(answer), wire=wire, stream=stream)
    assert again.whole
    assert named(again) != named(answer)
    plain = await desk.say(ADA, wire=wire, stream=stream)
    assert "x-sfbridge-sessions" not in plain.headers
    returned = await desk.say(WHO, named(plain), wire=wire, stream=stream)
    assert returned.headers["x-sfbridge-sessions"] == "unavailable"
    status, ready = await desk.get("/readyz")
    assert status == 200
    assert ready["sessions"]["ready"] is False
    assert str(desk.file) in ready["sessions"]["summary"]
    status, refused = await desk.get(LIST)
    assert (status, refused["error"]["code"]) == (503, "sessions_unavailable")
    assert desk.file.read_bytes() == content


async def test_a_turn_that_could_not_be_kept_is_not_a_gap(desk: Desk) -> None:
    """When the disk fails in mid-conversation, the answer still comes, and the session is unknown from then on."""
    await desk.begin()
    session = named(await desk.say(ADA, "new"))
    first = asyncio.create_task(
        desk.say("Hello there.", session, model="sfdc_ai__Defaultsandbox-slow-0.3")
    )
    await until(lambda: desk.bridge.org.open_connections)
    with closing(sqlite3.connect(desk.file)) as disk:
        disk.execute(
            "CREATE TRIGGER full BEFORE INSERT ON turn BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    answer = await first
    assert answer.whole
    assert answer.headers["x-sfbridge-sessions"] == "unavailable"
    with closing(sqlite3.connect(desk.file)) as disk:
        disk.execute("DROP TRIGGER full")
    later = await desk.say(WHO, session)
    assert later.text == "I do not know your name."
    assert named(later) != session


@pytest.mark.parametrize("moved", [False, True], ids=["removed", "moved"])
async def test_a_file_that_is_taken_away_under_way_is_begun_anew(
    desk: Desk, caplog: pytest.LogCaptureFixture, moved: bool
) -> None:
    """What it held is unknown from then on, and what is kept from then on is there after a restart."""
    await desk.begin()
    session, aside = named(await desk.say(ADA, "new")), desk.file.with_name("aside.db")
    desk.file.rename(aside)
    if not moved:
        aside.unlink()
    with caplog.at_level(logging.WARNING, logger="sfbridge.database"):
        unknown = await desk.say(WHO, session)
    assert unknown.text == "I do not know your name."
    assert "was removed or replaced" in caplog.text
    later = named(await desk.say(ADA, "new"))
    await desk.begin()
    assert (await desk.say(WHO, later)).text == "Your name is Ada."
    assert fault_of(desk.file) == ""


async def test_an_announced_session_outlasts_a_failing_disk(desk: Desk) -> None:
    """What could not be put on disk stays in memory, and the session goes on when the disk is well again."""
    await desk.begin()
    await desk.say("Hello there.", "new")
    session = named(await desk.say(ADA))
    with closing(sqlite3.connect(desk.file)) as disk:
        disk.execute(
            "CREATE TRIGGER full BEFORE INSERT ON turn BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    answer = await desk.say(WHO, session)
    assert answer.headers["x-sfbridge-sessions"] == "unavailable"
    with closing(sqlite3.connect(desk.file)) as disk:
        disk.execute("DROP TRIGGER full")
    assert (await desk.say(WHO, session)).text == "Your name is Ada."


@BOTH
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{}",
        b'{"model":"no-such-model","max_tokens":9,"messages":[{"role":"user","content":"x"}]}',
    ],
)
async def test_refused_requests_name_their_session_too(desk: Desk, wire: str, body: bytes) -> None:
    """A request that cannot be read, or names no model, loses no session."""
    await desk.begin()
    session = named(await desk.say(ADA, "new", wire=wire))
    headers = {"X-Session-ID": session, "Content-Type": "application/json"}
    async with desk.bridge.http.post(
        desk.bridge.url + PATHS[wire], data=body, headers=headers
    ) as answer:
        assert answer.status in (400, 404)
        assert answer.headers["X-Session-ID"] == session
    assert await desk.turns(session) == 1


async def test_pages_of_allowed_origins_may_read_the_id(desk: Desk) -> None:
    """A browser shows a page only the headers that the answer exposes."""
    origin = {"Origin": "http://localhost:3000"}
    await desk.begin(config={"server": {"allowed_origins": tuple(origin.values())}})
    body = body_of("openai", "gpt-4o")
    http: ClientSession = desk.bridge.http
    async with http.post(desk.bridge.url + PATHS["openai"], json=body, headers=origin) as answer:
        assert "X-Session-ID" in answer.headers["Access-Control-Expose-Headers"]
    asked = {**origin, "Access-Control-Request-Headers": "x-session-id"}
    async with http.options(desk.bridge.url + PATHS["openai"], headers=asked) as preflight:
        assert preflight.headers["Access-Control-Allow-Headers"] == "x-session-id"
        assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]
