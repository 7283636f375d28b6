"""Every row of VERIFY.md is true: its command is run as written, and shows what the row says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "VERIFY.md").read_text(encoding="utf-8")
SERVERS, SHELL = (
    re.findall(r"^```sh\n(.+?)\n```$", PAGE, re.MULTILINE | re.DOTALL)[:2],
    (re.findall(r"^```sh\n(.+?)\n```$", PAGE, re.MULTILINE | re.DOTALL)[2]),
)
ROWS = re.findall(r"^\| (?!Promise|---)([^|]+) \| `(.+?)` \| (`.+`) \|$", PAGE, re.MULTILINE)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def here(text: str, ports: dict[str, int]) -> str:
    """A command of the page on free ports, with this interpreter."""
    for written, port in ports.items():
        text = text.replace(f":{written}", f":{port}").replace(
            f"--port {written}", f"--port {port}"
        )
    return text.replace(".venv/bin/python", sys.executable)


@contextlib.asynccontextmanager
async def running(command: str, port: int) -> AsyncIterator[None]:
    shell = await asyncio.create_subprocess_exec(
        *command.split(), cwd=ROOT, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20), ClientSession() as http:
            while True:
                with contextlib.suppress(ClientError):
                    async with http.get(f"http://127.0.0.1:{port}/healthz"):
                        break
                await asyncio.sleep(0.02)
        yield
    finally:
        shell.terminate()
        await shell.wait()


@pytest.mark.timeout(240)
async def test_every_row_shows_what_it_says() -> None:
    """The page's own commands, run in bash against the page's own servers."""
    assert len(ROWS) == PAGE.count("\n| ") - 2
    ports = {written: free_port() for written in ("8000", "8010", "8020")}
    wrong: list[str] = []
    first = here(SERVERS[0], ports) + f" --port {ports['8000']} --set sandbox.port=0"
    async with running(first, ports["8000"]), running(here(SERVERS[1], ports), ports["8010"]):
        for promise, command, expected in ROWS:
            script = f"{here(SHELL, ports)}\n{here(command, ports)}"
            shown = await asyncio.to_thread(
                subprocess.run,
                ["bash", "-c", script],
                cwd=ROOT,
                env=os.environ,
                capture_output=True,
                check=False,
            )
            text = shown.stdout.decode()
            missing = [span for span in re.findall(r"`([^`]+)`", expected) if span not in text]
            if missing:
                wrong.append(f"{promise}: {missing} not in\n{text}\n{shown.stderr.decode()[-500:]}")
    assert not wrong, "\n\n".join(wrong)


async def test_the_examples_of_the_manual_answer_as_printed() -> None:
    """The README's requests, run as they stand there, get the answers that stand below them."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    asked = re.findall(r"^```sh\n(curl .+?)\n```$", readme, re.MULTILINE | re.DOTALL)
    printed = re.search(r"^```json\n(\{\"id\":\"chatcmpl.+?)\n```$", readme, re.MULTILINE)
    told = re.search(r"^answers with (.+?)\.$", readme, re.MULTILINE)
    assert len(asked) == 2
    assert printed
    assert told
    port = free_port()
    start = here(SERVERS[0], {"8000": port}) + f" --port {port} --set sandbox.port=0"
    async with running(start, port):
        body, stream = [
            (await asyncio.to_thread(subprocess.run, ["bash", "-c", here(one, {"8000": port})],
                                     capture_output=True, check=True)).stdout.decode()
            for one in asked
        ]  # fmt: skip
    assert re.fullmatch(re.escape(printed[1]).replace("…", ".+?"), body), body
    events = re.findall(r"`(?:event: )?(\w+)`", told[1])
    assert len(events) >= 4
    assert [name for name in events if f"event: {name}\n" not in stream] == []
