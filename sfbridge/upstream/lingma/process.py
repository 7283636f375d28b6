"""One process of ours: started in a group of its own, drained, and ended for certain within a deadline.

Only processes that this file started are ever signalled, told by their pid and their command line, never by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from .discovery import read_info

_PASSED: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "SystemRoot", "TEMP", "TMP",
)  # fmt: skip
_LOOPBACK: Final = "127.0.0.1,localhost"
_READ: Final = 64 * 1024
_PID_FILE: Final = ".sfbridge-pid"
_POLL_SECONDS: Final = 0.05
_KILL_SECONDS: Final = 5.0


def environment(given: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """What the process may see: what programs need, and what the configuration names. Never our own keys."""
    found = {name: given[name] for name in (*_PASSED, *names) if name in given}
    passing = [part for part in found.get("NO_PROXY", "").split(",") if part]
    return {**found, "NO_PROXY": ",".join([_LOOPBACK, *passing])}


def free_ports() -> tuple[int, int]:
    """Two ports of this machine that nobody uses at this moment."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


class Child:
    """A started process. Where it moved on to another one of our workdir, that one is meant."""

    def __init__(self, process: asyncio.subprocess.Process, workdir: Path, began: float) -> None:
        self._process = process
        self._workdir = workdir
        self._began = began
        self._drains = [
            asyncio.create_task(_drain(stream), name="lingma output")
            for stream in (process.stdout, process.stderr)
            if stream is not None
        ]
        self._successor = 0

    @classmethod
    async def start(
        cls, command: Sequence[str], workdir: Path, env: Mapping[str, str], wall: float
    ) -> Child:
        """Raises OSError. `wall` is epoch seconds, by which files of an earlier process are told."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=workdir,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        child = cls(process, workdir, wall)
        child._note(process.pid)
        return child

    @property
    def alive(self) -> bool:
        if self._process.returncode is None:
            return True
        if not self._successor:
            self._successor = self._find_successor()
            if self._successor:
                self._note(self._successor)
        return bool(self._successor) and _is_ours(self._successor, self._workdir)

    @property
    def pid(self) -> int:
        return self._successor or self._process.pid

    async def ended(self) -> None:
        """Return when the process, and the one that it moved on to, are gone."""
        await self._process.wait()
        # nobody tells of the end of a process that is not our child
        while self.alive:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self, seconds: float) -> None:
        """End the whole group: asked first, forced after `seconds`. Returns when nothing of it is left."""
        pid = self.pid if self.alive else 0
        for how, patience in ((signal.SIGTERM, seconds), (_KILL, _KILL_SECONDS)):
            _signal(self._process.pid, how, group=True)
            if pid and pid != self._process.pid and _is_ours(pid, self._workdir):
                _signal(pid, how, group=False)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self.ended()
                    break
        _signal(self._process.pid, _KILL, group=True)  # what the process itself had started
        for task in self._drains:
            task.cancel()
        await asyncio.gather(*self._drains, return_exceptions=True)
        (self._workdir / _PID_FILE).unlink(missing_ok=True)

    def _find_successor(self) -> int:
        """The process that ours handed over to: it wrote into our workdir after our start, and says so itself."""
        info = read_info(self._workdir)
        if info is None or info.written < self._began - 1 or info.pid <= 1:
            return 0
        return info.pid if _is_ours(info.pid, self._workdir) else 0

    def _note(self, pid: int) -> None:
        (self._workdir / _PID_FILE).write_text(str(pid), encoding="utf-8")


async def end_orphan(workdir: Path) -> None:
    """End the process that an sfbridge which was killed has left behind in this workdir, if it is still that one."""
    note = workdir / _PID_FILE
    try:
        pid = int(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for how in (signal.SIGTERM, _KILL):
        if not _is_ours(pid, workdir):
            break
        _signal(pid, how, group=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                while _is_ours(pid, workdir):  # noqa: ASYNC110  as above
                    await asyncio.sleep(_POLL_SECONDS)
    note.unlink(missing_ok=True)


_KILL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)


def _is_ours(pid: int, workdir: Path) -> bool:
    """Whether the process runs and its command line names our workdir; where that cannot be seen, it is not ours."""
    folder = Path("/proc") / str(pid)
    try:
        if folder.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        return os.fsencode(workdir) in folder.joinpath("cmdline").read_bytes()
    except (OSError, IndexError):
        return False


def _signal(pid: int, how: int, *, group: bool) -> None:
    if pid <= 1:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if group and sys.platform != "win32":
            os.killpg(pid, how)
        else:
            os.kill(pid, how)


async def _drain(stream: asyncio.StreamReader) -> None:
    """Read a process' output away: it may hold anything, and unread it would stop the process."""
    while await stream.read(_READ):
        pass
