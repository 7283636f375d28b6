"""The options that every command shares: where the configuration comes from."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from sfbridge.config import Config, load, overlays, read_tables

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


def add(parser: argparse.ArgumentParser, *, default: bool = False) -> None:
    """The same options before and after a command; only the first set has defaults, so neither undoes the other."""
    empty: Any = None if default else argparse.SUPPRESS
    many: Any = [] if default else argparse.SUPPRESS
    parser.add_argument(
        "--config",
        type=Path,
        default=empty,
        metavar="FILE",
        help="the file to read (config.toml if it is here)",
    )
    parser.add_argument("--host", default=empty, help="address to listen on (server.host)")
    parser.add_argument("--port", default=empty, help="port to listen on (server.port)")
    parser.add_argument(
        "--set",
        action="append",
        default=many,
        metavar="SECTION.KEY=VALUE",
        help="set any key of the file",
    )


def origins(arguments: argparse.Namespace) -> Origins:
    path = arguments.config
    if path is None and FILE.is_file():
        path = FILE
    return Origins(path, (*arguments.set, *_named(arguments)))


def configuration(arguments: argparse.Namespace) -> Config:
    """The configuration that the options describe. Raises ConfigError."""
    return origins(arguments).load()


def _named(arguments: argparse.Namespace) -> Iterable[str]:
    given = {name: getattr(arguments, name) for name in ("host", "port")}
    return [f"server.{name}={value}" for name, value in given.items() if value is not None]
