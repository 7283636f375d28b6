"""The command line of the simulated process: `start`, `version`, `status`, and the life of one started process."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from .installing import install
from .ledger import Ledger, write
from .scenario import Scenario, load
from .talk import Talk

USAGE = """usage: Lingma start [--workDir W] [--socketPort P] [--httpPort H] [--transportType T]
                    [--endpoint U] [--copyDataDir D] [--startupId S]
       Lingma version | status -o json --workDir W | machine-info"""
FLAGS = (
    "workDir",
    "socketPort",
    "httpPort",
    "transportType",
    "endpoint",
    "copyDataDir",
    "startupId",
)
VERSION = "2.11.1-sim"


def flags(arguments: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in FLAGS or (not equals and not rest):
            print(USAGE, file=sys.stderr)
            raise SystemExit(2)
        found[name] = value if equals else rest.pop(0)
    return found


def logged_in(workdir: Path) -> bool:
    """The account file can be read with the machine id that it was made with, and with no other."""
    try:
        user = base64.b64decode((workdir / "cache" / "user").read_bytes()).decode()
        return user == "SIM-SECRET " + (workdir / "cache" / "id").read_text().strip()
    except (OSError, ValueError):
        return False


def main() -> None:
    command, *rest = sys.argv[1:] or [""]
    match command:
        case "version":
            print(VERSION)
        case "machine-info":
            print("SIM-SECRET-MACHINE")
        case "status" if len(rest) == 4 and rest[:3] == ["-o", "json", "--workDir"]:
            told = {"logged_in": logged_in(Path(rest[3])), "version": VERSION}
            print(json.dumps({**told, "username": "sim", "user_type": "personal_standard"}))
        case "start" if rest == ["--help"]:
            print(USAGE)
        case "install" if len(rest) == 1:
            install(Path(rest[0]))
        case "start":
            begin(flags(rest))
        case _:
            print(USAGE, file=sys.stderr)
            raise SystemExit(2)


def begin(given: dict[str, str]) -> None:
    workdir = Path(given.get("workDir") or Path.home() / ".lingma")
    (workdir / "logs").mkdir(parents=True, exist_ok=True)
    with (workdir / ".sim-lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("another process uses this workDir", file=sys.stderr)
            raise SystemExit(1) from None
        scenario = load(workdir)
        if scenario.detach and os.fork():
            os._exit(0)
        asyncio.run(live(workdir, scenario, given))


async def live(workdir: Path, scenario: Scenario, given: dict[str, str]) -> None:
    ledger = Ledger(workdir, scenario.registry)
    noise(scenario.stdout_noise)
    await asyncio.sleep(scenario.start_delay)
    if scenario.exit_at_start is not None:
        raise SystemExit(scenario.exit_at_start)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    if scenario.survive_term:
        loop.add_signal_handler(signal.SIGTERM, lambda: ledger.count("terms_ignored"))
    else:
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
    talk = Talk(workdir, scenario, ledger, lambda: logged_in(workdir))
    try:
        runner = web.AppRunner(
            talk.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        port = await listen(runner, int(given.get("socketPort") or 0), ledger, scenario)
        nothing = web.AppRunner(web.Application(), access_log=None)
        await nothing.setup()
        await web.TCPSite(nothing, "127.0.0.1", int(given.get("httpPort") or 0)).start()
        http = nothing.addresses[0][1]
        ipc = str(workdir / "lingma.sock")
        with (workdir / "logs" / "lingma.log").open("a") as log:
            log.write(
                f"Communication servers ready - WebSocket: {port}, HTTP: {http}, IPC: {ipc}\n"
            )
            log.write("token SIM-SECRET-IN-LOG\n")
        await announce(workdir, scenario, port, ipc)
        await stopped.wait()
        await runner.cleanup()
        await nothing.cleanup()
    finally:
        await talk.close()
    for name in (".info.json", ".info"):
        (workdir / name).unlink(missing_ok=True)


def noise(size: int) -> None:
    line = "SIM-SECRET-NOISE " * 60 + "\n"
    for file in (sys.stdout, sys.stderr):
        file.write(line * (size // len(line) + 1))
        file.flush()


async def listen(runner: web.AppRunner, port: int, ledger: Ledger, scenario: Scenario) -> int:
    try:
        if ledger.stats["starts"] <= scenario.taken_ports:
            raise OSError("address already in use")
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    except OSError as error:
        print(f"cannot listen on {port}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    return int(runner.addresses[0][1])


async def announce(workdir: Path, scenario: Scenario, port: int, ipc: str) -> None:
    if scenario.no_info:
        return
    facts = {"websocketPort": port, "pid": os.getpid(), "ipcServerPath": ipc, "isDev": False}
    name, text = ".info.json", json.dumps(facts)
    if scenario.legacy_info:
        name, text = ".info", f"{port}\n{os.getpid()}\n{ipc}"
    if scenario.torn_info:
        (workdir / name).write_text(text[: len(text) // 2])
        await asyncio.sleep(0.4)
    write(workdir / name, text)


if __name__ == "__main__":
    main()
