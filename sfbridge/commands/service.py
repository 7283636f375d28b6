"""`service`: run the server whenever its owner is logged in, kept alive by systemd or launchd."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from sfbridge.client import address
from sfbridge.config import ConfigError

from . import options, units
from .reach import running

UNIT: Final = "sfbridge.service"


class Keeping(NamedTuple):
    """How one system keeps a service: the file, and the commands that start, stop and show it."""

    file: Path
    text: str
    start: tuple[tuple[str, ...], ...]
    stop: tuple[tuple[str, ...], ...]
    show: tuple[str, ...]


def declare(commands: options.Commands) -> None:
    parser = commands.add_parser(
        "service", help="run in the background, kept by systemd or launchd"
    )
    parser.add_argument("action", choices=("install", "status", "uninstall"))
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be done, do nothing"
    )
    parser.add_argument(
        "--kind", choices=("systemd", "launchd"), help="whose service (this system's own)"
    )
    options.add(parser)
    parser.set_defaults(run=service)


def service(arguments: argparse.Namespace) -> int:
    keeping = _keeping(arguments)
    match arguments.action:
        case "install":
            return _install(keeping, dry=arguments.dry_run)
        case "uninstall":
            return _uninstall(keeping, dry=arguments.dry_run)
        case _:
            return asyncio.run(_status(keeping, arguments))


def _install(keeping: Keeping, *, dry: bool) -> int:
    same = keeping.file.is_file() and keeping.file.read_text(encoding="utf-8") == keeping.text
    print(f"{keeping.file}{' is up to date already' if same else ':'}")
    if not same:
        print(keeping.text)
    if dry:
        print("\n".join(f"would run: {' '.join(command)}" for command in keeping.start))
        return 0
    if not same:
        keeping.file.parent.mkdir(parents=True, exist_ok=True)
        keeping.file.write_text(keeping.text, encoding="utf-8")
    return _all(keeping.start)


def _uninstall(keeping: Keeping, *, dry: bool) -> int:
    if not keeping.file.is_file():
        print(f"{keeping.file} is not there; nothing to do")
        return 0
    if dry:
        print("\n".join(f"would run: {' '.join(command)}" for command in keeping.stop))
        print(f"would remove {keeping.file}")
        return 0
    code = _all(keeping.stop)
    keeping.file.unlink()
    print(f"removed {keeping.file}")
    return code


async def _status(keeping: Keeping, arguments: argparse.Namespace) -> int:
    """0 when the service is installed and its server answers."""
    installed = keeping.file.is_file()
    current = installed and keeping.file.read_text(encoding="utf-8") == keeping.text
    state = "up to date" if current else "of another version or configuration; install it again"
    print(f"{keeping.file}: {state if installed else 'not installed'}")
    if installed:
        _all((keeping.show,))
    config = options.configuration(arguments)
    async with running(config) as client:
        alive = await client.alive()
    print(f"{address(config)}: {'answers' if alive else 'no sfbridge answers'}")
    return 0 if installed and alive else 1


def _all(commands: Sequence[Sequence[str]]) -> int:
    """Run each command and show it. 1 with advice when one cannot be run or fails."""
    for command in commands:
        print("$", " ".join(command), flush=True)
        if shutil.which(command[0]) is None:
            print(f"{command[0]} is not here; run this where it is", file=sys.stderr)
            return 1
        code = subprocess.run(command, check=False).returncode
        if code:
            print(f"{' '.join(command)} ended with {code}", file=sys.stderr)
            return 1
    return 0


def _keeping(arguments: argparse.Namespace) -> Keeping:
    kind = arguments.kind or {"linux": "systemd", "darwin": "launchd"}.get(sys.platform)
    origins = options.origins(arguments)
    config = origins.load()
    path = origins.path.absolute() if origins.path else None
    folder = path.parent if path else Path.home()
    command = [sys.executable, "-m", "sfbridge", "serve"]
    command += ["--config", str(path)] if path else []
    command += [word for item in origins.sets for word in ("--set", item)]
    match kind:
        case "systemd":
            return _systemd(units.systemd_unit(command, folder, config.server.shutdown_grace))
        case "launchd":
            return _launchd(command, folder)
        case _:
            raise ConfigError(f"services are known for Linux and macOS, not for {sys.platform}")


def _systemd(text: str) -> Keeping:
    base = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    own = ("systemctl", "--user")
    return Keeping(
        file=base / "systemd" / "user" / UNIT,
        text=text,
        start=((*own, "daemon-reload"), (*own, "enable", UNIT), (*own, "restart", UNIT)),
        stop=((*own, "disable", "--now", UNIT), (*own, "daemon-reload")),
        show=(*own, "--no-pager", "status", UNIT),
    )


def _launchd(command: Sequence[str], folder: Path) -> Keeping:
    library = Path.home() / "Library"
    file = library / "LaunchAgents" / f"{units.LABEL}.plist"
    domain = f"gui/{os.getuid()}"
    return Keeping(
        file=file,
        text=units.launchd_agent(command, folder, library / "Logs" / "sfbridge.log"),
        start=(("launchctl", "bootstrap", domain, str(file)),),
        stop=(("launchctl", "bootout", f"{domain}/{units.LABEL}"),),
        show=("launchctl", "print", f"{domain}/{units.LABEL}"),
    )
