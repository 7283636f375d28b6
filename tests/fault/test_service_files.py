"""What a service's file says: where the server finds its commands and files, what may not stand there, how it is
written."""

from __future__ import annotations

import asyncio
import os
import plistlib
import re
import shutil
import site
import sys
from pathlib import Path

import pytest
from program import MODULE, ORG, ROOT, configured, environment, run
from supervised import AGENT, FILES, UNIT, asked, desk

SECRET = "sk-nobody-may-see-this"
ODD = '100% odd $name ${HOME} \\n "q" [b]* end'


async def understood(home: Path, unit: Path) -> str:
    """All that systemd's own checker tells of a unit that it has no complaint about; empty where it is not there."""
    checker = shutil.which("systemd-analyze")
    if checker is None:
        return ""
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    more = {"XDG_RUNTIME_DIR": str(runtime), "SYSTEMD_LOG_LEVEL": "debug", "SYSTEMD_LOG_COLOR": "0"}
    judged = await asyncio.create_subprocess_exec(
        checker, "verify", "--user", "--man=no", str(unit),
        env=environment(home, **more), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    told, complaints = await judged.communicate()
    assert judged.returncode == 0, complaints.decode()
    assert not re.search(r"sfbridge\.service:\d+:", complaints.decode()), complaints.decode()
    return told.decode()


def environ_of(home: Path, kind: str) -> dict[str, str]:
    """The variables that the service gets."""
    if kind == "launchd":
        found = plistlib.loads((home / AGENT).read_bytes())["EnvironmentVariables"]
        assert isinstance(found, dict)
        return found
    text = (home / UNIT).read_text()
    return dict(re.findall(r'^Environment="(\w+)=(.*)"$', text, re.MULTILINE))


@pytest.mark.parametrize("kind", FILES)
async def test_it_finds_what_its_installer_finds(tmp_path: Path, kind: str) -> None:
    """The PATH of the installing shell is the service's, each folder once and none relative, so that `claude` is found
    in ~/.local/bin; its XDG folders too, so that commands and service have the same files."""
    env = desk(tmp_path)
    local = f"{tmp_path}/.local/bin"
    state, config = f"{tmp_path}/state", f"{tmp_path}/.config"
    env |= {"PATH": f"{local}:{env['PATH']}:.:bin::{local}", "XDG_STATE_HOME": state}
    env |= {"XDG_CONFIG_HOME": config, "XDG_DATA_HOME": "relative/is/ignored"}
    done = await run("service", "install", "--kind", kind, home=tmp_path, env=env)
    assert done.code == 0, done.err
    found = environ_of(tmp_path, kind)
    entries = found.pop("PATH").split(":")
    assert entries[0] == local
    assert len(set(entries)) == len(entries)
    assert all(entry.startswith("/") for entry in entries)
    found.pop("PYTHONFAULTHANDLER", None)
    assert found == {"XDG_STATE_HOME": state, "XDG_CONFIG_HOME": config}


async def test_systemd_reads_odd_paths_as_they_are(tmp_path: Path) -> None:
    """Quotes, dollars, percent signs, backslashes, and spaces at the end: of folders, of values, of Python itself."""
    folder = tmp_path / f"{ODD} "
    folder.mkdir()
    configured(folder)
    python = tmp_path / ODD / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    env = desk(tmp_path) | {
        "XDG_CONFIG_HOME": str(tmp_path / ".config"),
        "XDG_STATE_HOME": "/a %h\\",
        # this Python is not in its environment any more
        "PYTHONPATH": os.pathsep.join((str(ROOT), *map(str, site.getsitepackages()))),
    }

    async def odd(*words: str) -> str:
        done = await run(
            "service", *words, "--kind", "systemd",
            home=tmp_path, env=env, entry=(str(python), "-m", "sfbridge"),
        )  # fmt: skip
        assert done.code == (words[0] == "status"), done.err
        return done.out

    value = "sessions.path=a ${b} $c %h \\"
    await odd("install", "--config", f"{folder}/config.toml", "--set", value)
    # a path that is given here is one of this folder, not of the service's
    value = value.replace("=", f"={tmp_path}/", 1)
    text = (tmp_path / UNIT).read_text()
    assert f'\nExecStart="/usr/bin/env" "{in_quotes(python)}" "-m" "sfbridge"' in text
    assert f'"--config" "{in_quotes(folder)}/config.toml" "--set" "{in_quotes(value)}"\n' in text
    # the rest of the line, without quotes; the slash keeps the space at the end
    assert f"\nWorkingDirectory={str(folder).replace('%', '%%')}/\n" in text
    assert '\nEnvironment="XDG_STATE_HOME=/a %%h\\\\"\n' in text
    if told := await understood(tmp_path, tmp_path / UNIT):
        assert f"\tWorkingDirectory: {folder}\n" in told
        assert "\tEnvironment: XDG_STATE_HOME=/a %h\\\n" in told
        assert "\tCommand Line: /usr/bin/env " in told
    # and it is read as it was written
    assert f"{tmp_path / UNIT}: up to date\n" in await odd("status")


def in_quotes(word: object) -> str:
    """A word as it must stand in a unit's command."""
    found = str(word).replace("\\", "\\\\").replace('"', '\\"')
    return found.replace("$", "$$").replace("%", "%%")


@pytest.mark.parametrize("kind", FILES)
async def test_a_line_break_begins_no_new_line(tmp_path: Path, kind: str) -> None:
    """What has a control character in it is refused, wherever it comes from: it would be read as further settings."""
    env = desk(tmp_path)
    folder = tmp_path / "x\nExecStartPre=touch pwned"
    folder.mkdir()
    configured(folder)
    value = "sessions.path=x\nExecStartPre=touch pwned"
    for words, more in (
        (("--config", f"{folder}/config.toml"), {}),
        (("--set", value), {}),
        ((), {"PATH": f"{env['PATH']}:/x\nExecStartPre=touch pwned"}),
        ((), {"XDG_STATE_HOME": "/x\x1b[2J"}),
    ):
        done = await run(
            "service", "install", "--kind", kind, *words, home=tmp_path, env=env | more
        )
        assert done.code == 1
        assert "control character" in done.err
        assert "\n" not in done.err.strip()
    assert not (tmp_path / FILES[kind]).exists()
    assert asked(tmp_path) == []


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (f"keys.me={SECRET}", "launchd"),
        (f"keys.me.secret_hash={SECRET}", "systemd"),
        (f"upstream.salesforce.client_secret={SECRET}", "systemd"),
        (f"upstream.salesforce.client_id={SECRET}", "systemd"),
        (
            f'upstream.local={{kind="openai", base_url="http://127.0.0.1:1", api_key="{SECRET}"}}',
            "systemd",
        ),
        (f"upstream.salesforce.environment.ANTHROPIC_AUTH_TOKEN={SECRET}", "systemd"),
        (f"upstream.salesforce.base_url=http://me:{SECRET}@127.0.0.1:1", "systemd"),
    ],
)
async def test_secrets_do_not_become_part_of_a_command(
    tmp_path: Path, item: str, kind: str
) -> None:
    """A secret of the command line is refused and not shown; the advice names the place that this kind has for it."""
    env = desk(tmp_path)
    done = await run("service", "install", "--kind", kind, "--set", item, home=tmp_path, env=env)
    assert done.code == 1
    assert SECRET not in done.out + done.err
    assert item.partition("=")[0] in done.err
    assert "the configuration file" in done.err
    assert (f"{tmp_path}/.config/sfbridge/environment" in done.err) is (kind == "systemd")
    assert not (tmp_path / FILES[kind]).exists()


async def test_what_is_no_secret_may_be_set(tmp_path: Path) -> None:
    """Other keys become part of the command, limits of a client too."""
    env = desk(tmp_path, ORG + '[keys.me]\nsecret = "a-key-of-mine"\n')
    items = ("keys.me.in_flight=3", "output.reserve=0.3", "server.host=127.0.0.1")
    words = [word for item in items for word in ("--set", item)]
    done = await run("service", "install", "--kind", "systemd", *words, home=tmp_path, env=env)
    assert done.code == 0, done.err
    assert " ".join(f'"{word}"' for word in words) in (tmp_path / UNIT).read_text()


@pytest.mark.parametrize("kind", FILES)
async def test_variables_of_the_shell_are_named(tmp_path: Path, kind: str) -> None:
    """SFBRIDGE_ variables are not in the service: that is said, by their names, and where to put them instead."""
    env = desk(tmp_path) | {"SFBRIDGE_KEYS__ME": SECRET, "SFBRIDGE_LOG__LEVEL": "debug"}
    done = await run("service", "install", "--kind", kind, home=tmp_path, env=env)
    assert done.code == 0, done.err
    assert "SFBRIDGE_KEYS__ME, SFBRIDGE_LOG__LEVEL: set in this shell only" in done.err
    assert SECRET not in done.out + done.err
    assert "SFBRIDGE_KEYS" not in (tmp_path / FILES[kind]).read_text()
    assert ("/sfbridge/environment" in done.err) is (kind == "systemd")


async def test_the_file_of_variables_counts(tmp_path: Path) -> None:
    """What stands in ~/.config/sfbridge/environment is of the service: a key there opens an address that needs one,
    and its variables need no word, unless others can read them."""
    env = desk(tmp_path, ORG + '[server]\nhost = "0.0.0.0"\nport = 8790\n')
    words = ("service", "install", "--kind", "systemd")
    shell = {"SFBRIDGE_KEYS__ME": SECRET}
    refused = await run(*words, home=tmp_path, env=env | shell)
    assert refused.code == 1
    assert "at least one key is needed" in refused.err
    place = tmp_path / ".config/sfbridge/environment"
    place.parent.mkdir(parents=True)
    place.write_text(f"# mine\nSFBRIDGE_KEYS__ME=\"{SECRET}\"\nSFBRIDGE_SERVER__PORT='8791'\n")
    place.chmod(0o600)
    done = await run(*words, home=tmp_path, env=env | shell)
    assert done.code == 0, done.err
    assert "this shell" not in done.err
    assert "chmod" not in done.err
    assert "http://127.0.0.1:8791" in done.out
    assert SECRET not in done.out + (tmp_path / UNIT).read_text()
    place.chmod(0o644)
    done = await run(*words, home=tmp_path, env=env)
    assert f"{place}: others can read it; chmod 600 it" in done.err


async def test_a_service_needs_a_file(tmp_path: Path) -> None:
    """Without a configuration nothing is installed, and the advice leads to a service that has one."""
    env = desk(tmp_path)
    (tmp_path / "config.toml").unlink()
    words = ("service", "install", "--kind", "systemd")
    usual = "~/.config/sfbridge/config.toml"
    refused = await run(*words, home=tmp_path, env=env)
    assert refused.code == 1
    assert f"config init --config {usual}`" in refused.err
    missing = await run(*words, "--config", "x.toml", home=tmp_path, env=env)
    assert missing.code == 1
    assert "x.toml: there is no such file" in missing.err
    assert not (tmp_path / UNIT).exists()
    assert asked(tmp_path) == []
    made = await run(
        "config", "init", "--upstream", "sandbox", "--no-verify", "--config", f"{tmp_path}/{usual[2:]}",
        home=tmp_path, env=env,
    )  # fmt: skip
    assert made.code == 0
    advised = await run(*words, home=tmp_path, env=env)
    assert advised.code == 1
    assert f"add --config {usual}" in advised.err
    done = await run(*words, "--config", f"{tmp_path}/{usual[2:]}", home=tmp_path, env=env)
    assert done.code == 0, done.err


@pytest.mark.parametrize("kind", FILES)
async def test_it_is_written_whole_and_for_its_owner(tmp_path: Path, kind: str) -> None:
    """A new file takes the old one's place at once, only its owner can read it, and nothing else is left there."""
    env = desk(tmp_path)
    file = tmp_path / FILES[kind]
    words = ("service", "install", "--kind", kind)
    assert (await run(*words, home=tmp_path, env=env)).code == 0
    with file.open() as before:
        again = await run(*words, "--port", "81", home=tmp_path, env=env)
        assert again.code == 0, again.err
        assert "server.port=81" not in before.read()
    assert "server.port=81" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
    # a full disk
    full = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *MODULE)
    failed = await run(*words, "--port", "82", home=tmp_path, env=env, entry=full)
    assert failed.code == 1
    assert "server.port=81" in file.read_text()
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


async def test_systemd_takes_every_setting(tmp_path: Path) -> None:
    """Its checker knows all keys and values of the unit, and reads from them what is meant."""
    env = desk(tmp_path, ORG + "[server]\nshutdown_grace = 40\n")
    assert (await run("service", "install", "--kind", "systemd", home=tmp_path, env=env)).code == 0
    text = (tmp_path / UNIT).read_text()
    assert "\nKillMode=mixed\n" in text
    assert "\nTimeoutStopSec=55\n" in text
    # these break the claude CLI, or need what a user's own systemd does not have
    for key in ("MemoryDenyWriteExecute", "RestrictNamespaces", "PrivateTmp", "ProtectSystem"):
        assert key not in text
    if told := await understood(tmp_path, tmp_path / UNIT):
        for line in ("KillMode: mixed", "OOMPolicy: continue", "LockPersonality: yes"):
            assert f"\t{line}\n" in told
        assert f"\tEnvironmentFile: -{tmp_path}/.config/sfbridge/environment\n" in told


async def test_launchd_gives_time_to_stop(tmp_path: Path) -> None:
    """Open answers end before launchd kills the server, whose own limit is twenty seconds."""
    env = desk(tmp_path, ORG + "[server]\nshutdown_grace = 40\n")
    done = await run("service", "install", "--kind", "launchd", home=tmp_path, env=env)
    assert done.code == 0, done.err
    assert plistlib.loads((tmp_path / AGENT).read_bytes())["ExitTimeOut"] == 55
