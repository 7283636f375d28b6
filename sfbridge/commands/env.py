"""`env`: the settings of a program, to be copied, or read by a shell: eval "$(sfbridge env claude)"."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
from pathlib import Path

from sfbridge.client import Model, address
from sfbridge.config import Config

from . import claude_code, options, programs
from .choosing import chosen
from .reach import needed_key, quiet_log, reached
from .setup import Order


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "env",
        "print what a program must be told, to copy",
        "For claude and openai as lines that a shell reads, for n8n as fields to fill in.",
        'eval "$(sfbridge env claude --model gpt-4o)"',
    )
    parser.add_argument("program", choices=("claude", "n8n", "openai"), help="whose settings")
    parser.add_argument("--model", default="", help="which model it shall use (the default model)")
    options.add(parser)
    parser.set_defaults(run=env)


def env(arguments: argparse.Namespace) -> int:
    config = options.configuration(arguments)
    base, key = address(config), needed_key(config)
    if arguments.program == "openai":
        print(_exports(programs.openai(base, key)))
        return 0
    quiet_log(config)
    model, runs = asyncio.run(_model(config, arguments.model))
    silent = "" if runs else f"nothing answers at {base} yet; start sfbridge there"
    if arguments.program == "n8n":
        print(programs.n8n(base, key, model))
        if silent:
            print(silent)
        return 0
    order = Order(base, key, model, environ=os.environ, folder=Path.cwd())
    setup = claude_code.setup(order)
    print(f"unset {' '.join(setup.without)}")
    print(_exports(setup.environ))
    for layer, names in claude_code.contradictions(order):
        print(f"# {layer.path} sets {', '.join(names)}, and wins over these lines")
    for advice in (*setup.advice, *filter(None, (silent,))):
        print(f"# {advice}")
    print(f"# {shlex.join(('claude', *setup.arguments))}")
    return 0


async def _model(config: Config, wanted: str) -> tuple[Model, bool]:
    """What is known of the model, and whether the server of this configuration runs."""
    async with reached(config) as client:
        return await chosen(client, config, wanted), client.base == address(config)


def _exports(environ: dict[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environ.items())
