"""The options that every command shares: where the configuration comes from."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from sfbridge.config import Config, load
from sfbridge.tables import overlays, read_tables

FILE: Final = Path("config.toml")

# What `add_subparsers` returns; argparse gives the type no public name.
Commands = Any


class Origins(NamedTuple):
    """Where a configuration is read from: a file (None: there is none), the environment, the command line."""

    path: Path | None
    sets: tuple[str, ...]

    def load(self) -> Config:
        return load(self.path, sets=self.sets)

    def of_keys(self) -> dict[str, str]:
        """Dotted path of every key that was set -> where; what is missing is at its default."""
        found = {}
        if self.path is not None:
            found = {path: str(self.path) for path in leaves(read_tables(self.path))}
        for keys, _, origin in overlays(os.environ, self.sets):
            found[".".join(keys)] = origin
        return found


def leaves(table: dict[str, Any], path: str = "") -> Iterator[str]:
    """The dotted paths of all values in a table of tables."""
    for key, value in table.items():
        inner = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from leaves(value, inner)
        else:
            yield inner


# Those of the options below that stand before a command and take the next word.
WITH_VALUES: Final = ("--config", "--host", "--port", "--set")


def command(
    commands: Commands, name: str, does: str, detail: str = "", example: str = ""
) -> argparse.ArgumentParser:
    """A command whose help says what it does in a line, then in detail, then by example."""
    described = f"{does[0].upper()}{does[1:]}.{' ' if detail else ''}{detail}"
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=does, description=described, epilog=f"example: {example}" if example else None
    )
    return parser


def add(parser: argparse.ArgumentParser, *, default: bool = False) -> None:
    """The same options before and after a command: of --config, --host and --port the later one counts, --set adds up.
    Only the first set has defaults, so that the second does not undo what was given."""
    empty: Any = None if default else argparse.SUPPRESS
    parser.add_argument(
        "--config",
        type=Path,
        default=empty,
        metavar="FILE",
        help="the file to read (config.toml if it is here)",
    )
    parser.add_argument(
        "--host", default=empty, help="address of the server, to listen on or to ask (server.host)"
    )
    parser.add_argument("--port", default=empty, help="its port (server.port)")
    parser.add_argument(
        "--set",
        dest="set_first" if default else "set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="set any key of the file, as often as needed",
    )


def origins(arguments: argparse.Namespace) -> Origins:
    path = arguments.config
    if path is None and FILE.is_file():
        path = FILE
    after = getattr(arguments, "set", ())
    return Origins(path, (*arguments.set_first, *after, *_named(arguments)))


def configuration(arguments: argparse.Namespace) -> Config:
    """The configuration that the options describe. Raises ConfigError."""
    return origins(arguments).load()


def _named(arguments: argparse.Namespace) -> Iterable[str]:
    given = {name: getattr(arguments, name) for name in ("host", "port")}
    return [f"server.{name}={value}" for name, value in given.items() if value is not None]
