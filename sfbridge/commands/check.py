"""`check`: look at everything that can be wrong, and say what to do about it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator

from sfbridge.config import Config

from . import machine, options
from .answers import of_running, upstreams
from .config import values
from .findings import Doing, Finding, show_all
from .reach import quiet_log, running


def declare(commands: options.Commands) -> None:
    parser = commands.add_parser(
        "check", help="look for what is wrong, and say what to do about it"
    )
    parser.add_argument(
        "--offline", action="store_true", help="do not ask the models, which may cost something"
    )
    options.add(parser)
    parser.set_defaults(run=check)


def check(arguments: argparse.Namespace) -> int:
    origins = options.origins(arguments)
    config = origins.load()
    quiet_log(config)
    return asyncio.run(show_all(_findings(origins, config, asked=not arguments.offline)))


async def _findings(
    origins: options.Origins, config: Config, *, asked: bool
) -> AsyncIterator[Finding | Doing]:
    yield _configuration(origins, config)
    for finding in machine.files(origins, config):
        yield finding
    yield Doing("reading the conversations")
    yield await asyncio.to_thread(machine.database, config)
    async with running(config) as client:
        if await client.alive():
            yield Finding(
                "ok", "port", f"an sfbridge answers at {client.base}; what follows is its state"
            )
            looked = of_running(client, config, asked=asked)
        else:
            yield machine.port(config)
            looked = upstreams(config, asked=asked)
        async for found in looked:
            yield found
    for finding in machine.programs(config):
        yield finding


def _configuration(origins: options.Origins, config: Config) -> Finding:
    """What was set and where; all the rest is at its default."""
    found = list(values(config, origins.of_keys()))
    told = [
        f"{one.section}.{one.name} = {one.shown}  ({one.origin})" for one in found if one.origin
    ]
    rest = f"{len(found) - len(told)} keys at their defaults (config show lists them)"
    source = str(origins.path) if origins.path else "no file"
    return Finding("ok", "configuration", "\n           ".join([source, *told, rest]))
