"""Every command does what it says, as a real process: output, exit code, and one line where something is wrong."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from program import MODULE, ORG, ROOT, configured, free_port, run, serving, started
from speak import body_of

from sfbridge.policy.hashes import hashed

# of the key "a-key-of-mine"
HASH = hashed("a-key-of-mine", bytes(16))
COMMANDS = (
    "serve", "check", "ask", "models", "explain", "run", "env", "config", "hash-key", "service", "sandbox",
)  # fmt: skip


# ---- the frame


@pytest.mark.parametrize("entry", [MODULE, (sys.executable, str(ROOT / "run.py"))])
async def test_help_names_every_command(tmp_path: Path, entry: tuple[str, ...]) -> None:
    """Both ways to start the program print the same help, which names all of its commands."""
    found = await run("--help", home=tmp_path, entry=entry)
    assert found.code == 0
    assert found.err == ""
    assert found == await run("-h", home=tmp_path)
    for command in COMMANDS:
        assert f"\n    {command}" in found.out


@pytest.mark.parametrize("command", COMMANDS)
async def test_each_command_explains_itself(tmp_path: Path, command: str) -> None:
    """`sfbridge COMMAND --help` ends well and shows the usage."""
    found = await run(command, "--help", home=tmp_path)
    assert found.code == 0
    assert found.out.startswith(f"usage: sfbridge {command}")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("no-such",), 2, "invalid choice"),
        (("ask",), 2, "question"),
        (("models", "--", "-p"), 2, "-p"),
        (("sandbox", "--port", "99999"), 1, "--port: 99999 is not a port number"),
        (("run", "vim"), 2, "vim"),
        (("models", "--config", "none.toml"), 1, "none.toml: there is no such file"),
        (("models", "--set", "server.prot=1"), 1, "server.prot: there is no such key"),
        (
            ("explain", "req_1", "--port", "1"),
            1,
            "no sfbridge answers at http://127.0.0.1:1; start it",
        ),
        (("ask", "hi", "--model", "no-such-model"), 1, "no-such-model"),
        (("env", "claude", "--model", "text-embedding-ada-002"), 1, "makes embeddings"),
        (("env", "openai", "--set", f"keys.me.secret_hash={HASH}"), 1, "SFBRIDGE_KEYS__ME=<key>"),
        (("serve", "--port", "port"), 1, "server.port: "),
        (("config", "show", "--set", "keys.me.x=1"), 1, "keys.me.x: there is no such key"),
        (("config", "show", "--set", "upstream.x=1"), 1, "upstream.x: Expected"),
        (("config", "show", "--set", "server.keys_file=~nobody-here/x"), 1, "server.keys_file: "),
        (("config", "show", "--set", "api_key=canary"), 1, "--set api_key…: write it as"),
        (("ask", "hi", "--tools", "none.json"), 1, "none.json"),
    ],
)
async def test_what_is_wrong_is_one_line(
    tmp_path: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    """Usage errors end with 2, everything else that cannot be done with 1 and a line that says why."""
    found = await run(*words, home=tmp_path)
    assert found.code == code
    assert told in found.err
    if code == 1:
        lines = [line for line in found.err.splitlines() if " WARNING " not in line]
        assert len(lines) == 1


async def test_options_before_and_after_a_command_add_up(tmp_path: Path) -> None:
    """--set counts wherever it stands; of options that take one value the later one does."""
    configured(tmp_path)
    before = ("--set", "server.max_body=5000", "--port", "1", "config", "show", "--changed")
    found = await run(*before, "--set", "models.default=gpt-4o", "--port", "2", home=tmp_path)
    shown = " ".join(found.out.split())
    assert "max_body = 5000 # --set server.max_body" in shown
    assert 'default = "gpt-4o" # --set models.default' in shown
    assert "port = 2 #" in shown


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
@pytest.mark.parametrize("words", ["ask -", "config init", "hash-key", "check --offline", "models"])
async def test_closed_streams_are_no_reason_to_break(
    tmp_path: Path, words: str, closed: str
) -> None:
    """A command that is started without one of the three streams does what it can without it, and says so."""
    configured(tmp_path)
    port = f"--set sandbox.port=0 --port {free_port()}" if "hash-key" not in words else ""
    line = f"{shlex.join(MODULE)} {words} {port} {closed}"
    found = await run(entry=("bash", "-c", line), home=tmp_path)
    assert found.code in (0, 1, 130)
    assert "Exception" not in found.err


async def test_any_locale_will_do(tmp_path: Path) -> None:
    """Where the locale has no UTF-8, questions are read as they were typed, and answers are spelt out."""
    configured(tmp_path)
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = await run("ask", "say \u00e4", home=tmp_path, env=env)
    assert (found.code, found.out) == (0, "Echo: say \\xe4\n")
    found = await run("config", "init", "--config", "c.toml", home=tmp_path, env=env)
    assert (found.code, "nobody answers the questions" in found.err) == (1, True)


async def test_a_question_may_begin_with_a_dash(tmp_path: Path) -> None:
    """What stands behind -- is the question, whatever it looks like."""
    configured(tmp_path)
    found = await run("ask", "--", "--what", home=tmp_path)
    assert (found.code, found.out) == (0, "Echo: --what\n")


async def test_an_interrupted_command_leaves_quietly(tmp_path: Path) -> None:
    """Ctrl-C in the middle of an answer ends with 130 and without a stack trace."""
    configured(tmp_path)
    process = await started("ask", "hi", "--model", "sfdc_ai__Defaultsandbox-stall", home=tmp_path)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        await process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err


# ---- ask, models, explain


async def test_ask_prints_the_answer(tmp_path: Path) -> None:
    """Without a server, one is opened for the question; the answer is on standard output, alone."""
    configured(tmp_path)
    found = await run("ask", "Say hello.", home=tmp_path)
    assert (found.code, found.out) == (0, "Hello! This is the sandbox org speaking.\n")
    found = await run("ask", "-", "--model", "gpt-4o", home=tmp_path, typed="Say hello.")
    assert (found.code, found.out) == (0, "Hello! This is the sandbox org speaking.\n")


@pytest.mark.parametrize("form", ["openai", "anthropic", "responses", "object"])
async def test_ask_shows_calls(tmp_path: Path, form: str) -> None:
    """Tools of a file are offered, in either API's form, and a call is printed with its arguments."""
    configured(tmp_path)
    wire = form if form in ("anthropic", "responses") else "openai"
    tools: Any = body_of(wire, "m", tools=True)["tools"]
    (tmp_path / "tools.json").write_text(
        json.dumps({"tools": tools} if form == "object" else tools)
    )
    question = "Use the calculator tool to compute 6*7, then state the result."
    found = await run("ask", question, "--tools", "tools.json", home=tmp_path)
    assert found.code == 0
    assert found.out == 'calculator({"input":"6*7"})\n'


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("no-such-model", "no-such-model"),
        ("sfdc_ai__Defaultsandbox-400", "sfbridge: "),
        ("sfdc_ai__Defaultsandbox-cut", "sfbridge: "),
    ],
)
async def test_ask_fails_visibly(tmp_path: Path, model: str, told: str) -> None:
    """A refusal, an unknown model and a broken stream end with 1 and the reason."""
    configured(tmp_path)
    found = await run("ask", "hi", "--model", model, home=tmp_path)
    assert found.code == 1
    assert told in found.err.splitlines()[-1]


async def test_commands_speak_with_the_running_server(tmp_path: Path) -> None:
    """Where a server runs, questions go through it, and `explain` tells what became of them."""
    configured(tmp_path, ORG + '[keys]\nme = "a-key-of-mine"\n')
    port = free_port()
    async with serving(port, home=tmp_path) as server, ClientSession() as http:
        there = ("--port", str(port))
        assert (await run("ask", "Say hello.", *there, home=tmp_path)).code == 0
        checked = await run("check", "--offline", *there, home=tmp_path)
        assert checked.code == 0
        assert f"an sfbridge answers at {server.url}" in checked.out
        assert "ok       upstream salesforce: sandbox" in checked.out
        assert "claude-sonnet-4-6" in (await run("models", *there, home=tmp_path)).out
        headers = {"Authorization": "Bearer a-key-of-mine"}
        async with http.get(f"{server.url}/v1/sfbridge/turns", headers=headers) as answer:
            (turn,) = (await answer.json())["turns"]
        found = await run("explain", turn["id"], *there, home=tmp_path)
        assert found.code == 0
        assert found.out.startswith(f"{turn['id']}: ")
        assert "The answer was whole" in found.out
        ended = await server.stop()
    lines = [json.loads(line) for line in ended.err.splitlines()]
    assert turn["id"] in [line.get("id") for line in lines]


# ---- config


async def test_show_names_every_origin(tmp_path: Path) -> None:
    """Each key is shown with its value and where it was set, and no secret is."""
    configured(tmp_path, ORG + '[stream]\npatience = 2.0\n[keys]\nme = "canary-key"\n')
    env = {
        "SFBRIDGE_STREAM__KEEP_ALIVE": "3",
        "SFBRIDGE_UPSTREAM__SALESFORCE__CLIENT_SECRET": "canary-secret",
    }
    words = ("config", "show", "--set", "stream.hold_after=4", "--port", "81")
    found = await run(*words, home=tmp_path, env=env)
    assert found.code == 0
    lines = [" ".join(line.split()) for line in found.out.splitlines()]
    for line in (
        "patience = 2.0 # config.toml",
        "keep_alive = 3.0 # environment variable SFBRIDGE_STREAM__KEEP_ALIVE",
        "hold_after = 4.0 # --set stream.hold_after",
        "port = 81 # --set server.port",
        'host = "127.0.0.1" # default',
        'me = "[hidden]" # config.toml',
        'client_secret = "[hidden]" # environment variable SFBRIDGE_UPSTREAM__SALESFORCE__CLIENT_SECRET',
        'surface = "auto" # default',
    ):
        assert line in lines
    assert "canary" not in found.out
    tomllib.loads(found.out)
    changed = await run("config", "show", "--changed", home=tmp_path)
    assert "# default" not in changed.out


async def test_init_writes_a_file_that_works(tmp_path: Path) -> None:
    """The file is for its owner alone, is tried at once, and starts a server."""
    found = await run("config", "init", "--upstream", "sandbox", "--with-key", home=tmp_path)
    assert found.code == 0
    assert "model claude-sonnet-4-6: answered" in found.out
    path = tmp_path / "config.toml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["config.toml"]
    text = path.read_text()
    assert tomllib.loads(text)["keys"]["me"] not in found.out
    assert "# " in text
    words = ("--port", str(free_port()), "--set", "sandbox.port=0")
    checked = await run("check", *words, home=tmp_path)
    assert (checked.code, "fail" in checked.out) == (0, False)


async def test_init_never_replaces_unasked(tmp_path: Path) -> None:
    """A file that is there stays, unless a person agrees or --force is given."""
    path = configured(tmp_path, "# mine\n")
    words = ("config", "init", "--no-verify")
    found = await run(*words, "--upstream", "sandbox", home=tmp_path)
    assert (found.code, path.read_text()) == (1, "# mine\n")
    assert "--force" in found.err
    found = await run(*words, home=tmp_path, typed="n\n")
    assert (found.code, path.read_text()) == (1, "# mine\n")
    found = await run(*words, home=tmp_path, typed="y\n3\nhttp://127.0.0.1:9\nn\n8124\nn\n")
    assert found.code == 0
    written = {name: table for name, table in tomllib.loads(path.read_text()).items() if table}
    assert written == {
        "server": {"host": "127.0.0.1", "port": 8124},
        "upstream": {"local": {"kind": "openai", "base_url": "http://127.0.0.1:9"}},
    }
    found = await run(*words, "--upstream", "sandbox", "--force", home=tmp_path)
    assert found.code == 0
    assert "salesforce" in path.read_text()


async def test_init_keeps_what_it_replaces(tmp_path: Path) -> None:
    """A file that is replaced stays beside the new one; behind a link the file is replaced, not the link; what cannot
    work replaces nothing."""
    real = configured(tmp_path, "# mine\n" + ORG)
    link = tmp_path / "link.toml"
    link.symlink_to(real)
    words = ("config", "init", "--force", "--no-verify", "--config", "link.toml", "--upstream")
    refused = await run(*words, "openai", "--base-url", "ftp://x", home=tmp_path)
    assert refused.code == 1
    assert "upstream.local.base_url: must begin with http" in refused.err
    missing = await run(
        *words, "openai", "--base-url", "http://x", "--api-key-file", "none", home=tmp_path
    )
    assert (missing.code, "api_key_file" in missing.err) == (1, True)
    assert real.read_text().startswith("# mine")
    assert (await run(*words, "sandbox", home=tmp_path)).code == 0
    assert link.is_symlink()
    assert "written by" in real.read_text()
    assert (tmp_path / "config.toml.before").read_text().startswith("# mine")
    for place in (".", "bin/.."):
        (tmp_path / "bin").mkdir(exist_ok=True)
        found = await run(
            "config", "init", "--upstream", "sandbox", "--force", "--config", place, home=tmp_path
        )
        assert (found.code, "is no file" in found.err) == (1, True)


async def test_init_asks_again(tmp_path: Path) -> None:
    """A slip at one question does not throw the other answers away; the secret is written, and shown nowhere."""
    typed = "7\n2\n\nhttps://x.my.salesforce.com\nan-app\n\nthe-secret-of-mine\nport\n8123\ny\n"
    words = ("config", "init", "--no-verify", "--config", "sub/own.toml")
    found = await run(*words, home=tmp_path, typed=typed)
    assert found.code == 0
    assert "the-secret-of-mine" not in found.out + found.err
    written = tomllib.loads((tmp_path / "sub" / "own.toml").read_text())
    assert written["server"]["port"] == 8123
    assert written["upstream"]["salesforce"]["client_secret"] == "the-secret-of-mine"
    assert len(written["keys"]["me"]) > 20


async def test_init_needs_a_key_where_others_reach(tmp_path: Path) -> None:
    """An address that others reach gets a key without being asked."""
    words = ("config", "init", "--no-verify", "--upstream", "sandbox", "--host", "0.0.0.0")
    assert (await run(*words, home=tmp_path)).code == 0
    written = tomllib.loads((tmp_path / "config.toml").read_text())
    assert (written["server"]["host"], "me" in written["keys"]) == ("0.0.0.0", True)


async def test_init_says_what_does_not_work(tmp_path: Path) -> None:
    """An org that cannot be reached is told right after the file was written."""
    (tmp_path / "secret").write_text("canary-secret-1234")
    words = (
        "config", "init", "--upstream", "salesforce", "--my-domain", "http://127.0.0.1:1",
        "--client-id", "canary-client", "--client-secret-file", "secret",
    )  # fmt: skip
    found = await run(*words, home=tmp_path)
    assert found.code == 1
    assert "fail     upstream salesforce: " in found.out
    assert "canary" not in found.out + found.err
    found = await run("config", "init", "--upstream", "openai", "--force", home=tmp_path)
    assert (found.code, "--base-url is needed" in found.err) == (1, True)


@pytest.mark.parametrize(
    ("word", "kind"),
    [("sandbox", "salesforce"), ("claude-cli", "claude-cli"), ("lingma", "lingma")],
)
async def test_init_knows_every_kind(tmp_path: Path, word: str, kind: str) -> None:
    """Each kind of upstream has a first file whose keys are those of its adapter, and `show` adds their defaults."""
    found = await run("config", "init", "--no-verify", "--upstream", word, home=tmp_path)
    assert found.code == 0
    shown = await run("config", "show", home=tmp_path)
    assert f'kind = "{kind}"' in " ".join(shown.out.split())
    assert shown.out.count("# default") > 40


async def test_secrets_within_tables_are_masked(tmp_path: Path) -> None:
    """A key with limits, a hash, and a variable for a child process are shown without what is secret."""
    text = """\
[keys.me]
secret = "canary-of-the-key"
requests_per_minute = 7
[upstream.claude]
kind = "claude-cli"
environment = { AWS_SECRET_ACCESS_KEY = "canary-of-aws", AWS_REGION = "eu" }
"""
    configured(tmp_path, text)
    for words in (("config", "show"), ("check", "--offline")):
        found = await run(*words, home=tmp_path)
        assert "canary" not in found.out + found.err
        assert "requests_per_minute" in found.out
        assert "AWS_REGION" in found.out


async def test_a_server_that_knows_only_hashes_wants_a_key(tmp_path: Path) -> None:
    """Where the configuration holds hashes, a command says how to give it a key, and then has its answer."""
    made = await run("hash-key", home=tmp_path, typed="a-key-of-mine\n")
    configured(tmp_path, ORG + f"[keys.laptop]\n{made.out}")
    port = free_port()
    async with serving(port, home=tmp_path):
        words = ("models", "--port", str(port))
        found = await run(*words, home=tmp_path)
        assert (found.code, "SFBRIDGE_KEYS__ME" in found.err) == (1, True)
        found = await run(*words, home=tmp_path, env={"SFBRIDGE_KEYS__ME": "a-key-of-mine"})
        assert (found.code, "gpt-4o" in found.out) == (0, True)


async def test_a_missing_library_is_said_in_one_line(tmp_path: Path) -> None:
    """Started with a Python that has not been given the libraries, the program says how to give them."""
    for entry in (("-m", "sfbridge"), (str(ROOT / "run.py"),)):
        # -S leaves out what was installed
        command = (sys.executable, "-S", *entry, "--help")
        child = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await child.communicate()
        assert (child.returncode, out) == (1, b"")
        assert b"pip install ." in err
        assert len(err.splitlines()) == 1


async def test_a_taken_port_is_named_before_anything_is_opened(tmp_path: Path) -> None:
    """A second server is told of the port that it was to have, and not of another that it needs as well."""
    port, org = free_port(), free_port()
    configured(tmp_path, ORG.replace("port = 0", f"port = {org}"))
    async with serving(port, home=tmp_path):
        found = await run("serve", "--port", str(port), home=tmp_path)
    assert found.code == 1
    assert f"server.port: cannot listen on 127.0.0.1:{port}" in found.err
    assert "another sfbridge?" in found.err


async def test_any_free_port_is_told(tmp_path: Path) -> None:
    """A server that was told to take any port says which one it took."""
    configured(tmp_path)
    process = await started("serve", "--port", "0", home=tmp_path)
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while b"sfbridge 0" not in (line := await process.stderr.readline()):
            assert line
    (url,) = re.findall(r"on (http://\S+)", json.loads(line)["message"])
    async with ClientSession() as http, http.get(f"{url}/healthz") as answer:
        assert answer.status == 200
    process.terminate()
    await process.communicate()


async def test_paths_in_a_file_are_beside_it(tmp_path: Path) -> None:
    """A configuration in another folder names its own neighbours, from wherever a command is run."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "keys.toml").write_text('me = "a-key-of-mine"\n')
    (folder / "keys.toml").chmod(0o600)
    (folder / "turns.toml").write_text('[[turn]]\ntext = "As scripted."\n')
    text = ORG + 'scenario = "turns.toml"\n[server]\nkeys_file = "keys.toml"\n'
    (folder / "own.toml").write_text(text)
    found = await run("ask", "hi", "--config", "own/own.toml", home=tmp_path)
    assert (found.code, found.out) == (0, "As scripted.\n")


async def test_nobody_answers_in_the_place_of_another_machine(tmp_path: Path) -> None:
    """A command that is to ask another machine's server fails when that is silent, rather than asking one of its own."""
    configured(tmp_path)
    # a name that is reserved for nobody, so that nothing is sent to anybody
    words = (
        "--host",
        "nobody.invalid",
        "--set",
        "keys.me=a-key-of-mine",
        "--set",
        "http.idle_seconds=1",
    )
    found = await run("ask", "Say hello.", *words, home=tmp_path)
    assert (found.code, found.out) == (1, "")
    assert (
        "no sfbridge answers at http://nobody.invalid:8000, and that is not this machine"
        in found.err
    )
