"""As a service: what is written, what systemd and launchd are asked, and how the server behaves under them."""

from __future__ import annotations

import asyncio
import json
import os
import plistlib
import pty
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession
from program import environment, free_port, run, serving
from speak import PATHS, body_of, heard
from supervised import AGENT, UNIT, asked, desk

ORG = '[upstream.salesforce]\nkind = "salesforce"\nmy_domain = "sandbox"\n[sandbox]\nport = 0\n'
# What a person no longer sees: the next line took its place.
OVERWRITTEN = re.compile("\r\x1b\\[K([^\r\n]*…\r)?")


@pytest.mark.parametrize(("kind", "file"), [("systemd", UNIT), ("launchd", AGENT)])
async def test_installing_is_shown_and_idempotent(tmp_path: Path, kind: str, file: Path) -> None:
    """Installing shows what it writes, twice is as good as once, and uninstalling leaves nothing."""
    env = desk(tmp_path)
    words = ("--kind", kind)
    dry = await run("service", "install", "--dry-run", *words, home=tmp_path, env=env)
    assert dry.code == 0
    assert not (tmp_path / file).exists()
    first = await run("service", "install", *words, home=tmp_path, env=env)
    text = (tmp_path / file).read_text()
    assert (first.code, asked(tmp_path) != []) == (0, True)
    assert text in first.out
    assert text in dry.out
    again = await run("service", "install", *words, home=tmp_path, env=env)
    assert again.code == 0
    assert "is up to date already" in again.out
    assert (tmp_path / file).read_text() == text
    status = await run("service", "status", *words, "--port", "1", home=tmp_path, env=env)
    assert status.code == 1
    assert "no sfbridge answers" in status.out
    gone = await run("service", "uninstall", *words, home=tmp_path, env=env)
    assert gone.code == 0
    assert not (tmp_path / file).exists()
    nothing = await run("service", "uninstall", *words, home=tmp_path, env=env)
    assert (nothing.code, "nothing to do" in nothing.out) == (0, True)


async def test_systemd_is_asked_in_order(tmp_path: Path) -> None:
    """The unit is read, enabled and started; later stopped, disabled and forgotten."""
    env = desk(tmp_path)
    for action in ("install", "uninstall"):
        await run("service", action, "--kind", "systemd", home=tmp_path, env=env)
    assert asked(tmp_path) == [
        "systemctl --user daemon-reload",
        "systemctl --user reset-failed sfbridge.service",
        f"systemctl --user enable {tmp_path / UNIT}",
        "systemctl --user restart sfbridge.service",
        "systemctl --user disable --now sfbridge.service",
        "systemctl --user daemon-reload",
        "systemctl --user reset-failed sfbridge.service",
    ]
    # what was read last: the file was gone by then
    assert not (tmp_path / "known").exists()


async def test_without_systemd_it_says_so(tmp_path: Path) -> None:
    """Where systemctl is missing the file is written, and a line says what is left to do."""
    desk(tmp_path)
    env = {"PATH": str(tmp_path)}
    found = await run("service", "install", "--kind", "systemd", home=tmp_path, env=env)
    assert found.code == 1
    assert "systemctl is not here" in found.err
    assert (tmp_path / UNIT).exists()


async def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """The unit has readiness, a watchdog, restarts and sandboxing; where systemd's own checker is, it has no complaint."""
    env = desk(tmp_path)
    odd = tmp_path / "100% odd $name"
    odd.mkdir()
    shutil.move(tmp_path / "config.toml", odd / "config.toml")
    words = ("--config", str(odd / "config.toml"), "--set", 'log.level="debug"')
    await run("service", "install", "--kind", "systemd", *words, home=tmp_path, env=env)
    unit = tmp_path / UNIT
    text = unit.read_text()
    settings = ("Type=notify", "WatchdogSec=30", "Restart=on-failure", "NoNewPrivileges=yes")
    for line in (*settings, "KillMode=mixed", "OOMPolicy=continue", "LimitCORE=0"):
        assert f"\n{line}\n" in text
    assert "100%% odd $$name/config.toml" in text
    if checker := shutil.which("systemd-analyze"):
        runtime = tmp_path / "runtime"
        runtime.mkdir(mode=0o700)
        judged = await asyncio.create_subprocess_exec(
            checker, "verify", "--user", str(unit),
            env=environment(tmp_path, XDG_RUNTIME_DIR=str(runtime)), stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, complaints = await judged.communicate()
        assert (judged.returncode, complaints) == (0, b"")


def test_launchd_understands_the_agent(tmp_path: Path) -> None:
    """The property list restarts what failed, starts at login, and runs the server with this configuration."""
    desk(tmp_path)
    words = ("service", "install", "--kind", "launchd", "--dry-run", "--port", "81")
    shown = subprocess.run(
        [sys.executable, "-m", "sfbridge", *words],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        check=True,
    ).stdout
    agent = plistlib.loads(shown[shown.index(b"<?xml") : shown.index(b"</plist>") + 8])
    assert agent["ProgramArguments"][1:] == [
        "-m", "sfbridge", "serve", "--config", str(tmp_path / "config.toml"), "--set", "server.port=81",
    ]  # fmt: skip
    assert (agent["RunAtLoad"], agent["KeepAlive"]) == (True, {"SuccessfulExit": False})


async def test_the_units_command_serves_and_reports(tmp_path: Path) -> None:
    """The unit's own command, run as systemd would: ready when it listens, alive, reloading, stopping, exit code 0."""
    env = desk(tmp_path)
    port = free_port()
    words = ("--kind", "systemd", "--port", str(port))
    await run("service", "install", *words, home=tmp_path, env=env)
    (line,) = re.findall(r"^ExecStart=(.+)$", (tmp_path / UNIT).read_text(), re.MULTILINE)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.setblocking(False)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}

        async def heard_of(state: str) -> None:
            async with asyncio.timeout(20):
                while not (await loop.sock_recv(supervisor, 200)).decode().startswith(state):
                    pass

        process = await asyncio.create_subprocess_exec(
            *shlex.split(line),
            cwd=tmp_path,
            env=environment(tmp_path, **told),
            stderr=asyncio.subprocess.PIPE,
        )
        await heard_of("READY=1")
        async with ClientSession() as http, http.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200
        await heard_of("WATCHDOG=1")
        await heard_of("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        await heard_of("RELOADING=1")
        await heard_of("READY=1")
        process.terminate()
        await heard_of("STOPPING=1")
        _, err = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in err


# ---- SIGHUP


async def test_sighup_reloads_without_losing_a_stream(tmp_path: Path) -> None:
    """A stream that is open goes on, the next request has the new configuration, a broken file is refused by path."""
    path = tmp_path / "config.toml"
    path.write_text(ORG + "[stream]\npatience = 0.1\n")
    port = free_port()
    async with serving(port, home=tmp_path) as server, ClientSession() as http:
        assert server.process.stderr is not None

        async def logged(words: str) -> str:
            async with asyncio.timeout(20):
                while words not in (line := (await server.process.stderr.readline()).decode()):
                    assert line
            return line

        body = body_of("openai", "sfdc_ai__Defaultsandbox-slow-2", stream=True)
        async with http.post(server.url + PATHS["openai"], json=body) as answer:
            first = await answer.content.readany()
            path.write_text(ORG + '[keys]\nme = "a-key-of-mine"\n')
            server.process.send_signal(signal.SIGHUP)
            assert "keys.me" in await logged("was reloaded")
            found = heard("openai", 200, answer.headers, first + await answer.read())
        assert found.whole
        body = body_of("openai", "gpt-4o")
        async with http.post(server.url + PATHS["openai"], json=body) as answer:
            assert answer.status == 401
        path.write_text(ORG + "[server]\nprot = 1\n")
        server.process.send_signal(signal.SIGHUP)
        assert "server.prot: there is no such key" in await logged("not reloaded")
        headers = {"Authorization": "Bearer a-key-of-mine"}
        async with http.post(server.url + PATHS["openai"], json=body, headers=headers) as answer:
            assert answer.status == 200
        assert (await server.stop()).code == 0


# ---- the terminal


@pytest.mark.parametrize(
    ("form", "terminal", "json_lines"),
    [("auto", True, False), ("auto", False, True), ("json", True, True), ("text", False, False)],
)
async def test_the_log_suits_its_reader(
    tmp_path: Path, form: str, terminal: bool, json_lines: bool
) -> None:
    """On a terminal the log is for people, elsewhere it is JSON lines; the configuration may say otherwise."""
    (tmp_path / "config.toml").write_text(ORG + f'[log]\nformat = "{form}"\n')
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sfbridge", "--port", str(free_port()),
        cwd=tmp_path, env=environment(tmp_path), stderr=theirs,
    )  # fmt: skip
    os.close(theirs)

    def until_ready() -> str:
        text = b""
        while b"ready after" not in text or not text.endswith(b"\n"):
            text += os.read(ours, 1000)
        return text.decode()

    shown = await asyncio.to_thread(until_ready)
    process.terminate()
    assert await process.wait() == 0
    os.close(ours)
    if json_lines:
        assert all(json.loads(line)["message"] for line in shown.splitlines())
    else:
        lines = OVERWRITTEN.sub("", shown).splitlines()
        assert all(re.match(r"\d\d:\d\d:\d\d \S", line) for line in lines)


async def test_a_person_sees_who_is_waited_for(tmp_path: Path) -> None:
    """At the first start on a terminal, upstreams that are not ready yet are named until they are; then comes what to
    do next, as it can be typed there."""
    (tmp_path / "config.toml").write_text(ORG + "first_byte_delay = 0.5\n")
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sfbridge", "--port", str(port := free_port()),
        cwd=tmp_path, env=environment(tmp_path), stderr=theirs,
    )  # fmt: skip
    os.close(theirs)

    def until_told() -> str:
        text = b""
        while b"trouble:" not in text or not text.endswith(b"\n"):
            text += os.read(ours, 1000)
        return text.decode()

    shown = await asyncio.to_thread(until_told)
    process.terminate()
    assert await process.wait() == 0
    os.close(ours)
    assert "waiting for salesforce …" in shown
    assert "waiting" not in OVERWRITTEN.sub("", shown)
    assert re.search(r"ready after \d\.\d s: salesforce \(sandbox, gateway surface\)", shown)
    assert f"dashboard: http://127.0.0.1:{port}/ " in shown
    (typed,) = re.findall(r"trouble: (.+) check", shown)
    told = await run("--version", home=tmp_path, entry=tuple(shlex.split(typed)))
    assert told.out.startswith("sfbridge ")


async def test_a_lost_terminal_ends_the_server(tmp_path: Path) -> None:
    """Closing the window of a server that was started in one stops it, rather than reloading it."""
    (tmp_path / "config.toml").write_text(ORG)
    port = free_port()
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sfbridge", "--port", str(port),
        cwd=tmp_path, env=environment(tmp_path), stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)

    def until_ready() -> None:
        text = b""
        while b"sfbridge 0" not in text:
            text += os.read(ours, 1000)

    await asyncio.to_thread(until_ready)
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(20):
        assert await process.wait() == 0
