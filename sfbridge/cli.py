"""The command line: arguments, the command they name, exit codes.

0: done. 1: it could not be done, and a line says why. 2: the arguments are not understood. 130: interrupted.
`run` passes the exit code of its program on.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
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
from .commands.terminal import visible
from .config import ConfigError
from .core.errors import GatewayError

COMMANDS: Final = (serve, check, ask, models, explain, run, env, config, hash_key, service, sandbox)
_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _complete_streams()
    given = list(sys.argv[1:] if argv is None else argv)
    place = given.index("--") if "--" in given and _command_of(given) == "run" else len(given)
    arguments = parser_of().parse_args(given[:place])
    arguments.rest = given[place + 1 :]
    try:
        return int(arguments.run(arguments))
    except BrokenPipeError:
        # whoever read our output has had enough; the interpreter would complain when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ConfigError, GatewayError, Unanswered, OSError) as error:
        print(f"sfbridge: {visible(str(error))}", file=sys.stderr)
        return 1
    except UnicodeError as error:
        print(f"sfbridge: {error}; a locale of UTF-8 has every character", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print(file=sys.stderr)
        return _INTERRUPTED


def parser_of() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = argparse.ArgumentParser(
        prog="sfbridge",
        description="Answers OpenAI and Anthropic clients with models they cannot reach by themselves.",
        epilog="""\
Every key of config.toml can be set by --set section.key=value, or by the environment variable
SFBRIDGE_SECTION__KEY. The command line wins over the environment, that over the file.

exit codes: 0 done; 1 it could not be done, and a line says why; 2 the arguments are not understood;
130 interrupted. `run` passes on the code of its program.""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sfbridge {__version__}")
    options.add(parser, default=True)
    parser.set_defaults(run=serve.serve)
    commands = parser.add_subparsers(metavar="command", title="commands")
    for command in COMMANDS:
        command.declare(commands)
    return parser


def _command_of(words: Sequence[str]) -> str:
    """The first word that is neither an option nor the value of one."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            return word
        if word in options.WITH_VALUES:
            next(rest, "")
    return ""


def _complete_streams() -> None:
    """A stream that was closed before the start is one that takes and gives nothing; characters that an output cannot
    show are spelt out."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(
                os.devnull, os.O_RDWR
            )  # the lowest free number, which is that of the stream
            setattr(sys, name, open(nowhere, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
