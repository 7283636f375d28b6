"""`models`: every model that can be asked for."""

from __future__ import annotations

import argparse
import asyncio

from sfbridge.client import Model

from . import options
from .reach import quiet_log, reached
from .terminal import table


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "models",
        "list every model that can be asked for",
        "With window, longest answer and upstream, where they are known.",
    )
    options.add(parser)
    parser.set_defaults(run=models)


def models(arguments: argparse.Namespace) -> int:
    found = asyncio.run(_listed(arguments))
    heads = ("model", "window", "most output", "upstream")
    rows = [(one.id, _tokens(one.window), _tokens(one.max_output), one.upstream) for one in found]
    print(table([heads, *rows]))
    return 0


async def _listed(arguments: argparse.Namespace) -> list[Model]:
    config = options.configuration(arguments)
    quiet_log(config)
    async with reached(config) as client:
        return await client.models()


def _tokens(number: int | None) -> str:
    return "-" if number is None else f"{number}"
