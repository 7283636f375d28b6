"""The real command as a real process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import ClientError, ClientSession

ROOT = Path(__file__).parent.parent.parent
WARN = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONASYNCIODEBUG": "0", "PYTHONDEVMODE": "1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A running sfbridge."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process, self.url, self.errors = process, f"http://127.0.0.1:{port}", ""

    async def stop(self, with_signal: int = signal.SIGTERM) -> int:
        self.process.send_signal(with_signal)
        return await self.ended()

    async def says(self, words: str) -> None:
        """Return when its log has a line with these words."""
        assert self.process.stderr is not None
        async with asyncio.timeout(20):
            while words not in self.errors:
                self.errors += (await self.process.stderr.readline()).decode()

    async def ended(self) -> int:
        assert self.process.stderr is not None
        async with asyncio.timeout(20):
            self.errors += (await self.process.stderr.read()).decode()
            return await self.process.wait()


@contextlib.asynccontextmanager
async def launched(
    *arguments: str, entry: tuple[str, ...] = ("run.py",), **env: str
) -> AsyncIterator[Server]:
    """The shipped configuration on a free port; it is killed at the end if it still runs."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *entry, "--config", "config.toml", "--port", str(port), "--set", "sandbox.port=0", *arguments,
        cwd=ROOT, env={**WARN, **env}, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield Server(process, port)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def up(http: ClientSession, server: Server) -> None:
    """Return when the server answers."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(ClientError):
                async with http.get(server.url + "/healthz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.02)
