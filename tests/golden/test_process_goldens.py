"""The golden matrix for upstreams that are processes: what each client receives of what they say.

How many reads bring an answer is up to the machine, so the files hold the bodies, and each stream is compared with its
body by what it means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from claude_bench import TOOLS, StartClaude
from goldens import Goldens, lasting, pretty
from lingma_bench import BeginLingma
from speak import EVERY_WIRE, PATHS, Heard, body_of, heard

ROOT = Path(__file__).parent
ASKED = {"type": "object", "properties": {"q": {"type": "string"}}}
# case -> what the user says
CLAUDE = {
    "text": "Say hello.",
    "thinking": "Say hello.",
    "one-call": "use look",
    "two-calls": "use look and use count",
}
READ = {
    "id": "call_1",
    "name": "read_file",
    "args": {"p": "a"},
    "result": [{"p": "a"}],
    "fence": True,
}
LINGMA = {
    "text": [{"step": "start_end"}, {"answer": "It is sunny.", "n": 3}, {"finish": 200}],
    "ran-a-tool": [
        {"step": "start_end"},
        {"answer": "Looking. "},
        {"tool": READ},
        {"answer": "Done."},
        {"finish": 200},
    ],
}
THINKING: dict[str, dict[str, Any]] = {
    "openai": {"reasoning_effort": "low"},
    "anthropic": {"max_tokens": 5000, "thinking": {"type": "enabled", "budget_tokens": 2000}},
    "responses": {"reasoning": {"effort": "low"}},
}

Send = Callable[[str, str, dict[str, Any]], Awaitable[Heard]]


def steady(text: str) -> str:
    """Without the ids that the processes make."""
    return re.sub(r"\b(toolu_|lingma_)(?:\d+_\d+|call_\d+|[0-9a-f-]{36})", r"\1ID", text)


def meaning(answer: Heard) -> tuple[Any, ...]:
    usage = {name: count for name, count in answer.usage.items() if name != "estimated"}
    return answer.text, answer.calls_made, answer.finish, usage, answer.error.get("message")


def tools(wire: str) -> list[dict[str, Any]]:
    if wire == "anthropic":
        return [{"name": name, "input_schema": ASKED} for name in TOOLS]
    functions = [{"name": name, "parameters": ASKED} for name in TOOLS]
    if wire == "responses":
        return [{"type": "function", **function} for function in functions]
    return [{"type": "function", "function": function} for function in functions]


def streamed(wire: str) -> dict[str, Any]:
    """What a request says to be answered as a stream that tells its usage."""
    told = {"stream_options": {"include_usage": True}} if wire == "openai" else {}
    return {"stream": True, **told}


def sender(http: ClientSession, url: str, model: str) -> Send:
    async def send(wire: str, prompt: str, more: dict[str, Any]) -> Heard:
        body = {**body_of(wire, model, prompt), **more}
        async with http.post(url + PATHS[wire], json=body) as answer:
            return heard(wire, answer.status, answer.headers, await answer.read())

    return send


async def judge(goldens: Goldens, kind: str, case: str, prompt: str, send: Send) -> None:
    for wire in EVERY_WIRE:
        more: dict[str, Any] = {"tools": tools(wire)} if "call" in case else {}
        more |= THINKING[wire] if case == "thinking" else {}
        body = await send(wire, prompt, more)
        found = {"http": body.status, **json.loads(body.body)}
        goldens.check(f"processes/{kind}/{case}.{wire}.json", steady(lasting(pretty(found))))
        stream = await send(wire, prompt, {**more, **streamed(wire)})
        assert meaning(stream) == meaning(body), (case, wire)


@pytest.fixture
def goldens(request: pytest.FixtureRequest) -> Goldens:
    return Goldens(ROOT, bless=request.config.getoption("--bless"))


async def test_clients_receive_what_the_claude_command_said(
    claude: StartClaude, goldens: Goldens
) -> None:
    """Each answer of the command reaches each client as the body in its file, and as a stream that means the same."""
    bench = await claude()

    for case, prompt in CLAUDE.items():
        await judge(goldens, "claude-cli", case, prompt, sender(bench.http, bench.url, "sonnet"))
    goldens.finish("processes/claude-cli/*")


async def test_clients_receive_what_lingma_said(lingma: BeginLingma, goldens: Goldens) -> None:
    """Each answer of the process reaches each client as the body in its file, and as a stream that means the same."""
    rules = [{"match": f"^{case}$", "steps": steps} for case, steps in LINGMA.items()]
    bench = await lingma(sim={"rules": rules})
    await bench.ready()
    async with ClientSession() as http:
        for case in LINGMA:
            await judge(goldens, "lingma", case, case, sender(http, bench.url, "lingma"))
    goldens.finish("processes/lingma/*")
