"""The command line: arguments, the command they name, exit codes.

0: done. 1: it could not be done, and a line says why. 2: the arguments are not understood. 130: interrupted.
`run` passes the exit code of its program on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from . import __version__
from .client import Unanswered
from .commands import (
    ask,
    check,
    config,
    env,
    explain,
    hash_key,
    models,
    options,
    run,
    sandbox,
    serve,
    service,
)
from .config import ConfigError
from .core.errors import GatewayError

COMMANDS: Final = (serve, check, ask, models, explain, run, env, config, hash_key, service, sandbox)
_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    place = given.index("--") if "--" in given else len(given)
    parser = _parser()
    arguments = parser.parse_args(given[:place])
    arguments.rest = given[place + 1 :]
    if arguments.rest and not arguments.takes_rest:
        parser.error(f"nothing here takes what stands behind --: {' '.join(arguments.rest)}")
    try:
        return int(arguments.run(arguments))
    except BrokenPipeError:
        # whoever read our output has had enough; the interpreter would complain when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ConfigError, GatewayError, Unanswered, OSError) as error:
        print(f"sfbridge: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print(file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sfbridge",
        description="Answers OpenAI and Anthropic clients with models they cannot reach by themselves.",
        epilog="Every key of config.toml can be set by --set section.key=value, or by the environment "
        "variable SFBRIDGE_SECTION__KEY. The command line wins over the environment, that over the file.",
    )
    parser.add_argument("--version", action="version", version=f"sfbridge {__version__}")
    options.add(parser, default=True)
    parser.set_defaults(run=serve.serve, takes_rest=False)
    commands = parser.add_subparsers(metavar="command", title="commands")
    for command in COMMANDS:
        command.declare(commands)
    return parser
