"""`config`: show what is in effect and where it was set, or write a first file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import Struct, to_builtins

from sfbridge.config import Config
from sfbridge.secrecy import shown
from sfbridge.upstream import kind_of

from . import init, options
from .terminal import table
from .toml import key, written


class Value(NamedTuple):
    """One key in effect: its section, its name, its value as TOML with secrets hidden, and where it was set."""

    section: str
    name: str
    shown: str
    origin: str


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands, "config", "show the configuration in effect, or write a first one"
    )
    inner = parser.add_subparsers(metavar="action", title="actions", required=True)
    showing = options.command(
        inner,
        "show",
        "show every key with its value and where it was set",
        "Secrets are hidden.",
    )
    showing.add_argument("--changed", action="store_true", help="leave out what is at its default")
    options.add(showing)
    showing.set_defaults(run=show)
    init.declare(inner)


def show(arguments: argparse.Namespace) -> int:
    origins = options.origins(arguments)
    found = list(values(origins.load(), origins.of_keys()))
    if arguments.changed:
        found = [value for value in found if value.origin]
    for section in dict.fromkeys(value.section for value in found):
        print(f"[{section}]")
        rows = [
            (f"{value.name} = {value.shown}", f"# {value.origin or 'default'}")
            for value in found
            if value.section == section
        ]
        print(table(rows), end="\n\n")
    return 0


def values(config: Config, origins: dict[str, str]) -> Iterator[Value]:
    """Every key of a configuration, the upstreams' own defaults included."""
    for section in Config.__struct_fields__:
        found = getattr(config, section)
        match section:
            case "upstream":
                for name, given in found.items():
                    whole = {**_defaults(given), **given}
                    yield from _section(f"upstream.{name}", whole, origins)
            case "route":
                if found:
                    told = written(to_builtins(found))
                    yield Value("route", "route", told, origins.get("route", ""))
            case "keys":
                # a key that stands nowhere else stands in the file of keys
                rest = config.server.keys_file
                yield from _section(section, to_builtins(found), origins, rest)
            case _:
                yield from _section(section, to_builtins(found), origins)


def _section(
    section: str, keys: dict[str, Any], origins: dict[str, str], rest: str = ""
) -> Iterator[Value]:
    """The keys of one section; `rest` is where those were set whose origin is not known."""
    for name, value in keys.items():
        # under [keys], what stands alone is the secret
        told = written(
            shown("key" if section == "keys" and isinstance(value, str) else name, value)
        )
        path = f"{section}.{name}.".lower()
        set_at = (origins[at] for at in origins if f"{at.lower()}.".startswith(path))
        yield Value(section, key(name), told, next(set_at, rest))


def _defaults(given: dict[str, Any]) -> dict[str, Any]:
    """What an upstream's own keys are where nothing is said; nothing for a kind that is not known."""
    try:
        settings: type[Struct] = kind_of(str(given.get("kind", ""))).settings
    except ValueError:
        return {}
    defaults: dict[str, Any] = to_builtins(settings())
    return defaults
