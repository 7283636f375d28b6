"""Every way in which the `claude` command (imitated) can fail, on both wires: a status and a sentence, nobody left."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout
from claude_bench import FAKE, Claude, StartClaude, openai_tools, user
from speak import PATHS, WIRES, body_of

BOTH = pytest.mark.parametrize("wire", WIRES)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
ROOT = Path(__file__).parent.parent.parent

# what it does -> status, code, a word of the sentence
REFUSALS = {
    "login": (401, "cli_login", "not logged in"),
    "bad-key": (401, "cli_login", "log in"),
    "billing": (401, "cli_billing", "cannot pay"),
    "forbidden": (403, "upstream_403", "does not allow"),
    "no-model": (404, "model_not_found", "no such model"),
    "bad-request": (400, "upstream_400", "messages: bad"),
    "too-long": (400, "context_length_exceeded", "210000"),
    "rate-limit": (429, "upstream_429", "Slow down"),
    "overloaded": (503, "upstream_529", "overloaded"),
    "denied-silent": (403, "cli_denied", "not permitted to use Bash"),
    "zero": (502, "cli_failed", "something else"),
    "silence": (504, "upstream_silent", "fell silent|did not begin"),
}  # fmt: skip
# what it does after its first words -> a word of the sentence
BREAKS = {
    "stall": "fell silent",
    "broken": "not its protocol",
    "endless-line": "not its protocol",
    "exit-1": "exit code 1",
    "exit-0": "exit code 0",
    "killed": "signal 9",
    "cut": "broke off",
}  # fmt: skip
# what it does without harm -> the answer
HARMLESS = {
    "noise": "You said: fault=noise",
    "split": "You said: fault=split",
    "flood": "You said: fault=flood",
    "retried": "You said: fault=retried",
    "whole": "All at once.",
    "denied": "I may not.",
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSALS)
@MODES
async def test_refusals_have_their_status(claude: StartClaude, fault: str, stream: bool) -> None:
    """What the command will not answer has its own status before a stream begins, whatever its exit code."""
    bench = await claude(stream_idle_timeout=0.3)
    answer = await bench.ask("openai", f"fault={fault}", stream=stream)
    status, code, words = REFUSALS[fault]
    assert (answer.status, answer.error["code"]) == (status, code)
    assert any(word in answer.error["message"] for word in words.split("|"))
    await bench.all_gone()


@pytest.mark.parametrize("fault", BREAKS)
@BOTH
@MODES
async def test_breaks_are_failures(
    claude: StartClaude, fault: str, wire: str, stream: bool
) -> None:
    """An answer that breaks off ends as a failure on both wires, never normally; nothing private is in it."""
    bench = await claude(stream_idle_timeout=0.5, config={"stream": {"patience": 0}})
    answer = await bench.ask(wire, f"fault={fault}", stream=stream)
    assert not answer.whole
    assert BREAKS[fault] in answer.error["message"]
    assert b"secret of this machine" not in answer.body
    await bench.all_gone()


@pytest.mark.parametrize("fault", HARMLESS)
@BOTH
@MODES
async def test_oddities_do_no_harm(
    claude: StartClaude, fault: str, wire: str, stream: bool
) -> None:
    """Noise, odd packets, a flood of warnings, unknown lines: the answer is whole all the same."""
    bench = await claude()
    answer = await bench.ask(wire, f"fault={fault}", stream=stream)
    assert (answer.whole, answer.text) == (True, HARMLESS[fault])


async def test_long_lines_are_read(claude: StartClaude) -> None:
    """Lines of megabytes are lines."""
    bench = await claude()
    answer = await bench.ask("openai", "fault=long-line")
    assert len(answer.text) == 1_000_000


async def test_long_prompts_are_written(claude: StartClaude) -> None:
    """A prompt that no argument list could hold arrives whole."""
    bench = await claude()
    assert (await bench.ask("openai", "x" * 300_000)).whole
    assert bench.noted("user") == ["x" * 300_000]


@pytest.mark.parametrize("stubborn", [False, True], ids=["willing", "stubborn"])
async def test_a_client_that_leaves_ends_the_process(claude: StartClaude, stubborn: bool) -> None:
    """A client gone in mid-stream: process and all that it started are gone too, also if they ignore TERM."""
    bench = await claude(stop_timeout=0.2, max_children=1)
    fault = "stubborn" if stubborn else "stall"
    body = body_of("openai", "sonnet", f"fault={fault}", stream=True)
    async with bench.http.post(bench.url + PATHS["openai"], json=body) as answer:
        assert b"It begins" in await answer.content.readuntil(b"It begins ")
        assert bench.alive()
    await bench.all_gone()
    assert (await bench.ask("openai")).whole  # its place was given back


async def test_shutdown_leaves_nobody(claude: StartClaude) -> None:
    """After the server has stopped, no process is left: neither those that answered nor those that waited."""
    bench = await claude(stop_timeout=0.2, config={"server": {"shutdown_grace": 0.1}})
    call = await bench.chat([user("use look")], tools=openai_tools())
    assert call.calls
    await bench.ask("openai")
    speaking = asyncio.create_task(_stalled(bench, "stubborn"))
    await bench.written("grandchild")
    assert len(bench.alive()) == 4
    await bench.stop()
    # what the command itself had started was killed with it, and is nobody's child to wait for
    assert set(bench.alive()) <= set(bench.noted("grandchild"))
    await bench.all_gone()
    speaking.cancel()


async def test_kill_leaves_nobody(tmp_path: Path) -> None:
    """After `kill -9` of the server none of its processes is left: neither those that wait, nor one in mid-turn that
    hears nothing any more."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    bench = Claude(tmp_path, ClientSession(timeout=ClientTimeout(total=20)))
    config = tmp_path / "config.toml"
    config.write_text(
        f"[sandbox]\nenabled = false\n[models]\ndefault = 'sonnet'\n[upstream.claude]\nkind = 'claude-cli'\n"
        f"command = '{FAKE}'\ndirectory = '{tmp_path / 'rooms'}'\n"
        f"environment = {{ FAKE_CLAUDE_LOG = '{bench.log}' }}\n"
    )
    server = await asyncio.create_subprocess_exec(
        sys.executable, "run.py", "--config", str(config), "--port", str(port), cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert server.stderr is not None
        while b" on http://" not in await server.stderr.readline():
            pass
        bench.url = f"http://127.0.0.1:{port}"
        assert (await bench.chat([user("use look")], tools=openai_tools())).calls
        assert (await bench.ask("openai")).whole
        stuck = asyncio.create_task(bench.ask("openai", "fault=stall"))
        async with asyncio.timeout(10):
            while len(bench.alive()) < 3:
                await asyncio.sleep(0.01)
    finally:
        server.send_signal(signal.SIGKILL)
        await server.communicate()
    with suppress(ClientError):
        await stuck
    await bench.http.close()
    await bench.all_gone()


async def test_a_process_that_died_while_it_waited(claude: StartClaude) -> None:
    """A waiting process that is gone costs a start, and nothing else."""
    bench = await claude()
    first = [user("my name is Ada")]
    answer = await bench.chat(first)
    (pid,) = bench.alive()
    os.kill(pid, signal.SIGKILL)
    await bench.all_gone()
    reply = {"role": "assistant", "content": answer.text}
    answer = await bench.chat([*first, reply, user("what is my name")])
    assert answer.text == "Your name is Ada."


async def test_too_many_are_told_to_wait(claude: StartClaude) -> None:
    """A request for which no process becomes free in time is told so, with the setting that helps."""
    bench = await claude(max_children=1, wait_timeout=0.1, stop_timeout=0.2)
    speaking = asyncio.create_task(_stalled(bench, "stall"))
    await bench.written("user")
    answer = await bench.ask("openai")
    assert (answer.status, answer.error["code"]) == (503, "upstream_busy")
    assert "max_children" in answer.error["message"]
    speaking.cancel()


async def test_a_missing_command_is_named(claude: StartClaude) -> None:
    """A command that is not there is a plain sentence, in the answer and on the readiness page."""
    bench = await claude(command="no-such-claude")
    answer = await bench.ask("openai")
    assert (answer.status, answer.error["code"]) == (502, "cli_not_found")
    assert "'no-such-claude' was not found" in answer.error["message"]
    async with bench.http.get(bench.url + "/readyz") as page:
        assert page.status == 503
        assert "no-such-claude" in await page.text()


async def test_readiness_knows_the_version(claude: StartClaude) -> None:
    """The readiness page tells the command's version and who pays; asking costs no call."""
    bench = await claude()
    async with asyncio.timeout(10):
        while True:
            async with bench.http.get(bench.url + "/readyz") as page:
                told = await page.json()
            if told["upstreams"]["claude"]["ready"]:
                break
            await asyncio.sleep(0.01)
    assert told["upstreams"]["claude"]["version"] == "2.1.329"
    assert told["upstreams"]["claude"]["billing"] == "login"
    assert bench.starts == 0


async def test_the_wrong_payer_is_stopped(claude: StartClaude) -> None:
    """A run that would use a key where the login is wanted is ended before it answers."""
    bench = await claude(more_environment={"ANTHROPIC_API_KEY": "sk-ant-sneaked-in"})
    answer = await bench.ask("openai")
    assert (answer.status, answer.error["code"]) == (401, "cli_billing")
    assert "sneaked" not in answer.body.decode()


@pytest.mark.parametrize("model", ["claude/--help", "claude/-x", "claude/a b"])
async def test_no_model_is_an_option(claude: StartClaude, model: str) -> None:
    """The name of a model never reaches the argument list as an option."""
    bench = await claude()
    answer = await bench.ask("openai", model=model)
    assert answer.status == 404
    assert bench.starts == 0


async def _stalled(bench: Claude, fault: str) -> None:
    body = body_of("openai", "sonnet", f"fault={fault}", stream=True)
    async with bench.http.post(bench.url + PATHS["openai"], json=body) as answer:
        await answer.read()
