"""A service from its installation to its end: what systemd and launchd are asked, what they refuse, how it stands."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from program import ORG, configured, run
from supervised import AGENT, FILES, UNIT, asked, desk

FAILED = "ActiveState=failed\nSubState=failed\nResult=exit-code\nNRestarts=5\n"


async def test_a_loaded_agent_is_replaced(tmp_path: Path) -> None:
    """launchd keeps the property list that it has, and refuses a second one: the old agent leaves first, however long
    that takes, and one that is not loaded is not asked to."""
    env = desk(tmp_path)
    words = ("service", "install", "--kind", "launchd")
    domain = f"gui/{os.getuid()}"
    start = [
        f"launchctl enable {domain}/local.sfbridge",
        f"launchctl bootstrap {domain} {tmp_path / AGENT}",
    ]
    first = await run(*words, home=tmp_path, env=env)
    assert (first.code, first.err) == (0, "")
    assert asked(tmp_path) == start
    for port in ("81", "81", "82"):
        again = await run(*words, "--port", port, home=tmp_path, env=env)
        assert (again.code, again.err) == (0, "")
        assert asked(tmp_path)[-3:] == [f"launchctl bootout {domain}/local.sfbridge", *start]
        assert f"server.port={port}" in (tmp_path / "loaded").read_text()
    gone = await run("service", "uninstall", "--kind", "launchd", home=tmp_path, env=env)
    assert (gone.code, gone.err) == (0, "")
    assert not (tmp_path / "loaded").exists()


async def test_without_a_bus_there_is_advice(tmp_path: Path) -> None:
    """Where systemd cannot be reached, as after su, the advice is to log in or to linger, and removing still removes:
    the file, and the link that would start it."""
    env = desk(tmp_path)
    (tmp_path / "no-bus").touch()
    user = pwd.getpwuid(os.getuid()).pw_name
    advice = f"sudo loginctl enable-linger {user}"
    words = ("--kind", "systemd")
    for action in ("install", "status", "uninstall"):
        link = tmp_path / UNIT.parent / "default.target.wants" / UNIT.name
        if action == "uninstall":
            link.parent.mkdir()
            link.symlink_to(tmp_path / UNIT)
        done = await run("service", action, *words, home=tmp_path, env=env)
        assert done.code == 1
        told = done.out + done.err
        assert told.count("Failed to connect to bus") == 1
        assert told.count(advice) == 1
        assert "log out" not in told
    assert not (tmp_path / UNIT).exists()
    assert not link.is_symlink()


async def test_lingering_is_mentioned(tmp_path: Path) -> None:
    """After an installation one line says that the service ends at logout, and how it would not."""
    env = desk(tmp_path)
    done = await run("service", "install", "--kind", "systemd", home=tmp_path, env=env)
    user = pwd.getpwuid(os.getuid()).pw_name
    assert f"It ends when you log out; to keep it: loginctl enable-linger {user}\n" in done.out
    other = await run("service", "install", "--kind", "launchd", home=tmp_path, env=env)
    assert "log out" not in other.out


async def test_a_server_that_does_not_start_has_the_last_word(tmp_path: Path) -> None:
    """What the server said is shown where its start fails."""
    env = desk(tmp_path)
    (tmp_path / "state").write_text(FAILED)
    done = await run("service", "install", "--kind", "systemd", home=tmp_path, env=env)
    assert done.code == 1
    assert "restart sfbridge.service ended with 1" in done.err
    assert (
        "its last words:\nsfbridge: server.port: the last words of the server\nmore: journalctl --user -u sfbridge"
        in done.err
    )


@pytest.mark.parametrize("kind", FILES)
async def test_a_service_keeps_its_configuration(tmp_path: Path, kind: str) -> None:
    """Installed again from anywhere, as after an update, it has the file and the settings that it had; only a file
    that is named takes their place."""
    env = desk(tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    (tmp_path / "config.toml").rename(mine / "config.toml")
    words = ("service", "install", "--kind", kind)
    first = await run(
        *words, "--config", "mine/config.toml", "--port", "81", home=tmp_path, env=env
    )
    assert first.code == 0, first.err
    text = (tmp_path / FILES[kind]).read_text()
    other = configured(tmp_path, ORG + "[server]\nport = 82\n")
    again = await run(*words, home=tmp_path, env=env)
    assert again.code == 0, again.err
    assert "is up to date already" in again.out
    assert f"started with {mine}/config.toml for http://127.0.0.1:81;" in again.out
    assert (tmp_path / FILES[kind]).read_text() == text
    changed = await run(*words, "--config", "config.toml", home=tmp_path, env=env)
    assert changed.code == 0, changed.err
    assert "for http://127.0.0.1:82;" in changed.out
    assert str(other) in (tmp_path / FILES[kind]).read_text()
    assert "server.port=81" not in (tmp_path / FILES[kind]).read_text()
