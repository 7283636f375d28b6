"""`check` looks at everything that can be wrong, and says what to do about each."""

from __future__ import annotations

import json
import shlex
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from local_bench import Machine
from program import MODULE, ORG, configured, free_port, run, serving

from tests.fakes.openai_server import Server


@asynccontextmanager
async def local(**about: object) -> AsyncIterator[Machine]:
    machine = Machine(Server(**about))  # type: ignore[arg-type]
    await machine.up()
    try:
        yield machine
    finally:
        await machine.down()


def of_local(machine: Machine, name: str = "local") -> str:
    return f'[upstream.{name}]\nkind = "openai"\nbase_url = "{machine.url}"\n'


async def test_check_finds_all_in_order(tmp_path: Path) -> None:
    """A sound configuration ends with 0, and every line of the report is ok."""
    configured(tmp_path)
    found = await run("check", "--port", str(free_port()), home=tmp_path)
    assert found.code == 0
    verdicts = {line.split()[0] for line in found.out.splitlines() if not line.startswith(" ")}
    assert verdicts == {"ok"}
    for words in (
        'upstream.salesforce.my_domain = "sandbox"  (config.toml)',
        "(--set server.port)",
        "is free",
        "gateway surface",
        "token expires in 30 min",
        "model claude-sonnet-4-6: answered",
        "with a tool call",
        "[stream] patience, keep_alive, hold_after",
        "conversations: ",
        "Claude Code: ",
        "n8n: Base URL http://127.0.0.1:",
    ):
        assert words in found.out


async def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    """Open files, a taken port, a missing secret and an unreachable org are each named with what to do."""
    secret = tmp_path / "secret"
    secret.write_text("canary-of-the-file")
    secret.chmod(0o644)
    text = """\
[keys]
me = "canary-of-the-config"
[upstream.salesforce]
kind = "salesforce"
my_domain = "http://127.0.0.1:1"
client_id = "canary-client"
client_secret_file = "secret"
"""
    configured(tmp_path, text, mode=0o644)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = await run("check", "--port", str(port), home=tmp_path)
    assert found.code == 1
    assert "warning  config.toml: others may read it (mode 644)" in found.out
    assert "-> chmod 600 secret" in found.out
    assert f"fail     port: 127.0.0.1:{port} cannot be used" in found.out
    assert "fail     clock: http://127.0.0.1:1 does not answer" in found.out
    assert "fail     upstream salesforce: " in found.out
    assert "canary" not in found.out + found.err


async def test_check_names_the_faulty_key(tmp_path: Path) -> None:
    """A kind that nobody knows is a finding with its path, not the end of the report."""
    configured(tmp_path)
    words = ("--set", "upstream.x.kind=odd", "--port", str(free_port()))
    found = await run("check", *words, home=tmp_path)
    assert found.code == 1
    assert "fail     configuration: upstream.x.kind: " in found.out
    assert "n8n: " in found.out


@pytest.mark.parametrize(
    ("set_to", "told"),
    [
        ("sandbox.prot=3", "sandbox.prot: there is no such key"),
        ("sandbox.scenario=nope.toml", "sandbox.scenario: "),
        ("pruning.threshold=x", "pruning.threshold: "),
        ("keys.me.secret_hash=foo", "keys: the secret_hash of the key 'me'"),
        ("upstream.x.kind=openai", "upstream.x.base_url is missing"),
        ("sandbox.enabled=false", "upstream.salesforce.my_domain: "),
    ],
)
async def test_check_finds_what_a_server_would_refuse(
    tmp_path: Path, set_to: str, told: str
) -> None:
    """What no server starts with is a failure, also while one runs that was started without it."""
    configured(tmp_path)
    port = free_port()
    words = ("check", "--offline", "--port", str(port), "--set", set_to)
    alone = await run(*words, home=tmp_path)
    async with serving(port, home=tmp_path):
        beside = await run(*words, home=tmp_path)
    for found in (alone, beside):
        assert found.code == 1
        assert "fail     configuration: " in found.out
        assert told.split()[0] in found.out
        assert "n8n: " in found.out


async def test_check_begins_with_what_cannot_be_read(tmp_path: Path) -> None:
    """A file that is no configuration is a finding with advice, like any other."""
    (tmp_path / "config.toml").write_text("[server\n")
    found = await run("check", home=tmp_path)
    assert found.code == 1
    assert "fail     configuration: config.toml: not valid TOML" in found.out
    assert "-> " in found.out


async def test_check_ends_quietly_when_nobody_reads_on(tmp_path: Path) -> None:
    """A reader that has had enough ends the report and whatever it had opened, without complaints."""
    configured(tmp_path)
    line = f"{shlex.join(MODULE)} check --port {free_port()} | head -1"
    found = await run(entry=("bash", "-c", line), home=tmp_path)
    assert found.out.startswith("ok       configuration")
    assert "error" not in found.err.lower()


async def test_check_tells_files_that_others_read(tmp_path: Path) -> None:
    """The service's file of secrets is looked at, and a home that cannot be written is told."""
    configured(tmp_path)
    file = tmp_path / ".config" / "sfbridge" / "environment"
    file.parent.mkdir(parents=True)
    file.write_text("SFBRIDGE_KEYS__ME=a-key-of-mine\n")
    file.chmod(0o644)
    words = ("check", "--offline", "--port", str(free_port()))
    found = await run(*words, home=tmp_path)
    assert f"-> chmod 600 {file}" in found.out


async def test_check_tells_a_server_of_another_configuration(tmp_path: Path) -> None:
    """A server that was started with other upstreams is not taken for the one that the file describes."""
    configured(tmp_path)
    port = free_port()
    async with serving(port, home=tmp_path):
        more = (
            "--set",
            "upstream.local.kind=openai",
            "--set",
            "upstream.local.base_url=http://127.0.0.1:1",
        )
        found = await run("check", "--offline", "--port", str(port), *more, home=tmp_path)
    assert "warning  server: it has no upstream local" in found.out


async def test_check_asks_no_model_offline(tmp_path: Path) -> None:
    """With --offline nothing is asked that could cost something."""
    configured(tmp_path)
    found = await run("check", "--offline", "--port", str(free_port()), home=tmp_path)
    assert found.code == 0
    assert "upstream salesforce: sandbox" in found.out
    assert "answered" not in found.out


async def test_check_asks_every_upstream(tmp_path: Path) -> None:
    """Each upstream's model is asked, by a command that opens it and of a server that runs; one with a broken model
    is a failure, whichever stands first."""
    port = free_port()
    async with local(models=("small",), window=64_000) as machine:
        configured(tmp_path, ORG + of_local(machine) + "connect_retry_seconds = 0\n")
        words = ("check", "--port", str(port))
        alone = await run(*words, home=tmp_path)
        async with serving(port, home=tmp_path):
            beside = await run(*words, home=tmp_path)
            await machine.down()
            broken = await run(*words, home=tmp_path)
    for found in (alone, beside):
        assert found.code == 0, found.out
        assert "ok       model claude-sonnet-4-6: answered" in found.out
        assert "ok       model small: answered" in found.out
    assert "an sfbridge answers" in beside.out
    assert broken.code == 1
    assert "ok       model claude-sonnet-4-6: answered" in broken.out
    assert "fail     " in broken.out


async def test_check_tells_a_window_that_is_too_small(tmp_path: Path) -> None:
    """A model that Claude Code would be sent to, and does not fit into, is a failure with the number it needs; one that
    it would not be sent to is a warning."""
    async with local(models=("small",), family="llamacpp", window=8192) as machine:
        configured(tmp_path, of_local(machine))
        found = await run("check", "--offline", "--port", str(free_port()), home=tmp_path)
        assert found.code == 1
        told = "model small: its window has 8192 tokens, and Claude Code needs 32000"
        assert f"fail     {told}" in found.out
        assert "-c 32000" in found.out
        configured(tmp_path, ORG + of_local(machine))
        found = await run("check", "--offline", "--port", str(free_port()), home=tmp_path)
        assert found.code == 0
        assert f"warning  {told}" in found.out


async def test_check_tells_a_model_that_calls_no_tool(tmp_path: Path) -> None:
    """A model that talks about the call instead of making it is no use to agents, and check says so."""
    scenario = tmp_path / "talks.toml"
    scenario.write_text('[[turn]]\ntext = "I would call the tool now."\n')
    configured(tmp_path, ORG + f'scenario = "{scenario}"\n')
    found = await run("check", "--port", str(free_port()), home=tmp_path)
    assert found.code == 0
    assert "warning  model claude-sonnet-4-6: answered after" in found.out
    assert "did not call the tool" in found.out


async def test_check_looks_at_every_port(tmp_path: Path) -> None:
    """The sandbox org's port is looked at, too, and named by its key."""
    configured(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = ("check", "--offline", "--port", str(free_port()), "--set", f"sandbox.port={port}")
        found = await run(*words, home=tmp_path)
    assert found.code == 1
    assert f"fail     port: 127.0.0.1:{port} cannot be used" in found.out
    assert "choose another: sandbox.port" in found.out


async def test_check_names_what_stands_in_a_programs_way(tmp_path: Path) -> None:
    """Settings of Claude Code that lead elsewhere, silences longer than it or n8n waits, and refused names are told."""
    own = tmp_path / ".claude"
    own.mkdir()
    other = {"ANTHROPIC_BASE_URL": "http://elsewhere.example", "ANTHROPIC_API_KEY": "canary"}
    (own / "settings.json").write_text(json.dumps({"env": other}))
    text = """\
[stream]
hold_after = 900
pad_after = 90
[models]
strict = true
"""
    configured(tmp_path, ORG + text)
    words = ("check", "--offline", "--port", str(free_port()))
    found = await run(*words, home=tmp_path, env={"ANTHROPIC_BASE_URL": "http://other.example"})
    assert found.code == 0
    for words_of in (
        "warning  Claude Code: ANTHROPIC_BASE_URL leads to http://other.example in this shell",
        "settings.json sets ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY",
        "stream.hold_after allows 900",
        "warning  Claude Code: asks for claude-… models of its own",
        "warning  n8n: its chat model gives up after 60 s without headers, and stream.pad_after is 90",
    ):
        assert words_of in found.out
    assert "canary" not in found.out


async def test_check_tells_names_that_lead_nowhere(tmp_path: Path) -> None:
    """A default or a fallback that no upstream of the running server has is a failure."""
    configured(tmp_path)
    port = free_port()
    async with serving(port, home=tmp_path):
        words = ("check", "--offline", "--port", str(port), "--set", "models.default=nope")
        found = await run(*words, home=tmp_path)
    assert found.code == 1
    assert "fail     models: 'nope' leads to no model of this server" in found.out


async def test_check_asks_addresses_with_a_login(tmp_path: Path) -> None:
    """A login within an address is sent, and shown nowhere."""
    async with local(models=("small",), window=64_000) as machine:
        address = machine.url.replace("://", "://user:p@ss-canary@")
        text = f'[upstream.local]\nkind = "salesforce"\nmy_domain = "{address}"\n'
        configured(tmp_path, text)
        found = await run("check", "--offline", "--port", str(free_port()), home=tmp_path)
        told = await run("config", "show", home=tmp_path)
    for one in (found, told):
        assert "canary" not in one.out + one.err
    assert "ok       clock: " in found.out
