"""The real `claude` command as an upstream, itself pointed at a scripted Anthropic server or at a second sfbridge.

`.ci/run` installs a pinned version with npm; anywhere else, CLAUDE_COMMAND names the executable. These tests run
only when asked for: `python -m pytest -m live`. No account is needed and nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from claude_bench import openai_tools, results, said, user
from speak import PATHS, Heard, body_of, heard

from sfbridge.config import Config, section
from sfbridge.sandbox import SandboxSettings, create_org
from sfbridge.server.app import create_app
from sfbridge.state.clock import SystemClock
from tests.fakes.anthropic_server import Anthropic

pytestmark = pytest.mark.live

PINNED = (
    Path(__file__).parent.parent.parent / ".venv" / "claude" / "node_modules" / ".bin" / "claude"
)
# A model that thinks only when it is asked to, so that what is sent is easy to foresee.
MODEL = "claude-sonnet-4-5"


class Bench:
    """A bridge with the real command behind it, and the server that the command asks."""

    def __init__(self, http: ClientSession, home: Path) -> None:
        self.http, self.home = http, home
        self.url = ""
        self.anthropic = Anthropic()
        self.runner: web.AppRunner | None = None

    async def chat(
        self, messages: list[dict[str, Any]], wire: str = "openai", **more: Any
    ) -> Heard:
        body = {**body_of(wire, f"claude/{MODEL}"), **more, "messages": messages}
        async with self.http.post(self.url + PATHS[wire], json=body) as answer:
            return heard(wire, answer.status, answer.headers, await answer.read())

    def alive(self, *, leaders: bool = False) -> list[int]:
        """The processes that live in this bench's home: the command, and all that it started; or only those that
        sfbridge started for an answer, each of which leads a session."""
        mark = f"HOME={self.home}\0".encode()
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                environ, stat = (folder / "environ").read_bytes(), (folder / "stat").read_text()
                answers = b"stream-json" in (folder / "cmdline").read_bytes()
            except OSError:
                continue
            state, _, _, session = stat.rpartition(")")[2].split()[:4]
            leads = session == folder.name and answers
            if mark in environ + b"\0" and state != "Z" and (leads or not leaders):
                found.append(int(folder.name))
        return found

    async def stop(self) -> None:
        runner, self.runner = self.runner, None
        if runner is not None:
            await runner.cleanup()

    def fresh(self) -> dict[str, Any]:
        """What the server was asked last."""
        return self.anthropic.asked[-1]


Start = Callable[..., Coroutine[Any, Any, Bench]]


@pytest.fixture
async def begin_claude(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts bridges in front of the real command; at the end, none of its processes is there any more."""
    command = os.environ.get("CLAUDE_COMMAND") or str(PINNED)
    assert shutil.which(command), (
        f"the claude command is not at {command}: npm install --prefix .venv/claude @anthropic-ai/claude-code"
    )
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(ClientSession())
        home = tmp_path / "home"
        home.mkdir()

        async def begin(*, base_url: str = "", **upstream: Any) -> Bench:
            bench = Bench(http, home)
            address = base_url or await _listen(stack, bench.anthropic.app())
            table = {
                "kind": "claude-cli",
                "command": command,
                "billing": "api_key",
                "api_key": "sk-ant-nobody",
                "base_url": address,
                "directory": str(tmp_path / "rooms"),
                "environment": {"HOME": str(home)},
                **upstream,
            }
            tables = {
                "sandbox": {"enabled": False},
                "models": {"default": "sonnet"},
                "stream": {"patience": 60},
                "upstream": {"claude": table},
            }
            app = create_app(section(tables, Config, ""), clock=SystemClock())
            bench.runner = web.AppRunner(
                app, handler_cancellation=True, shutdown_timeout=0.5, access_log=None
            )
            await bench.runner.setup()
            stack.push_async_callback(bench.stop)
            await web.TCPSite(bench.runner, "127.0.0.1", 0).start()
            bench.url = f"http://127.0.0.1:{bench.runner.addresses[0][1]}"
            return bench

        yield begin
        await stack.aclose()
        assert Bench(http, home).alive() == []


async def test_a_real_answer(begin_claude: Start) -> None:
    """The real command answers on both wires; only what the client said is sent, and what it does not want is off."""
    bench = await begin_claude()
    system = {"role": "system", "content": "Be brief."}
    answer = await bench.chat([system, user("/help me @/etc/hostname")])
    assert (answer.status, answer.text) == (200, "You said: /help me @/etc/hostname"), answer.body
    assert (answer.usage["prompt_tokens"], answer.usage["completion_tokens"]) == (11, 42)
    sent = bench.fresh()
    assert (sent.get("tools"), sent["thinking"]) == ([], {"type": "disabled"})
    assert sent["system"][-1]["text"] == "Be brief."
    answer = await bench.chat([user("Say hello.")], "anthropic")
    assert answer.text == "You said: Say hello."
    assert bench.fresh()["max_tokens"] == 1000


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_a_real_stream(begin_claude: Start, wire: str) -> None:
    """Partial messages of the real command arrive while it still speaks, each text once."""
    bench = await begin_claude()
    body = body_of(wire, f"claude/{MODEL}", "Speak slowly.", stream=True)
    async with bench.http.post(bench.url + PATHS[wire], json=body) as answer:
        await answer.content.readuntil(b"You sa")
        assert bench.anthropic.open == 1
        bench.anthropic.release.set()
        rest = (await answer.read()).decode()
    texts = re.findall(r'"(?:content|text)":"([^"]+)"', rest)
    assert len(texts) >= 2
    assert "You sa" + "".join(texts) == "You said: Speak slowly."


async def test_a_real_call(begin_claude: Start) -> None:
    """Parallel calls of the real command go to an OpenAI client, and their results, one of them a failure with words
    beside it, come back to the model as the results of these calls; the conversation goes on after that."""
    bench = await begin_claude()
    tools = openai_tools(("look", "count.all"))
    first = [user("use look and use count_all")]
    call = await bench.chat(first, tools=tools)
    assert call.calls_made == [("look", {"q": "look"}), ("count.all", {"q": "_all"})], call.body
    second = [*first, said(call), *results(call, "a cat", "seven")]
    answer = await bench.chat(second, tools=tools)
    assert answer.text == "I was told: a cat; seven", answer.body
    assert len(bench.alive()) == 1
    answer = await bench.chat(
        [*second, said(answer), user("my name is Ada, what is my name")], tools=tools
    )
    assert answer.text == "Your name is Ada."
    assert len(bench.fresh()["messages"]) == 5


async def test_words_beside_a_real_result(begin_claude: Start) -> None:
    """A failed result, and words of the user beside it, reach the model within the same turn."""
    bench = await begin_claude()
    tool = {"name": "look", "input_schema": {"type": "object"}}
    call = await bench.chat([user("use look")], "anthropic", tools=[tool])
    ((call_id, name, arguments),) = call.calls
    use = {"type": "tool_use", "id": call_id, "name": name, "input": json.loads(arguments)}
    bad = {"type": "tool_result", "tool_use_id": call_id, "content": "too dark", "is_error": True}
    words = {"type": "text", "text": "Never mind."}
    history = [
        user("use look"),
        {"role": "assistant", "content": [{"type": "text", "text": call.text}, use]},
    ]
    answer = await bench.chat(
        [*history, {"role": "user", "content": [bad, words]}], "anthropic", tools=[tool]
    )
    assert answer.text.startswith("I was told: failed: too dark"), answer.body
    assert "Never mind." in json.dumps(bench.fresh()["messages"])


async def test_a_real_session_goes_on(begin_claude: Start) -> None:
    """Without a waiting process the real session is resumed; after a restart in mid-call, the history is told."""
    bench = await begin_claude(keep_seconds=0)
    first = [user("my name is Ada")]
    answer = await bench.chat(first)
    second = [*first, said(answer), user("what is my name")]
    answer = await bench.chat(second)
    assert answer.text == "Your name is Ada.", answer.body
    assert [m["role"] for m in bench.fresh()["messages"]] == ["user", "assistant", "user"]
    third = [*second, said(answer), user("use look")]
    call = await bench.chat(third, tools=openai_tools())
    assert call.calls, call.body
    await bench.stop()
    assert bench.alive() == []
    bench = await begin_claude()
    answer = await bench.chat([*third, said(call), *results(call, "a cat")], tools=openai_tools())
    assert answer.whole
    blocks = bench.fresh()["messages"][-1]["content"]
    (record,) = [block["text"] for block in blocks if block["text"].startswith("This conversation")]
    assert record.splitlines()[-2].endswith('"text":"a cat"}')


async def test_a_real_cancel(begin_claude: Start) -> None:
    """A client that leaves in mid-stream ends the real process, and with it the request that it made."""
    bench = await begin_claude()
    body = body_of("openai", f"claude/{MODEL}", "Speak slowly.", stream=True)
    async with bench.http.post(bench.url + PATHS["openai"], json=body) as answer:
        await answer.content.readuntil(b"You sa")
        assert len(bench.alive()) == 1
    async with asyncio.timeout(10):
        while bench.alive():
            await asyncio.sleep(0.02)
        bench.anthropic.release.set()
        while bench.anthropic.open:
            await asyncio.sleep(0.02)


async def test_a_real_client_that_never_comes_back(begin_claude: Start) -> None:
    """A call whose result never comes ends with its process, and costs no further request."""
    bench = await begin_claude(hold_seconds=0.2)
    assert (await bench.chat([user("use look")], tools=openai_tools())).calls
    async with asyncio.timeout(10):
        while bench.alive():
            await asyncio.sleep(0.02)
    assert len(bench.anthropic.asked) == 1


async def test_twenty_real_requests(begin_claude: Start) -> None:
    """Twenty requests at once, four processes at a time: all are answered, and nobody is left afterwards."""
    bench = await begin_claude(max_children=4)
    most, done = 0, False

    async def watch() -> None:
        nonlocal most
        while not done:
            most = max(most, len(bench.alive(leaders=True)))
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    answers = await asyncio.gather(*(bench.chat([user(f"number {n}")]) for n in range(20)))
    done = True
    await watching
    assert [answer.text for answer in answers] == [f"You said: number {n}" for n in range(20)]
    assert 1 <= most <= 4
    await bench.stop()
    assert bench.alive() == []


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        (401, 401, "cli_login"),
        (404, 404, "model_not_found"),
        (429, 429, "upstream_429"),
        (529, 503, "upstream_529"),
    ],
)
async def test_real_refusals(begin_claude: Start, asked: int, status: int, code: str) -> None:
    """What the real command says of a refusal becomes the status that it was."""
    bench = await begin_claude()
    answer = await bench.chat([user(f"fail {asked}")])
    assert (answer.status, answer.error["code"]) == (status, code), answer.body


async def test_a_real_command_without_a_login(begin_claude: Start) -> None:
    """A command that nobody logged in is told so, in a sentence that helps."""
    bench = await begin_claude(billing="login", api_key="")
    answer = await bench.chat([user("Say hello.")])
    assert (answer.status, answer.error["code"]) == (401, "cli_login")
    assert "log in" in answer.error["message"]
    assert bench.anthropic.asked == []


async def test_through_a_second_bridge(begin_claude: Start) -> None:
    """The real command, asked by an OpenAI client, asks a second sfbridge with the sandbox org; a tool goes around."""
    async with AsyncExitStack() as stack:
        org = await _listen(stack, create_org(section({}, SandboxSettings, "sandbox")))
        login = {"my_domain": org, "client_id": "sandbox-client", "client_secret": "sandbox-secret"}
        tables = {
            "sandbox": {"enabled": False},
            "upstream": {"salesforce": {"kind": "salesforce", **login}},
        }
        second = await _listen(stack, create_app(section(tables, Config, ""), clock=SystemClock()))
        bench = await begin_claude(base_url=second + "/anthropic")
        schema = {"type": "object", "properties": {"input": {"type": "string"}}}
        tools = [{"type": "function", "function": {"name": "calculator", "parameters": schema}}]
        first = [user("Use the calculator tool to compute 6*7, then state the result.")]
        call = await bench.chat(first, tools=tools, model="claude/claude-sonnet-4-6")
        assert call.calls_made == [("calculator", {"input": "6*7"})], call.body
        more = [*first, said(call), *results(call, "42")]
        answer = await bench.chat(more, tools=tools, model="claude/claude-sonnet-4-6")
        assert "42" in answer.text, answer.body
        await bench.stop()


async def _listen(stack: AsyncExitStack, app: web.Application) -> str:
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"
