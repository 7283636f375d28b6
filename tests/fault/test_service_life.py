"""A service from its installation to its end: what systemd and launchd are asked, what they refuse, how it stands."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from program import ORG, configured, free_port, run, serving
from supervised import AGENT, FILES, UNIT, asked, desk

from sfbridge import __version__

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


@pytest.mark.parametrize(("fault", "kind"), [("broken", "systemd"), ("deleted", "launchd")])
async def test_a_lost_configuration_hinders_nothing(tmp_path: Path, fault: str, kind: str) -> None:
    """Without a configuration that can be read, `status` says so and still tells of the service, and `uninstall`
    works."""
    env = desk(tmp_path)
    words = ("--kind", kind)
    assert (await run("service", "install", *words, home=tmp_path, env=env)).code == 0
    path = tmp_path / "config.toml"
    if fault == "broken":
        path.write_text(ORG + "[server]\nprot = 1\n")
    else:
        path.unlink()
    status = await run("service", "status", *words, home=tmp_path, env=env)
    assert status.code == 1
    why = "server.prot: there is no such key" if fault == "broken" else "there is no such file"
    assert "broken: " in status.out
    assert why in status.out
    assert f"{tmp_path / FILES[kind]}: installed" in status.out
    assert "running" in status.out
    gone = await run("service", "uninstall", *words, home=tmp_path, env=env)
    assert (gone.code, gone.err) == (0, "")
    assert not (tmp_path / FILES[kind]).exists()


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
    """What the server said is shown where its start fails, and in its status after systemd gave up."""
    env = desk(tmp_path)
    (tmp_path / "state").write_text(FAILED)
    done = await run("service", "install", "--kind", "systemd", home=tmp_path, env=env)
    assert done.code == 1
    assert "restart sfbridge.service ended with 1" in done.err
    assert (
        "its last words:\nsfbridge: server.port: the last words of the server\nmore: journalctl --user -u sfbridge"
        in done.err
    )
    status = await run("service", "status", "--kind", "systemd", home=tmp_path, env=env)
    assert status.code == 1
    assert "failed, exit-code, restarted 5 times by itself" in status.out
    assert "the last words of the server" in status.err


@pytest.mark.parametrize("kind", FILES)
async def test_the_status_is_of_what_was_installed(tmp_path: Path, kind: str) -> None:
    """From any folder and without options: the server of the service is asked, and 0 means that it answers."""
    env = desk(tmp_path)
    port = free_port()
    words = ("service", "install", "--kind", kind, "--port", str(port))
    assert (await run(*words, home=tmp_path, env=env)).code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.toml").write_text("[server]\nport = 1\n")
    home = {"HOME": str(tmp_path)}
    words = ("service", "status", "--kind", kind)
    silent = await run(*words, home=elsewhere, env=env | home)
    assert silent.code == 1
    assert f"no sfbridge answers at http://127.0.0.1:{port}" in silent.out
    async with serving(port, home=tmp_path):
        status = await run(*words, home=elsewhere, env=env | home)
        assert (status.code, status.err) == (0, "")
        assert f"{tmp_path / FILES[kind]}: up to date\n" in status.out
        assert f"{kind}  {'active (running)' if kind == 'systemd' else 'running'}\n" in status.out
        assert f"http://127.0.0.1:{port} answers, version {__version__}\n" in status.out
        assert f"{tmp_path}/config.toml\n" in status.out
        log = "journalctl --user -u sfbridge\n"
        assert (
            log if kind == "systemd" else f"{tmp_path}/Library/Logs/sfbridge.log\n"
        ) in status.out
        assert ("what systemd says of it" in status.out) is (kind == "systemd")
        # another server has its port
        (tmp_path / "state").write_text(FAILED)
        (tmp_path / "loaded").unlink(missing_ok=True)
        assert (await run(*words, home=elsewhere, env=env | home)).code == 1


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


async def test_a_file_that_is_behind_is_told(tmp_path: Path) -> None:
    """A changed configuration, another version's file, a Python that is gone, what somebody wrote by hand."""
    env = desk(tmp_path)
    file = tmp_path / UNIT

    async def told() -> str:
        done = await run("service", "status", "--kind", "systemd", home=tmp_path, env=env)
        assert done.code == 1
        return done.out.partition("\n")[0].partition(f"{file}: ")[2]

    assert await told() == "not installed"
    assert (await run("service", "install", "--kind", "systemd", home=tmp_path, env=env)).code == 0
    text = file.read_text()
    assert await told() == "up to date"
    (tmp_path / "config.toml").write_text(ORG + "[server]\nshutdown_grace = 300\n")
    assert "another version or configuration; install it again" in await told()
    (tmp_path / "config.toml").write_text(ORG)
    file.write_text(text.replace("/bin/python", "/bin/was-python"))
    assert "was-python" in (line := await told())
    assert "which is gone" in line
    file.write_text("[Service]\nExecStart=/bin/mine\n")
    assert "not as sfbridge writes it" in await told()


async def test_an_agent_of_somebody_else_is_told(tmp_path: Path) -> None:
    """A property list that cannot be read hinders no status."""
    env = desk(tmp_path)
    (tmp_path / AGENT).parent.mkdir(parents=True)
    (tmp_path / AGENT).write_text("mine\n")
    status = await run("service", "status", "--kind", "launchd", home=tmp_path, env=env)
    assert status.code == 1
    assert "not as sfbridge writes it; install it again" in status.out
    assert "Could not find service" in status.out


async def test_a_server_without_a_service_is_told(tmp_path: Path) -> None:
    """Nothing is asked of systemd where the service is not installed, and `status` says whether a server runs all the
    same."""
    env = desk(tmp_path)
    port = free_port()
    async with serving(port, home=tmp_path):
        words = ("service", "status", "--kind", "systemd", "--port", str(port))
        status = await run(*words, home=tmp_path, env=env)
    assert status.code == 1
    assert "not installed" in status.out
    assert f"http://127.0.0.1:{port} answers" in status.out
    assert not (tmp_path / "asked").exists()
