"""Conversations on disk: sessions, each a tree of whole turns, which belong to the API key that made them.

For whoever keeps conversations (`server/conversations.py` for `X-Session-ID`; any other door may do the same):

    found = await store.history(session, owner)       a session's turns from the first to the latest, or None
    found = await store.history_of(turn, owner)       the turns that led to this one, itself included, or None
    kept  = await store.append(session, owner, turn, after="")          the first turn makes the session
    kept  = await store.append(session, owner, turn, after=last.id)     goes on from any earlier turn: a fork
    await store.forget_turn(turn, owner)              nobody finds it again; what later turns need of it stays

A turn is on disk, also after a power cut, when `append` returns; before, nothing of it is. The latest turn that
was appended is where its session goes on. `owner` is a key's name, empty where no key is needed; what belongs to
somebody else is unknown, and so is what has not been used for `life` seconds. Every call may raise Unavailable. `fault_of` checks a whole file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from sfbridge.core.kept import KeptTurn, pack, unpack

from .database import Database, Unavailable, inspect

MIGRATIONS: Final = (
    (
        """CREATE TABLE session (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            made REAL NOT NULL,
            used REAL NOT NULL,
            latest INTEGER,
            turns INTEGER NOT NULL DEFAULT 0,
            messages INTEGER NOT NULL DEFAULT 0,
            bytes INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID""",
        """CREATE TABLE turn (
            number INTEGER PRIMARY KEY,
            id TEXT UNIQUE,
            session TEXT NOT NULL REFERENCES session ON DELETE CASCADE,
            after INTEGER,
            at REAL NOT NULL,
            model TEXT NOT NULL,
            messages INTEGER NOT NULL,
            body BLOB NOT NULL
        )""",
        "CREATE INDEX turn_session ON turn (session)",
    ),
    (
        "ALTER TABLE turn ADD COLUMN note BLOB NOT NULL DEFAULT x''",
        "CREATE INDEX turn_after ON turn (after)",
        "CREATE INDEX session_used ON session (owner, used)",
    ),
)

_PATH: Final = """
    WITH RECURSIVE path (number, id, after, at, model, body, note) AS (
        SELECT number, id, after, at, model, body, note FROM turn WHERE number = ?
        UNION ALL
        SELECT turn.number, turn.id, turn.after, turn.at, turn.model, turn.body, turn.note
        FROM turn JOIN path ON turn.number = path.after
    )
    SELECT id, at, model, body, note FROM path ORDER BY number
"""
_SUMMARY: Final = """
    SELECT id, made, used, turns, messages, bytes,
        coalesce((SELECT model FROM turn WHERE number = latest), '')
    FROM session
"""
# How the names of turns begin that nobody shall find again.
_FORGOTTEN: Final = "~"


class Limits(Struct, frozen=True, kw_only=True):
    """How much is kept, and for how long.

    life      seconds from a session's last use to its end
    sessions  of one owner; those not used for longest go first
    messages  of one session, and
    bytes     of one session; when either is reached, `is_full` says so, and its turns should be refused
    """

    life: float = 86400.0
    sessions: int = 1000
    messages: int = 2000
    bytes: int = 32 * 1024 * 1024


class Summary(Struct, frozen=True, kw_only=True):
    """One session in numbers. Times are seconds since the epoch; `bytes` counts its turns as they are stored."""

    id: str
    created: float
    last_used: float
    turns: int
    messages: int
    bytes: int
    model: str


class History(Struct, frozen=True, kw_only=True):
    """The turns of one path through a session, the first one first; `summary` counts all of the session."""

    summary: Summary
    turns: tuple[KeptTurn, ...]


def fault_of(path: Path) -> str:
    """What is wrong with the store at `path`, in words; empty for a sound one and for none. It blocks: see `inspect`."""
    return inspect(path, len(MIGRATIONS))


class Sessions:
    """The store. `wall` gives seconds since the epoch."""

    def __init__(self, database: Database, limits: Limits, wall: Callable[[], float]) -> None:
        self._database = database
        self._limits = limits
        self._wall = wall

    @property
    def problem(self) -> str:
        """Why nothing can be kept now; empty as long as nothing went wrong."""
        return self._database.problem

    @property
    def life(self) -> float:
        """Seconds from a session's last use to its end."""
        return self._limits.life

    def is_full(self, summary: Summary) -> bool:
        """Whether the session has reached its limits."""
        limits = self._limits
        return summary.messages >= limits.messages or summary.bytes >= limits.bytes

    async def knows(self, session: str, owner: str) -> bool:
        """Whether there is such a session now; it is not used by asking."""
        sql = "SELECT 1 FROM session WHERE id = ? AND owner = ? AND used >= ?"
        given = (session, owner, self._oldest())
        return await self._database.read(
            lambda db: db.execute(sql, given).fetchone() is not None, False
        )

    async def history(self, session: str, owner: str) -> History | None:
        """All that was said up to the latest turn; it counts as a use of the session."""

        def find(db: sqlite3.Connection) -> History | None:
            row = self._latest(db, session, owner)
            return self._used(db, session, row[0]) if row else None

        return await self._database.change(find, None)

    async def look(self, session: str, owner: str) -> History | None:
        """The same, without using the session."""

        def find(db: sqlite3.Connection) -> History | None:
            row = self._latest(db, session, owner)
            return _path(db, session, row[0]) if row else None

        return await self._database.read(find, None)

    async def history_of(self, turn: str, owner: str) -> History | None:
        """All that was said up to and including this turn; it counts as a use of its session."""

        def find(db: sqlite3.Connection) -> History | None:
            row = self._turn(db, turn, owner)
            return self._used(db, row[1], row[0]) if row else None

        return await self._database.change(find, None)

    async def append(self, session: str, owner: str, turn: KeptTurn, *, after: str) -> bool:
        """Keep a turn that follows the turn `after`; empty: the first of a new session.

        False where that turn or its session is gone, or where the new session exists: then nothing was kept.
        Raises ValueError when a turn of that id is kept already.
        """

        def add(db: sqlite3.Connection) -> bool:
            if after:
                sql = "SELECT number FROM turn JOIN session ON session.id = session WHERE turn.id = ? AND session = ? AND owner = ?"
                row = db.execute(sql, (after, session, owner)).fetchone()
                if row is None:
                    return False
                self._add(db, session, turn, row[0])
            else:
                if not self._begin(db, session, owner):
                    return False
                self._add(db, session, turn, None)
            return True

        return await self._database.write(add)

    async def sessions(self, owner: str, most: int) -> tuple[Summary, ...]:
        """The owner's sessions, the one used last first."""
        sql, given = (
            f"{_SUMMARY} WHERE owner = ? AND used >= ? ORDER BY used DESC LIMIT ?",
            (owner, self._oldest(), most),
        )
        return await self._database.read(
            lambda db: tuple(map(_summary, db.execute(sql, given))), ()
        )

    async def forget(self, session: str, owner: str) -> bool:
        """Delete one session with all its turns; False where there was none."""
        return bool(await self._delete("id = ? AND owner = ?", session, owner))

    async def forget_all(self, owner: str) -> int:
        """Delete all sessions of one owner; how many there were."""
        return await self._delete("owner = ?", owner)

    async def expire(self) -> int:
        """Delete what has not been used for too long, whoever owns it; how many sessions that were."""
        return await self._delete("used < ?", self._oldest())

    async def forget_turn(self, turn: str, owner: str) -> bool:
        """Make a turn unknown; False where it was. What it said goes when no other turn goes on from it."""

        def drop(db: sqlite3.Connection) -> bool:
            row = self._turn(db, turn, owner)
            if row is None:
                return False
            db.execute(
                "UPDATE turn SET id = ? || number, note = x'' WHERE number = ?",
                (_FORGOTTEN, row[0]),
            )
            _cut(db, *row)
            return True

        if found := await self._database.change(drop, False):
            await self._database.tidy()
        return found

    # ---- on the database's thread

    def _oldest(self) -> float:
        """Sessions that were last used before this moment have ended."""
        return self._wall() - self._limits.life

    def _turn(self, db: sqlite3.Connection, turn: str, owner: str) -> tuple[int, str] | None:
        """Number and session of a turn that can be asked for."""
        if turn.startswith(_FORGOTTEN):
            return None
        row: tuple[int, str] | None = db.execute(
            """SELECT number, session FROM turn JOIN session ON session.id = session
                WHERE turn.id = ? AND owner = ? AND used >= ?""",
            (turn, owner, self._oldest()),
        ).fetchone()
        return row

    def _latest(self, db: sqlite3.Connection, session: str, owner: str) -> tuple[int] | None:
        row: tuple[int] | None = db.execute(
            "SELECT latest FROM session WHERE id = ? AND owner = ? AND used >= ?",
            (session, owner, self._oldest()),
        ).fetchone()
        return row

    def _used(self, db: sqlite3.Connection, session: str, number: int) -> History:
        db.execute("UPDATE session SET used = ? WHERE id = ?", (self._wall(), session))
        return _path(db, session, number)

    def _begin(self, db: sqlite3.Connection, session: str, owner: str) -> bool:
        """Make room for a new session, and make it."""
        now = self._wall()
        made = db.execute(
            "INSERT OR IGNORE INTO session (id, owner, made, used) VALUES (?, ?, ?, ?)",
            (session, owner, now, now),
        )
        if made.rowcount:
            db.execute(
                """DELETE FROM session WHERE id IN
                    (SELECT id FROM session WHERE owner = ? AND id <> ? ORDER BY used DESC LIMIT -1 OFFSET ?)""",
                (owner, session, self._limits.sessions - 1),
            )
        return bool(made.rowcount)

    def _add(self, db: sqlite3.Connection, session: str, turn: KeptTurn, after: int | None) -> None:
        body, count = pack(turn), len(turn.messages)
        try:
            added = db.execute(
                """INSERT INTO turn (id, session, after, at, model, messages, body, note)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
                (turn.id, session, after, turn.at, turn.model, count, body, turn.note),
            )
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise
            raise ValueError(f"the turn {turn.id!r} is kept already") from None
        db.execute(
            """UPDATE session SET latest = ?, used = ?, turns = turns + 1, messages = messages + ?,
                bytes = bytes + ? WHERE id = ?""",
            (added.lastrowid, self._wall(), count, len(body) + len(turn.note), session),
        )

    async def _delete(self, which: str, *given: str | float) -> int:
        sql = f"DELETE FROM session WHERE {which}"
        gone = await self._database.change(lambda db: db.execute(sql, given).rowcount, 0)
        if gone:
            await self._database.tidy()
        return gone


def _path(db: sqlite3.Connection, session: str, number: int) -> History:
    row = db.execute(f"{_SUMMARY} WHERE session.id = ?", (session,)).fetchone()
    turns = tuple([_kept(found) for found in db.execute(_PATH, (number,))])
    return History(summary=_summary(row), turns=turns)


def _cut(db: sqlite3.Connection, number: int, session: str) -> None:
    """Delete a forgotten turn that nothing follows, and those before it for which the same holds now."""
    place: int | None = number
    while place is not None:
        row = db.execute(
            """SELECT after, messages, length(body) FROM turn
                WHERE number = ?1 AND id LIKE ?2 AND NOT EXISTS (SELECT 1 FROM turn WHERE after = ?1)""",
            (place, f"{_FORGOTTEN}%"),
        ).fetchone()
        if row is None:
            break
        after, messages, size = row
        db.execute("DELETE FROM turn WHERE number = ?", (place,))
        db.execute(
            """UPDATE session SET turns = turns - 1, messages = messages - ?, bytes = bytes - ?,
                latest = CASE latest WHEN ? THEN ? ELSE latest END WHERE id = ?""",
            (messages, size, place, after, session),
        )
        place = after
    # what was the latest turn may have been the last one of a fork
    db.execute(
        """UPDATE session SET latest = (SELECT max(number) FROM turn WHERE session = session.id)
            WHERE id = ? AND latest IS NULL""",
        (session,),
    )
    db.execute("DELETE FROM session WHERE id = ? AND latest IS NULL", (session,))


def _summary(row: tuple[str, float, float, int, int, int, str]) -> Summary:
    session, made, used, turns, messages, size, model = row
    return Summary(
        id=session,
        created=made,
        last_used=used,
        turns=turns,
        messages=messages,
        bytes=size,
        model=model,
    )


def _kept(row: tuple[str, float, str, bytes, bytes]) -> KeptTurn:
    turn, at, model, body, note = row
    try:
        messages, system = unpack(body)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"the turn {turn} cannot be read ({error})") from None
    return KeptTurn(id=turn, at=at, model=model, messages=messages, system=system, note=note)
