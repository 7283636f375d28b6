"""Where the process of an instance comes from: started by us in a workdir of its own, or run by an IDE already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from .discovery import find_binary, read_info
from .process import Child, end_orphan, environment, free_ports
from .settings import Settings
from .workdir import WORKSPACE, WorkdirError, forget, locked, prepare


class Absent(Exception):
    """There is nothing that could be started; trying again does not help."""


class Place(Protocol):
    """A process to connect to.

    managed    it is ours: it is started, restarted and ended here
    workspace  the folder that the process may look into
    """

    managed: bool
    workspace: str

    async def begin(self) -> None:
        """Start it, or find it. Raises Absent for good, OSError for now, InUse while others have it."""

    def port(self) -> int:
        """Where it listens; 0 while that is not known."""

    def alive(self) -> bool: ...

    async def ended(self) -> None:
        """Return when it is gone."""

    async def end(self) -> None:
        """Nothing of it is left when this returns."""

    def close(self) -> None:
        """Let others have the workdir."""


class Own:
    """A process of ours."""

    managed = True

    def __init__(
        self,
        settings: Settings,
        source: Path,
        workdir: Path,
        environ: Mapping[str, str],
        wall: Callable[[], float],
    ) -> None:
        self.workspace = str(workdir / WORKSPACE)
        self._settings = settings
        self._source = source
        self._workdir = workdir
        self._env = environment(environ, settings.environment)
        self._wall = wall
        self._stack = ExitStack()
        self._locked = False
        self._child: Child | None = None
        self._port = 0

    async def begin(self) -> None:
        try:
            if not self._locked:
                self._stack.enter_context(locked(self._workdir))
                self._locked = True
                await end_orphan(self._workdir)
            reseed = self._settings.reseed and self._child is None
            await asyncio.to_thread(prepare, self._source, self._workdir, reseed=reseed)
        except WorkdirError as error:
            raise Absent(str(error)) from None
        binary = find_binary(self._settings.binary, (self._source, self._workdir))
        if binary is None:
            where = self._settings.binary or f"{self._source / 'bin'} and {self._workdir / 'bin'}"
            raise Absent(f"no Lingma executable was found in {where}; nothing is downloaded")
        self._port, http = free_ports()
        command = [str(binary), "start", "--workDir", str(self._workdir)]
        command += ["--socketPort", str(self._port), "--httpPort", str(http)]
        if self._settings.endpoint:
            command += ["--endpoint", self._settings.endpoint]
        self._child = await Child.start(command, self._workdir, self._env, self._wall())

    def port(self) -> int:
        """As the process says; until it says so, the port that it was given."""
        info = read_info(self._workdir)
        return info.port if info is not None else self._port

    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    async def ended(self) -> None:
        if self._child is not None:
            await self._child.ended()

    async def end(self) -> None:
        if self._child is not None:
            await self._child.stop(self._settings.stop_timeout)
            forget(self._workdir)

    def close(self) -> None:
        """Let others have the workdir."""
        self._stack.close()
        self._locked = False


class Attached:
    """Somebody else's process: never started, never ended, nothing of it removed."""

    managed = False

    def __init__(self, settings: Settings) -> None:
        self.workspace = ""
        self._given = settings.port
        self._folder = Path(settings.source).expanduser()

    async def begin(self) -> None:
        pass

    def port(self) -> int:
        if self._given:
            return self._given
        info = read_info(self._folder)
        return info.port if info is not None else 0

    def alive(self) -> bool:
        return True

    async def ended(self) -> None:
        await asyncio.Event().wait()

    async def end(self) -> None:
        pass

    def close(self) -> None:
        pass
