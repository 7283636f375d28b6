"""The real program in a process of its own, as a person would start it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiohttp import ClientError, ClientSession

ROOT = Path(__file__).parent.parent.parent
MODULE = (sys.executable, "-m", "sfbridge")


# A whole configuration: the sandbox org on a port of its own choice.
ORG = """\
[upstream.salesforce]
kind = "salesforce"
my_domain = "sandbox"
[sandbox]
port = 0
"""


def configured(home: Path, text: str = ORG, mode: int = 0o600) -> Path:
    path = home / "config.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def environment(home: Path, **more: str) -> dict[str, str]:
    """A fresh home, warnings as errors, nothing of the person's own programs."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SFBRIDGE_", "ANTHROPIC_", "OPENAI_", "CLAUDE_", "XDG_", "NOTIFY_"))
    }
    return {
        **kept,
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "COLUMNS": "100",
        **more,
    }


async def started(
    *words: str,
    home: Path,
    entry: tuple[str, ...] = MODULE,
    env: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *entry,
        *words,
        cwd=home,
        env=environment(home, **(env or {})),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def run(
    *words: str,
    home: Path,
    typed: str = "",
    entry: tuple[str, ...] = MODULE,
    env: Mapping[str, str] | None = None,
) -> Ended:
    """Run it to its end, with `typed` as standard input. Fails on warnings and stack traces."""
    process = await started(*words, home=home, entry=entry, env=env)
    async with asyncio.timeout(30):
        out, err = await process.communicate(typed.encode())
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Ended(process.returncode, out.decode(), err.decode())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served(NamedTuple):
    process: asyncio.subprocess.Process
    url: str

    async def stop(self) -> Ended:
        self.process.terminate()
        async with asyncio.timeout(20):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return Ended(self.process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def serving(
    port: int, *words: str, home: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[Served]:
    """A server that has begun to answer; killed at the end if nobody stopped it."""
    url = f"http://127.0.0.1:{port}"
    process = await started(
        "serve", "--port", str(port), "--set", "sandbox.port=0", *words, home=home, env=env
    )
    try:
        async with asyncio.timeout(20), ClientSession() as http:
            while process.returncode is None:
                try:
                    async with http.get(f"{url}/healthz"):
                        break
                except ClientError:
                    await asyncio.sleep(0.02)
        yield Served(process, url)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
