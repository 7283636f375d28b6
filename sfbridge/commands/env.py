"""`env`: the settings of a program, to be copied, or read by a shell: eval "$(sfbridge env claude)"."""

from __future__ import annotations

import argparse
import asyncio
import shlex

from sfbridge.client import Model, address, first_key
from sfbridge.config import Config

from . import options, programs
from .choosing import chosen
from .reach import quiet_log, reached


def declare(commands: options.Commands) -> None:
    parser = commands.add_parser("env", help="print what a program must be told, to copy")
    parser.add_argument("program", choices=("claude", "n8n", "openai"))
    parser.add_argument("--model", default="", help="which model it shall use (the default model)")
    options.add(parser)
    parser.set_defaults(run=env)


def env(arguments: argparse.Namespace) -> int:
    config = options.configuration(arguments)
    base, key = address(config), first_key(config)
    if arguments.program == "openai":
        print(_exports(programs.openai(base, key)))
        return 0
    quiet_log(config)
    model = asyncio.run(_model(config, arguments.model))
    if arguments.program == "n8n":
        print(programs.n8n(base, key, model))
        return 0
    setup = programs.claude(base, key, model, ())
    print(f"unset {' '.join(setup.without)}")
    print(_exports(setup.environ))
    print(f"# {setup.advice}")
    print(f"# claude {shlex.join(setup.arguments)}")
    return 0


async def _model(config: Config, wanted: str) -> Model:
    async with reached(config) as client:
        return await chosen(client, config, wanted)


def _exports(environ: dict[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environ.items())
