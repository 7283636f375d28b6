"""One SQLite file and the one thread that touches it: opened when first needed, brought up to date, checked.

Apart from what is kept in it (`sessions.py`), so that nothing there has to know of threads, versions and damage.
The version is the file's own `user_version`, whose change belongs to the transaction that migrates; a table could
be forgotten by it. `application_id` tells our files from anybody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

T = TypeVar("T")
Migrations = Sequence[Sequence[str]]

_log = logging.getLogger("sfbridge.database")

# "sfbr" in ASCII
APPLICATION: Final = 0x73666272
# Seconds that a write waits for another process on the same file.
_BUSY_SECONDS: Final = 5.0
# Seconds for which a file that could not be used is left alone.
_SULK_SECONDS: Final = 30.0
_AS_IS: Final = "Move it away to begin anew, or name another in sessions.path."


class Unavailable(Exception):
    """The database cannot be used; the message says why and what to do."""


class Database:
    """Runs functions of a connection, one after the other, off the event loop.

    path        the file; it and its folder are made when something has to be written
    migrations  statements of each; the file's version is how many of them it has seen
    now         monotonic seconds
    """

    def __init__(self, path: Path, migrations: Migrations, now: Callable[[], float]) -> None:
        self.path = path
        self.problem = ""
        self._migrations = migrations
        self._now = now
        self._sulks_until = 0.0
        self._used = False
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sfbridge-database")

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._used:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    async def read(self, work: Callable[[sqlite3.Connection], T], absent: T) -> T:
        """What `work` finds; `absent` where there is no file yet, and then none is made. Raises Unavailable."""
        return await self._run(work, (absent,))

    async def change(self, work: Callable[[sqlite3.Connection], T], absent: T) -> T:
        """As `write`, but where there is no file yet, `absent`, and none is made."""
        return await self._run(lambda connection: _whole(connection, work), (absent,))

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, after its one transaction is on disk. Raises Unavailable; then nothing has changed.

        When the caller is cancelled, the transaction has either not begun or is finished behind its back.
        """
        return await self._run(lambda connection: _whole(connection, work), ())

    async def tidy(self) -> None:
        """Give the room of what was deleted back to the disk."""
        await self._run(_tidy, (None,))

    async def _run(self, work: Callable[[sqlite3.Connection], T], absent: tuple[T, ...]) -> T:
        self._used = True
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._work, work, absent)

    # ---- on the thread

    def _work(self, work: Callable[[sqlite3.Connection], T], absent: tuple[T, ...]) -> T:
        if self.problem and self._now() < self._sulks_until:
            raise Unavailable(self.problem)
        try:
            if self._connection is not None and _identity(self.path) != self._opened:
                # else all would go to a file that nobody finds again
                _log.warning("%s was removed or replaced; what is there now is used", self.path)
                self._close()
            if self._connection is None:
                if absent and not self.path.exists():
                    return absent[0]
                self._connection = _opened(self.path, self._migrations)
                self._opened = _identity(self.path)
            found = work(self._connection)
        except (sqlite3.Error, OSError, Unavailable) as error:
            raise self._failed(error) from None
        self.problem = ""
        return found

    def _failed(self, error: Exception) -> Unavailable:
        """The error in words. What will not pass by itself is remembered; a busy file or a full disk may."""
        told = isinstance(error, Unavailable)
        problem = str(error) if told else f"{self.path}: {error}. {_advice(error)}".rstrip()
        damaged = type(error) is sqlite3.DatabaseError
        if damaged or (
            self._connection is None and not isinstance(error, sqlite3.OperationalError)
        ):
            self._sulks_until = self._now() + _SULK_SECONDS
            self._close()
        if problem != self.problem:
            _log.warning("the database cannot be used: %s", problem)
        self.problem = problem
        return Unavailable(problem)

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is at `path`; None for none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _whole(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    with _transaction(connection):
        return work(connection)


def _tidy(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA incremental_vacuum").fetchall()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _opened(path: Path, migrations: Migrations) -> sqlite3.Connection:
    """A connection to a file of the newest version, which only its owner can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    with contextlib.ExitStack() as undo:
        undo.callback(connection.close)
        _bring_up_to_date(connection, path, migrations)
        undo.pop_all()
    return connection


def _bring_up_to_date(connection: sqlite3.Connection, path: Path, migrations: Migrations) -> None:
    if refusal := _refusal(connection, path, len(migrations)):
        raise Unavailable(refusal)
    if not _number(connection, "application_id"):
        # holds only before the first table; freed pages can then be given back
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    # a commit survives a power cut, not only a killed process
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # what was deleted is gone from the file, too
    connection.execute("PRAGMA secure_delete = ON")
    with _transaction(connection):
        # asked again within the transaction: another process may have been here
        version = _number(connection, "user_version")
        for number, script in enumerate(migrations[version:], version + 1):
            for statement in script:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")


def _refusal(connection: sqlite3.Connection, path: Path, newest: int) -> str:
    """Why a file is not to be touched; empty when it may be."""
    application, version = (
        _number(connection, "application_id"),
        _number(connection, "user_version"),
    )
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION and (application or version or tables):
        return f"{path}: this database belongs to another program. {_AS_IS}"
    if version > newest:
        return (
            f"{path}: it was written by a newer sfbridge (version {version}; this one knows {newest}). "
            f"Update sfbridge. {_AS_IS}"
        )
    return ""


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _advice(error: Exception) -> str:
    return "" if isinstance(error, OSError | sqlite3.OperationalError) else _AS_IS


def inspect(path: Path, newest: int) -> str:
    """What is wrong with the file at `path`, in words; empty for a sound one and for none at all.

    Reads all of it (`PRAGMA integrity_check`) and changes nothing; it blocks, so it is not for the event loop.
    """
    if not path.exists():
        return ""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS
        )
        with contextlib.closing(connection):
            if refusal := _refusal(connection, path, newest):
                return refusal
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    except sqlite3.Error as error:
        return f"{path}: {error}. {_advice(error)}".rstrip()
    return "" if found == ["ok"] else f"{path}: {'; '.join(found)}. {_AS_IS}"
