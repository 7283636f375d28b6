"""`explain`: tell in words what became of a request."""

from __future__ import annotations

import argparse
import asyncio
from urllib.parse import quote

import msgspec
from msgspec import Struct

from . import options
from .reach import running


class _Told(Struct, frozen=True):
    explanation: str


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
    print(asyncio.run(_explanation(arguments)))
    return 0


async def _explanation(arguments: argparse.Namespace) -> str:
    async with running(options.configuration(arguments)) as client:
        path = f"/v1/sfbridge/turns/{quote(arguments.request_id, safe='')}"
        return msgspec.json.decode(await client.get(path), type=_Told).explanation
