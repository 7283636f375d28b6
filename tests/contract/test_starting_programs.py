"""Programs are started with everything they must be told, whatever their own settings say, and a server for them."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
import tomllib
from pathlib import Path

import pytest
from aiohttp import ClientSession
from program import MODULE, ORG, configured, free_port, run, serving, started

from sfbridge.client import Model
from sfbridge.commands import claude_code
from sfbridge.commands.setup import Order
from sfbridge.config import ConfigError


async def test_env_can_be_read_by_a_shell(tmp_path: Path) -> None:
    """The settings for Claude Code lead to this server, under a name whose window is the model's own."""
    configured(tmp_path, ORG + "[keys]\nme = \"a key 'of' $mine\"\n")
    command = shlex.join([*MODULE, "env", "claude", "--model", "gpt-4o", "--port", "8123"])
    shell = ("bash", "-c", f'eval "$({command})" && env')
    found = await run(entry=shell, home=tmp_path, env={"ANTHROPIC_API_KEY": "other"})
    told = dict(line.split("=", 1) for line in found.out.splitlines() if "=" in line)
    assert told["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:8123/anthropic"
    assert told["ANTHROPIC_AUTH_TOKEN"] == "a key 'of' $mine"
    assert told["ANTHROPIC_MODEL"] == "sf/claude-code-gpt-4o"
    assert told["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "sf/claude-code-gpt-4o"
    assert told["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "128000"
    assert "ANTHROPIC_API_KEY" not in told
    n8n = await run("env", "n8n", "--port", "8123", home=tmp_path)
    assert "http://127.0.0.1:8123/v1" in n8n.out
    # whoever copies these may wonder why nothing happens
    assert "nothing answers at http://127.0.0.1:8123 yet" in n8n.out
    openai = await run("env", "openai", home=tmp_path)
    assert "export OPENAI_BASE_URL=http://127.0.0.1:8000/v1" in openai.out


PRETENDING = """\
#!{python}
import json, os, signal, sys, urllib.request

base = os.environ.get("ANTHROPIC_BASE_URL", "")
found = {{"args": sys.argv[1:], "env": dict(os.environ), "health": None}}
if "--settings" in sys.argv:
    path = sys.argv[sys.argv.index("--settings") + 1]
    with open(path) as file:
        found["settings"] = json.load(file)
    found["modes"] = [os.stat(p).st_mode & 0o777 for p in (path, os.path.dirname(path))]
if base:
    with urllib.request.urlopen(base + "/api/hello") as answer:
        found["health"] = answer.status
with open({out!r}, "w") as file:
    json.dump(found, file)
if "wait" in sys.argv:
    def heard(number, frame):
        sys.exit(40 + number)
    signal.signal(signal.SIGTERM, heard)
    signal.signal(signal.SIGINT, heard)
    print("waiting", flush=True)
    signal.pause()
if "die" in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(7)
"""


def pretend(home: Path, name: str) -> dict[str, str]:
    """A program of that name that writes down how it was started; the PATH that finds it."""
    folder = home / "bin"
    folder.mkdir(exist_ok=True)
    text = PRETENDING.format(python=sys.executable, out=str(home / "found.json"))
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


async def test_run_starts_claude_with_a_server(tmp_path: Path) -> None:
    """Without a server one is opened for the program and ended with it; arguments and exit code pass through."""
    configured(tmp_path)
    env = {
        **pretend(tmp_path, "claude"),
        "ANTHROPIC_API_KEY": "other",
        "https_proxy": "http://127.0.0.1:1",
    }
    port = ("--port", str(free_port()))
    words = ("run", "claude", *port, "--model", "gpt-4o", "--", "-p", "say 'hi'")
    found = await run(*words, home=tmp_path, env=env)
    assert found.code == 7
    told = json.loads((tmp_path / "found.json").read_text())
    assert told["args"][2:] == ["--permission-mode", "default", "-p", "say 'hi'"]
    assert told["health"] == 200
    assert told["env"]["ANTHROPIC_MODEL"] == "sf/claude-code-gpt-4o"
    assert told["env"]["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "128000"
    assert "127.0.0.1" in told["env"]["NO_PROXY"]
    assert "ANTHROPIC_API_KEY" not in told["env"]
    assert "permission-mode" in found.err
    used = told["env"]["ANTHROPIC_BASE_URL"].split(":")[2].split("/")[0]
    assert "no sfbridge answers" in (await run("explain", "x", "--port", used, home=tmp_path)).err
    log = tmp_path / ".local" / "state" / "sfbridge" / "run.log"
    assert log.stat().st_mode & 0o777 == 0o600
    assert "/anthropic/api/hello 200" in log.read_text()


async def test_run_says_when_only_the_sandbox_answers(tmp_path: Path) -> None:
    """In a folder without config.toml, and without a server, nobody takes the sandbox org for a model."""
    words = ("run", "claude", "--port", str(free_port()))
    found = await run(*words, home=tmp_path, env=pretend(tmp_path, "claude"))
    assert found.code == 7
    assert "no config.toml in this folder, so the built-in sandbox org answers" in found.err
    configured(tmp_path)
    found = await run(*words, home=tmp_path, env=pretend(tmp_path, "claude"))
    assert "no config.toml" not in found.err


async def test_run_uses_the_server_that_runs(tmp_path: Path) -> None:
    """A running server is used and goes on running; a permission mode of one's own is kept."""
    configured(tmp_path, ORG + '[keys]\nme = "a-key-of-mine"\n')
    port = free_port()
    async with serving(port, home=tmp_path) as server, ClientSession() as http:
        words = ("run", "claude", "--port", str(port), "--", "--permission-mode", "acceptEdits")
        found = await run(*words, home=tmp_path, env=pretend(tmp_path, "claude"))
        assert found.code == 7
        told = json.loads((tmp_path / "found.json").read_text())
        assert told["args"][2:] == ["--permission-mode", "acceptEdits"]
        assert told["env"]["ANTHROPIC_BASE_URL"] == f"{server.url}/anthropic"
        assert told["env"]["ANTHROPIC_AUTH_TOKEN"] == "a-key-of-mine"
        async with http.get(f"{server.url}/healthz") as answer:
            assert answer.status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_go_to_the_program(tmp_path: Path, number: int) -> None:
    """A signal to sfbridge reaches the program, whose exit code is passed on."""
    configured(tmp_path)
    process = await started(
        "run",
        "claude",
        "--port",
        str(free_port()),
        "--",
        "wait",
        home=tmp_path,
        env=pretend(tmp_path, "claude"),
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"waiting\n"
        process.send_signal(number)
        await process.communicate()
    assert process.returncode == 40 + number


async def test_a_killed_program_is_told_as_a_shell_tells_it(tmp_path: Path) -> None:
    """A program that a signal ended gives 128 and the signal's number; one that is missing is named."""
    configured(tmp_path)
    env = pretend(tmp_path, "claude")
    found = await run(
        "run", "claude", "--port", str(free_port()), "--", "die", home=tmp_path, env=env
    )
    assert found.code == 128 + signal.SIGKILL
    found = await run("run", "codex", home=tmp_path, env={"PATH": str(tmp_path)})
    assert found.code == 1
    assert "npm install -g @openai/codex" in found.err


async def test_a_script_without_interpreter_is_run_as_a_shell_would(tmp_path: Path) -> None:
    """What npm leaves in a program's place, where it may not run its install script, gets to say so."""
    configured(tmp_path)
    env = pretend(tmp_path, "opencode")
    (tmp_path / "bin" / "opencode").write_text(
        'echo "the postinstall script was not run" >&2\nexit 3\n'
    )
    found = await run("run", "opencode", "--port", str(free_port()), home=tmp_path, env=env)
    assert (found.code, "postinstall script was not run" in found.err) == (3, True)


async def test_run_tells_codex_and_opencode(tmp_path: Path) -> None:
    """Codex gets a provider of the Responses API by its arguments, opencode one of chat completions by its variable."""
    configured(tmp_path)
    for program in ("codex", "opencode"):
        words = ("run", program, "--port", str(free_port()), "--model", "gpt-4o", "--", "exec")
        assert (await run(*words, home=tmp_path, env=pretend(tmp_path, program))).code == 7
        told = json.loads((tmp_path / "found.json").read_text())
        if program == "codex":
            given = tomllib.loads("\n".join(told["args"][1:-1:2]))
            provider = given["model_providers"]["sfbridge"]
            assert (given["model"], given["model_context_window"]) == ("gpt-4o", 128000)
            assert provider["wire_api"] == "responses"
            assert provider["base_url"].endswith("/v1")
            assert told["env"][provider["env_key"]]
        else:
            given = json.loads(told["env"]["OPENCODE_CONFIG_CONTENT"])
            assert given["model"] == "sfbridge/gpt-4o"
            limits = given["provider"]["sfbridge"]["models"]["gpt-4o"]["limit"]
            assert limits["context"] == 128000
        assert told["args"][-1] == "exec"


async def test_settings_of_other_servers_do_not_win(tmp_path: Path) -> None:
    """Claude Code's own settings files go over its environment; what leads to this server goes over them, in a file
    that nobody else can read and that is gone afterwards."""
    configured(tmp_path, ORG + '[keys]\nme = "a-key-of-mine"\n')
    env = pretend(tmp_path, "claude")
    own = tmp_path / ".claude"
    own.mkdir()
    other = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1", "ANTHROPIC_API_KEY": "canary-other"}
    mode = {"defaultMode": "acceptEdits"}
    text = json.dumps({"env": other, "apiKeyHelper": "echo canary", "permissions": mode})
    (own / "settings.json").write_text(text)
    given = json.dumps({"env": {"MINE": "1", "ANTHROPIC_MODEL": "x"}, "model": "opus"})
    port = ("--port", str(free_port()))
    words = ("run", "claude", *port, "--model", "gpt-4o", "--", "--settings", given, "-p", "hi")
    assert (await run(*words, home=tmp_path, env=env)).code == 7
    told = json.loads((tmp_path / "found.json").read_text())
    assert told["args"][0] == "--settings"
    # their own permission mode is kept, and so is what they gave themselves
    assert told["args"][2:] == ["-p", "hi"]
    assert told["settings"]["model"] == "opus"
    read = told["settings"]["env"]
    assert read["MINE"] == "1"
    assert read["ANTHROPIC_BASE_URL"] == told["env"]["ANTHROPIC_BASE_URL"]
    assert read["ANTHROPIC_MODEL"] == "sf/claude-code-gpt-4o"
    assert (read["ANTHROPIC_API_KEY"], told["settings"]["apiKeyHelper"]) == ("", "")
    assert read["ANTHROPIC_AUTH_TOKEN"] not in "".join(told["args"])
    assert told["modes"] == [0o600, 0o700]
    assert not Path(told["args"][1]).exists()
    found = await run("env", "claude", *port, home=tmp_path)
    assert "settings.json sets ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY, apiKeyHelper" in found.out
    assert "canary" not in found.out


async def test_settings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """A --settings of one's own that is no JSON is said before anything is started."""
    configured(tmp_path)
    env = pretend(tmp_path, "claude")
    for given in ("{broken", "no-such-file.json", "[1]"):
        words = ("run", "claude", "--port", str(free_port()), "--", f"--settings={given}")
        found = await run(*words, home=tmp_path, env=env)
        assert found.code == 1
        assert "--settings of Claude Code: " in found.err
        assert not (tmp_path / "found.json").exists()


def test_where_an_administrator_leads_elsewhere(tmp_path: Path) -> None:
    """Nothing goes over the file of an administrator, so a program that would ask another server is not started."""
    file = tmp_path / "managed-settings.json"
    file.write_text(json.dumps({"env": {"ANTHROPIC_BASE_URL": "http://elsewhere.example"}}))
    order = Order("http://127.0.0.1:8000", "", Model(id="m"), folder=tmp_path)
    for environ in (
        {"ANTHROPIC_BASE_URL": "http://elsewhere.example"},
        {"CLAUDE_CODE_USE_BEDROCK": "1"},
        {"ANTHROPIC_AUTH_TOKEN": "another"},
    ):
        file.write_text(json.dumps({"env": environ}))
        with pytest.raises(ConfigError, match="nothing goes over it"):
            claude_code.setup(order, managed=file)
    file.write_text(json.dumps({"apiKeyHelper": "echo key"}))
    with pytest.raises(ConfigError, match="nothing goes over it"):
        claude_code.setup(order, managed=file)
    file.write_text(json.dumps({"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:8000/anthropic"}}))
    assert claude_code.setup(order, managed=file).environ["ANTHROPIC_MODEL"] == "sf/claude-code-m"


def test_a_window_that_is_too_small_is_told() -> None:
    """Claude Code is told the window of its model, and the person that it does not fit into it; limits of somebody else's
    model do not stay."""
    small = claude_code.setup(Order("http://127.0.0.1:8000", "", Model(id="m", window=8192)))
    assert small.environ["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "8192"
    assert any("Claude Code needs 32000" in advice for advice in small.advice)
    unknown = claude_code.setup(Order("http://127.0.0.1:8000", "", Model(id="m")))
    assert {"CLAUDE_CODE_MAX_CONTEXT_TOKENS", "CLAUDE_CODE_MAX_OUTPUT_TOKENS"} <= {*unknown.without}
    assert unknown.settings["env"]["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == ""


async def test_a_home_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    """Where there can be no log, the program is started without one, and a line says so."""
    configured(tmp_path)
    env = {**pretend(tmp_path, "claude"), "XDG_STATE_HOME": "/dev/null"}
    found = await run("run", "claude", "--port", str(free_port()), home=tmp_path, env=env)
    assert found.code == 7
    assert "there is no log" in found.err


def test_what_stands_behind_a_second_dash_is_somebody_elses() -> None:
    """Claude Code's own commands may start programs that have options of the same names."""
    words = ("mcp", "add", "foo", "--", "srv", "--settings", "cfg.json", "--permission-mode", "x")
    found = claude_code.setup(Order("http://127.0.0.1:8000", "", Model(id="m"), words))
    assert found.arguments == ("--permission-mode", "default", *words)
