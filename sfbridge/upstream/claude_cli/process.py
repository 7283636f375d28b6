"""One child process: started in a group of its own, its stderr drained, ended with a deadline for each step.

An open pipe that nobody reads or closes is what makes this command hang, so every pipe has one owner here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from sfbridge.core.errors import GatewayError

_READ: Final = 64 * 1024
# The end of stderr, for the log.
_TAIL: Final = 8 * 1024
# What a process gets to end by itself once its stdin is closed.
_GRACE: Final = 1.0


class Child:
    """A running process. Whoever starts one must `end` it."""

    def __init__(self, process: Process, stop_seconds: float) -> None:
        self._process = process
        self._stop = stop_seconds
        self._said = bytearray()
        self._drained = asyncio.create_task(self._drain(), name=f"stderr of {process.pid}")

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stop_seconds: float,
        tied: Sequence[str] = (),
    ) -> Child:
        """`tied` is what `tie` found. Raises GatewayError when it cannot be started."""
        found = shutil.which(argv[0], path=env.get("PATH")) if tied else None
        try:
            process = await asyncio.create_subprocess_exec(
                *((*tied, found, *argv[1:]) if found else argv),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise unstartable(argv[0], cwd, error) from None
        return cls(process, stop_seconds)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.returncode

    @property
    def said(self) -> str:
        """The end of what it wrote to stderr."""
        return self._said.decode("utf-8", "replace").strip()

    async def read(self, seconds: float) -> bytes:
        """What the next read of stdout brings; empty at its end. Raises TimeoutError after so much silence."""
        assert self._process.stdout is not None
        async with asyncio.timeout(seconds):
            return await self._process.stdout.read(_READ)

    async def write(self, lines: Iterable[bytes], seconds: float) -> None:
        """Lines to its stdin. A process that is gone says so when it is read; TimeoutError from one that takes
        nothing in for so long."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            async with asyncio.timeout(seconds):
                stdin.writelines(lines)
                await stdin.drain()
        except ConnectionError:
            pass

    async def gone(self, seconds: float) -> None:
        """Wait a moment for the exit code of a process whose stdout has ended, and for its last words."""
        await self._within(seconds)
        await asyncio.wait([self._drained], timeout=seconds)

    def terminate(self) -> None:
        """Ask the group to end, now; `end` sees to it that it does."""
        self._signal(signal.SIGTERM)

    async def end(self, *, at_once: bool = False) -> None:
        """Close its stdin, then TERM, then KILL, each with its deadline; nothing of its group is left.

        at_once  begin with TERM and leave stdin open until it is gone: at the end of its input, a process in
                 mid-turn finishes that turn first (measured), and somebody pays for it
        """
        stdin = self._process.stdin
        assert stdin is not None
        try:
            if not at_once:
                stdin.close()
            if at_once or not await self._within(_GRACE):
                self._signal(signal.SIGTERM)
                await self._within(self._stop)
        finally:
            # also when the leader is gone: what it started may have stayed behind
            self._signal(signal.SIGKILL)
            stdin.close()
        await self._process.wait()
        await asyncio.wait([self._drained], timeout=_GRACE)
        self._drained.cancel()

    async def _within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _drain(self) -> None:
        assert self._process.stderr is not None
        while part := await self._process.stderr.read(_READ):
            self._said += part
            del self._said[:-_TAIL]


async def tie() -> tuple[str, ...]:
    """What stands before a command that the kernel shall end together with this process, however that ends: setpriv of
    util-linux (2.33 and later), where it is there and can. Else nothing; a process in mid-turn may then outlive a
    `kill -9` of the server until its turn is done."""
    path = shutil.which("setpriv")
    if path is None:
        return ()
    line = (path, "--pdeathsig", "KILL", "--")
    try:
        trial = await asyncio.create_subprocess_exec(
            *line, "true", stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
        )
    except OSError:
        return ()
    return line if await trial.wait() == 0 else ()


async def output_of(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, seconds: float
) -> str:
    """What a short run prints. Raises GatewayError when it cannot be started, fails or takes too long."""
    child = await Child.start(argv, env=env, cwd=cwd, stop_seconds=_GRACE)
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(seconds):
            while part := await child.read(seconds):
                parts.append(part)
            await child.gone(seconds)
    except TimeoutError:
        pass
    finally:
        await child.end(at_once=True)
    if child.code:
        raise GatewayError(
            "upstream_failed",
            f"{argv[0]} does not work: it ended with exit code {child.code}.",
            code="cli_broken",
            retriable=False,
            detail=child.said,
        )
    return b"".join(parts).decode("utf-8", "replace")


def unstartable(command: str, cwd: Path, error: OSError) -> GatewayError:
    """The failure behind a command that the system would not run."""
    if isinstance(error, FileNotFoundError | NotADirectoryError) and not cwd.is_dir():
        says, code = f"The directory {cwd.name!r} of this upstream does not exist.", "cli_directory"
    elif isinstance(error, FileNotFoundError):
        says, code = (
            f"The command {command!r} was not found on this machine. Install Claude Code, or set `command`.",
            "cli_not_found",
        )
    else:
        says, code = f"The command {command!r} cannot be run: {error.strerror}.", "cli_not_found"
    return GatewayError("upstream_failed", says, code=code, retriable=False)
