"""`service status`: how the service stands, in a few lines: its file, its supervisor, its server, its configuration."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import msgspec

from sfbridge import __version__
from sfbridge.client import address
from sfbridge.config import Config, ConfigError, load

from . import options, plans, supervisors, units
from .reach import running
from .supervisors import Keeping
from .terminal import table


def tell(keeping: Keeping, arguments: argparse.Namespace) -> int:
    """0 when the service is installed, its supervisor does not deny that it runs, and its server answers."""
    text = supervisors.written(keeping)
    found = None if text is None else keeping.read(text)
    origins = plans.asked_for(arguments, found)
    config, fault = _configuration(keeping, origins)
    version = asyncio.run(_version(config)) if config else ""
    rows = [
        ("file", f"{keeping.file}: {_of_file(keeping, text, found, origins, config)}"),
        ("server", _of_server(config, version)),
        ("config", fault or str(origins.path or "none, everything is at its default")),
    ]
    if text is None:
        print(table(rows))
        return 1
    stands = supervisors.standing(keeping)
    print(table([rows[0], (keeping.name, stands.told), *rows[1:], ("log", keeping.log)]))
    supervisors.show(keeping, stands)
    return 0 if version and stands.active is not False else 1


def _configuration(keeping: Keeping, origins: options.Origins) -> tuple[Config | None, str]:
    """The configuration as the service sees it, or what is wrong with it."""
    try:
        environ = supervisors.variables(keeping)
        return load(origins.path, environ=environ, sets=origins.sets), ""
    except ConfigError as error:
        return None, f"broken: {error}"


async def _version(config: Config) -> str:
    """The version of the server that answers; empty where none does."""
    async with running(config) as client:
        if not await client.alive():
            return ""
        return str(msgspec.json.decode(await client.get("/healthz"))["version"])


def _of_server(config: Config | None, version: str) -> str:
    if config is None:
        return "cannot be asked, since its address is not known"
    if not version:
        return f"no sfbridge answers at {address(config)}"
    newer = "" if version == __version__ else f"; this is {__version__}, install it again to run it"
    return f"{address(config)} answers, version {version}{newer}"


def _of_file(
    keeping: Keeping,
    text: str | None,
    found: units.Found | None,
    origins: options.Origins,
    config: Config | None,
) -> str:
    """Whether the file is what an installation would write now, for the variables that it was written with."""
    if text is None:
        return "not installed"
    if found is None:
        return "not as sfbridge writes it; install it again"
    if not Path(found.command[0]).exists():
        return f"it starts {found.command[0]}, which is gone; install it again"
    if config is None:
        return "installed"
    plan = plans.plan_of(origins, config.server.shutdown_grace, found.environ)
    if keeping.write(plan) == text:
        return "up to date"
    return "of another version or configuration; install it again"
