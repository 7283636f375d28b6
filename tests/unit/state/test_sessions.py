"""The store of conversations, on a real file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sfbridge.core.kept import KeptTurn
from sfbridge.core.request import Message, TextPart, ToolCall, ToolResult
from sfbridge.state.database import APPLICATION, Database, Unavailable, inspect
from sfbridge.state.sessions import MIGRATIONS, History, Limits, Sessions


def turn(name: str, said: str = "hello", **more: Any) -> KeptTurn:
    messages = (Message("user", (TextPart(said),)), Message("assistant", (TextPart(f"re {said}"),)))
    return KeptTurn(**{"id": name, "at": 1.0, "model": "m", "messages": messages, **more})


def names(found: History | None) -> list[str]:
    assert found is not None
    return [kept.id for kept in found.turns]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sessions.db"


@pytest.fixture
async def database(path: Path, clock: Any) -> AsyncIterator[Database]:
    async with Database(path, MIGRATIONS, clock.now) as found:
        yield found


@pytest.fixture
def store(database: Database, clock: Any) -> Sessions:
    return Sessions(database, Limits(life=100, sessions=3, messages=6), clock.wall)


async def test_a_conversation_comes_back_whole(store: Sessions) -> None:
    """Turns come back in their order with calls, results, system prompt and note."""
    call = Message("assistant", (ToolCall("c1", "f", '{"a":1}'),))
    result = Message("user", (ToolResult("c1", (TextPart("42"),)),))
    first = turn("t1", messages=(call, result), system=(TextPart("be kind"),), note=b"{}")
    assert await store.append("s", "me", first, after="")
    assert await store.append("s", "me", turn("t2"), after="t1")
    found = await store.history("s", "me")
    assert found is not None
    assert found.turns == (first, turn("t2"))
    assert (found.summary.turns, found.summary.messages, found.summary.model) == (2, 4, "m")


async def test_a_fork_goes_on_from_any_turn(store: Sessions) -> None:
    """Two turns may follow the same one; each has its own past, and the session goes on where it was last added to."""
    await store.append("s", "", turn("t1"), after="")
    await store.append("s", "", turn("t2"), after="t1")
    await store.append("s", "", turn("t3"), after="t1")
    assert names(await store.history("s", "")) == ["t1", "t3"]
    assert names(await store.history_of("t2", "")) == ["t1", "t2"]


async def test_nothing_is_made_before_something_is_kept(store: Sessions, path: Path) -> None:
    """Asking and deleting make no file."""
    assert await store.history("s", "") is None
    assert await store.sessions("", 10) == ()
    assert not await store.forget("s", "")
    assert await store.expire() == 0
    assert not path.parent.exists()
    await store.append("s", "", turn("t1"), after="")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name("sessions.db-wal").stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_what_belongs_to_somebody_else_is_unknown(store: Sessions) -> None:
    """Another key can neither read, continue, list nor delete a session."""
    await store.append("s", "me", turn("t1"), after="")
    assert not await store.knows("s", "you")
    assert await store.history("s", "you") is None
    assert await store.history_of("t1", "you") is None
    assert not await store.append("s", "you", turn("t2"), after="t1")
    assert not await store.append("s", "you", turn("t2"), after="")
    assert not await store.forget("s", "you")
    assert not await store.forget_turn("t1", "you")
    assert await store.forget_all("you") == 0
    assert await store.sessions("you", 10) == ()
    assert names(await store.history("s", "me")) == ["t1"]


async def test_a_session_ends_after_its_life(store: Sessions, clock: Any, path: Path) -> None:
    """Life counts from the last use, reading included; ended sessions are unknown at once and deleted by `expire`."""
    await store.append("s", "", turn("t1", "secret words"), after="")
    await clock.advance(99)
    assert await store.history("s", "")
    await clock.advance(99)
    assert await store.expire() == 0
    assert await store.knows("s", "")
    await clock.advance(2)
    assert not await store.knows("s", "")
    assert await store.history("s", "") is None
    assert await store.history_of("t1", "") is None
    assert b"secret words" in path.read_bytes() + path.with_name("sessions.db-wal").read_bytes()
    assert await store.expire() == 1
    assert b"secret words" not in path.read_bytes() + path.with_name("sessions.db-wal").read_bytes()


async def test_the_sessions_not_used_for_longest_make_room(store: Sessions, clock: Any) -> None:
    """One key has a bounded number of sessions; another key's are not counted."""
    await store.append("other", "you", turn("o"), after="")
    for number in range(5):
        await clock.advance(1)
        await store.append(f"s{number}", "me", turn(f"t{number}"), after="")
    assert [found.id for found in await store.sessions("me", 10)] == ["s4", "s3", "s2"]
    assert await store.knows("other", "you")


async def test_a_full_session_says_so(store: Sessions) -> None:
    """Messages of all turns count towards the limit."""
    before = ""
    for number in range(3):
        found = await store.history("s", "")
        assert found is None or not store.is_full(found.summary)
        await store.append("s", "", turn(f"t{number}"), after=before)
        before = f"t{number}"
    found = await store.history("s", "")
    assert found is not None
    assert store.is_full(found.summary)


async def test_a_forgotten_turn_is_unknown_but_its_followers_are_not(store: Sessions) -> None:
    """What later turns need stays until the last of them goes; then all of it goes."""
    await store.append("s", "", turn("t1"), after="")
    await store.append("s", "", turn("t2", note=b"n"), after="t1")
    await store.append("s", "", turn("t3"), after="t2")
    assert await store.forget_turn("t2", "")
    assert await store.history_of("t2", "") is None
    assert await store.history_of("~2", "") is None
    found = await store.history_of("t3", "")
    assert found is not None
    assert [len(kept.messages) for kept in found.turns] == [2, 2, 2]
    assert found.turns[1].note == b""
    assert not await store.append("s", "", turn("t4"), after="t2")
    assert await store.forget_turn("t3", "")
    assert names(await store.history("s", "")) == ["t1"]
    assert await store.forget_turn("t1", "")
    assert not await store.knows("s", "")


async def test_a_fork_remains_when_the_latest_turn_is_forgotten(store: Sessions) -> None:
    """The session goes on from what is left."""
    await store.append("s", "", turn("t1"), after="")
    await store.append("s", "", turn("t2"), after="t1")
    await store.append("s", "", turn("t3"), after="t1")
    assert await store.forget_turn("t1", "")
    assert await store.forget_turn("t3", "")
    found = await store.history("s", "")
    assert found is not None
    assert len(found.turns) == 1
    assert names(await store.history_of("t2", "")) == ["~1", "t2"]


async def test_a_turn_is_kept_once(store: Sessions) -> None:
    """An id that is taken is refused and changes nothing."""
    await store.append("s", "", turn("t1"), after="")
    with pytest.raises(ValueError, match="t1"):
        await store.append("s", "", turn("t1", "again"), after="t1")
    found = await store.history("s", "")
    assert found is not None
    assert found.turns == (turn("t1"),)
    assert found.summary.turns == 1


async def test_many_at_once_are_all_kept(database: Database, clock: Any, path: Path) -> None:
    """200 parallel new sessions are 200 sessions, and the file is sound."""
    store = Sessions(database, Limits(), clock.wall)
    done = await asyncio.gather(
        *(store.append(f"s{n}", "", turn(f"t{n}"), after="") for n in range(200))
    )
    assert all(done)
    assert len(await store.sessions("", 1000)) == 200
    assert inspect(path, len(MIGRATIONS)) == ""


async def test_an_older_file_is_brought_up_to_date(store: Sessions, path: Path) -> None:
    """What the first version kept is there after the change to this one."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as old:
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        old.execute(f"PRAGMA application_id = {APPLICATION}")
        old.execute("PRAGMA user_version = 1")
        old.execute(
            """INSERT INTO session (id, owner, made, used, latest, turns, messages, bytes)
                VALUES ('s', '', 1, 1700001000, 1, 1, 1, 60)"""
        )
        body = (
            b'{"messages":[{"role":"user","parts":[["text",{"text":"I am Ada","cache":false}]]}]}'
        )
        old.execute("INSERT INTO turn VALUES (1, 't1', 's', NULL, 1, 'm', 1, ?)", (body,))
        old.commit()
    found = await store.history("s", "")
    assert found is not None
    assert found.turns[0].messages == (Message("user", (TextPart("I am Ada"),)),)
    assert await store.append("s", "", turn("t2", note=b"n"), after="t1")
    with closing(sqlite3.connect(path)) as now:
        assert now.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"PRAGMA application_id = {APPLICATION}")
        file.execute("PRAGMA user_version = 99")


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE recipes (name)")
        file.commit()


def nonsense(path: Path) -> None:
    path.write_bytes(b"this is no database at all. " * 200)


@pytest.mark.parametrize(
    ("make", "words"),
    [(newer, "newer sfbridge (version 99"), (foreign, "another program"), (nonsense, "not a database")],
)  # fmt: skip
async def test_a_file_that_is_not_ours_is_left_as_it_is(
    store: Sessions, path: Path, make: Any, words: str, clock: Any
) -> None:
    """Newer, foreign and broken files are refused with what to do, and no byte of them changes."""
    path.parent.mkdir()
    make(path)
    before = path.read_bytes()
    with pytest.raises(Unavailable, match=r"sessions\.path") as refused:
        await store.append("s", "", turn("t1"), after="")
    assert words in str(refused.value)
    assert words in store.problem
    assert words in inspect(path, len(MIGRATIONS))
    assert path.read_bytes() == before
    path.unlink()
    with pytest.raises(Unavailable):  # it is not tried again at every request
        await store.append("s", "", turn("t1"), after="")
    await clock.advance(31)
    assert await store.append("s", "", turn("t1"), after="")
    assert store.problem == ""


async def test_damage_within_the_file_is_told(
    store: Sessions, database: Database, path: Path
) -> None:
    """A page that was overwritten is found by the inspection, and reading it fails in words."""
    for number in range(3):
        await store.append(f"s{number}", "", turn(f"t{number}", "x" * 20_000), after="")
    await database.tidy()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * len(data[4096:])
    path.write_bytes(data)
    assert "sessions.path" in inspect(path, len(MIGRATIONS))
    async with Database(path, MIGRATIONS, lambda: 0.0) as again:
        with pytest.raises(Unavailable, match=str(path)):
            await Sessions(again, Limits(), lambda: 0.0).history("s1", "")


async def test_a_body_that_cannot_be_read_is_told(store: Sessions, path: Path) -> None:
    """A damaged turn is a failure, not a shorter conversation."""
    await store.append("s", "", turn("t1"), after="")
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE turn SET body = '{'")
        file.commit()
    with pytest.raises(Unavailable, match="t1"):
        await store.history("s", "")


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, clock: Any) -> None:
    """A path below a file is refused in words."""
    (tmp_path / "file").touch()
    async with Database(tmp_path / "file" / "s.db", MIGRATIONS, clock.now) as database:
        with pytest.raises(Unavailable, match=r"s\.db"):
            await Sessions(database, Limits(), clock.wall).append("s", "", turn("t1"), after="")


def test_no_file_is_a_sound_file(tmp_path: Path) -> None:
    """The inspection makes nothing."""
    assert inspect(tmp_path / "absent.db", len(MIGRATIONS)) == ""
    assert list(tmp_path.iterdir()) == []
