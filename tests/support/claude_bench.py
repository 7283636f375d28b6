"""A bridge in front of the imitated `claude` command, and what that command wrote down."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from local_bench import Hasty
from speak import PATHS, Heard, ask, body_of, heard

from sfbridge.config import Config, section
from sfbridge.server.app import create_app

FAKE = Path(__file__).parent.parent / "fakes" / "claude.py"
TOOLS = ("look", "count")


class Claude:
    """A running bridge, and the command behind it."""

    def __init__(self, folder: Path, http: ClientSession) -> None:
        self.folder, self.http = folder, http
        self.log = folder / "claude.log"
        self.url = ""
        self.runner: web.AppRunner | None = None

    @property
    def notes(self) -> list[dict[str, Any]]:
        """Everything that the command wrote down, in every process."""
        return (
            [json.loads(line) for line in self.log.read_text().splitlines()]
            if self.log.exists()
            else []
        )

    def noted(self, word: str) -> list[Any]:
        return [note[word] for note in self.notes if word in note]

    @property
    def starts(self) -> int:
        """How often the command was started for a conversation."""
        return len(self.noted("argv"))

    async def written(self, word: str, count: int = 1) -> list[Any]:
        """Wait until the command has noted something so many times."""
        async with asyncio.timeout(10):
            while len(found := self.noted(word)) < count:
                await asyncio.sleep(0.01)
        return found

    async def ask(self, wire: str, prompt: str = "Say hello.", **more: Any) -> Heard:
        return await ask(self.http, self.url, wire, more.pop("model", "sonnet"), prompt, **more)

    async def chat(
        self, messages: list[dict[str, Any]], wire: str = "openai", **more: Any
    ) -> Heard:
        """A request with a history."""
        headers = more.pop("headers", None)
        body = {**body_of(wire, "sonnet"), **more, "messages": messages}
        async with self.http.post(self.url + PATHS[wire], json=body, headers=headers) as answer:
            return heard(wire, answer.status, answer.headers, await answer.read())

    def alive(self) -> list[int]:
        """The processes of the command, and of what it started, that still run."""
        pids = [note["pid"] for note in self.notes] + self.noted("grandchild")
        return [pid for pid in dict.fromkeys(pids) if _runs(pid)]

    async def all_gone(self) -> None:
        async with asyncio.timeout(10):
            while self.alive():
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        runner, self.runner = self.runner, None
        if runner is not None:
            await runner.cleanup()


def openai_tools(names: tuple[str, ...] = TOOLS) -> list[dict[str, Any]]:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    return [{"type": "function", "function": {"name": n, "parameters": schema}} for n in names]


def said(answer: Heard) -> dict[str, Any]:
    """An answer as the message with which an OpenAI client gives it back."""
    calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in answer.calls
    ]
    return {
        "role": "assistant",
        "content": answer.text or None,
        **({"tool_calls": calls} if calls else {}),
    }


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def results(answer: Heard, *texts: str) -> list[dict[str, Any]]:
    return [
        {"role": "tool", "tool_call_id": call_id, "content": text}
        for (call_id, _, _), text in zip(answer.calls, texts, strict=True)
    ]


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        if sys.platform == "linux":
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return stat.rpartition(")")[2].split()[0] != "Z"


StartClaude = Callable[..., Coroutine[Any, Any, Claude]]


@pytest.fixture
async def claude(tmp_path: Path) -> AsyncIterator[StartClaude]:
    """Starts bridges: `await claude(max_children=1)`; none of the command's processes outlives it."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(ClientSession())

        async def start(
            *,
            config: dict[str, Any] | None = None,
            more_environment: dict[str, str] | None = None,
            **upstream: Any,
        ) -> Claude:
            bench = Claude(tmp_path, http)
            table = {
                "kind": "claude-cli",
                "command": str(FAKE),
                "directory": str(tmp_path / "rooms"),
                "stream_idle_timeout": 20,
                "environment": {"FAKE_CLAUDE_LOG": str(bench.log), **(more_environment or {})},
                **upstream,
            }
            tables = {
                "sandbox": {"enabled": False},
                "models": {"default": "sonnet"},
                "upstream": {"claude": table},
                **(config or {}),
            }
            app = create_app(section(tables, Config, ""), clock=Hasty())
            bench.runner = web.AppRunner(
                app, handler_cancellation=True, shutdown_timeout=0.5, access_log=None
            )
            await bench.runner.setup()
            stack.push_async_callback(bench.stop)
            await web.TCPSite(bench.runner, "127.0.0.1", 0).start()
            bench.url = f"http://127.0.0.1:{bench.runner.addresses[0][1]}"
            return bench

        yield start
        bench = Claude(tmp_path, http)
        refused = bench.noted("refused")
        await stack.aclose()
        await bench.all_gone()
        assert refused == []
