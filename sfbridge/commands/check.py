"""`check`: look at everything that can be wrong, and say what to do about it."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import aclosing

from sfbridge.config import Config, ConfigError

from . import machine, needs, options
from .answers import of_running, upstreams
from .clocks import clocks
from .config import values
from .findings import INDENT, Doing, Finding, Findings, show_all
from .reach import quiet_log, running
from .terminal import wrapped


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "check",
        "look for what is wrong, and say what to do about it",
        "Configuration, files, ports, clocks, upstreams, models, programs: each line is ok, a warning or a fail, and "
        "one fail makes the exit code 1.",
    )
    parser.add_argument(
        "--offline", action="store_true", help="do not ask the models, which may cost something"
    )
    options.add(parser)
    parser.set_defaults(run=check)


def check(arguments: argparse.Namespace) -> int:
    origins = options.origins(arguments)
    try:
        config = origins.load()
    except ConfigError as error:
        return asyncio.run(show_all(_unreadable(error)))
    quiet_log(config)
    return asyncio.run(show_all(_findings(origins, config, asked=not arguments.offline)))


async def _unreadable(error: ConfigError) -> Findings:
    """Nothing else can be looked at without a configuration."""
    yield _refused(error)


async def _findings(origins: options.Origins, config: Config, *, asked: bool) -> Findings:
    yield _configuration(origins, config)
    sound = True
    try:
        _examine(config)
    except ConfigError as error:
        sound = False
        yield _refused(error)
    for finding in machine.files(origins, config):
        yield finding
    yield Doing("reading the conversations")
    yield await asyncio.to_thread(machine.database, config)
    async with running(config) as client:
        if await client.alive():
            told = f"an sfbridge answers at {client.base}; what follows is its state"
            yield Finding("ok", "port", told)
            looked = of_running(client, config, asked=asked)
        else:
            for finding in machine.ports(config):
                yield finding
            looked = upstreams(config, asked=asked) if sound else clocks(config)
        async with aclosing(looked):
            async for found in looked:
                yield found
    for finding in needs.of_programs(config):
        yield finding


def _examine(config: Config) -> None:
    from sfbridge.server.examining import examine

    examine(config)


def _refused(error: ConfigError) -> Finding:
    advice = "no server starts with it; config.toml of the distribution shows every key"
    return Finding("fail", "configuration", str(error), advice)


def _configuration(origins: options.Origins, config: Config) -> Finding:
    """What was set, and where; then what is at its default, by name."""
    found = list(values(config, origins.of_keys()))
    lines = [str(origins.path) if origins.path else "no file"]
    lines += [
        f"{one.section}.{one.name} = {one.shown}  ({one.origin})" for one in found if one.origin
    ]
    lines.append("at their defaults, which config show tells:")
    for section in dict.fromkeys(one.section for one in found if not one.origin):
        names = (one.name for one in found if one.section == section and not one.origin)
        lines += wrapped(f"[{section}] {', '.join(names)}", INDENT)
    return Finding("ok", "configuration", f"\n{INDENT}".join(lines))
