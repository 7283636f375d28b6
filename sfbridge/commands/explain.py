"""`explain`: tell in words what became of a request."""

from __future__ import annotations

import argparse
import asyncio

from . import options
from .reach import running
from .terminal import visible


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "explain",
        "tell in words what became of a request",
        "The server remembers its last turns (journal.keep), until it ends.",
        "sfbridge explain req_0123456789abcdef01234567",
    )
    parser.add_argument("request_id", help="the x-request-id of its answer")
    options.add(parser)
    parser.set_defaults(run=explain)


def explain(arguments: argparse.Namespace) -> int:
    print(visible(asyncio.run(_explanation(arguments))))
    return 0


async def _explanation(arguments: argparse.Namespace) -> str:
    async with running(options.configuration(arguments)) as client:
        return await client.explanation(arguments.request_id)
