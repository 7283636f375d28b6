"""What a service is to run, as its owner asked for it, and what cannot go along: secrets, variables of one shell, a
configuration that is nowhere."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from sfbridge.config import ConfigError
from sfbridge.secrecy import is_secret, without_login
from sfbridge.tables import ENV_PREFIX, from_here

from . import options, units
from .terminal import called

# What decides where a program finds commands and its own files; commands and service are to agree on it.
_PLACES: Final = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
_INNER_NAME: Final = re.compile(r"""([\w-]+)["']?\s*=""")


def plan_of(origins: options.Origins, grace: float, environ: Mapping[str, str]) -> units.Plan:
    """The server of this configuration, started by this Python. Relative paths in the file begin at its folder."""
    path = _settled(origins.path) if origins.path else None
    command = [sys.executable, "-m", "sfbridge", "serve"]
    command += ["--config", str(path)] if path else []
    here = Path.cwd()
    command += [word for item in origins.sets for word in ("--set", from_here(item, here))]
    return units.Plan(tuple(command), path.parent if path else Path.home(), environ, grace)


def asked_for(arguments: argparse.Namespace, found: units.Found | None) -> options.Origins:
    """Where a service is to have its configuration from. One that is there already keeps its own file where none is
    named, and its own settings where none are given: the config.toml in this folder may be quite another one."""
    given = options.origins(arguments)
    if found is None or arguments.config is not None:
        return given
    own = origins_of(found.command)
    return options.Origins(own.path, given.sets or own.sets)


def origins_of(command: Iterable[str]) -> options.Origins:
    """Where the server that a service runs has its configuration from."""
    path, sets, before = None, [], ""
    for word in command:
        if before == "--config":
            path = Path(word)
        elif before == "--set":
            sets.append(word)
        before = "" if before in ("--config", "--set") else word
    return options.Origins(path, tuple(sets))


def surroundings(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a service needs of the shell that installs it: systemd's own PATH, and launchd's, know
    neither ~/.local/bin nor nvm nor Homebrew."""
    entries = environ.get("PATH", "").split(":")
    search = ":".join(dict.fromkeys(entry for entry in entries if entry.startswith("/")))
    found = {"PATH": search} if search else {}
    # the specification says to ignore relative ones
    return found | {k: environ[k] for k in _PLACES if environ.get(k, "").startswith("/")}


def left_behind(environ: Mapping[str, str], known: Mapping[str, str]) -> list[str]:
    """Names of variables that configure sfbridge in this shell, and in no service."""
    return sorted(name for name in environ if name.startswith(ENV_PREFIX) and name not in known)


def need_file(origins: options.Origins) -> None:
    """Raises ConfigError where there is no file: such a service would be one of the sandbox org, with home as its
    folder."""
    if origins.path is not None and origins.path.is_file():
        return
    usual = Path("~/.config/sfbridge/config.toml")
    asked = shlex.quote(str(origins.path)) if origins.path else usual
    what = f"{origins.path}: there is no such file" if origins.path else "no config.toml is here"
    if origins.path is None and usual.expanduser().is_file():
        raise ConfigError(f"{what}, and a service needs one: add --config {usual}")
    raise ConfigError(
        f"{what}, and a service needs one: write it with `{called()} config init --config {asked}`, then "
        f"`{called()} service install --config {asked}`"
    )


def need_no_secret(sets: Iterable[str], place: str) -> None:
    """Raises ConfigError for secrets on the command line, which anybody on the machine can read in a list of
    processes."""
    secret = [item.partition("=")[0] for item in sets if _holds_secret(item)]
    if secret:
        raise ConfigError(
            f"--set {', '.join(secret)}: it is secret, and every user of this machine can see a service's command; "
            f"put it into {place}"
        )


def _holds_secret(item: str) -> bool:
    dotted, _, value = item.partition("=")
    names = dotted.strip().split(".")
    inner = _INNER_NAME.findall(value) if value[:1] in ("[", "{") else []
    return (
        (names[0] == "keys" and len(names) == 2)
        or any(map(is_secret, (*names[1:], *inner)))
        or without_login(value) != value
    )


def _settled(path: Path) -> Path:
    """Absolute and without `..`; links stay, since what they lead to may be replaced."""
    path = path.absolute()
    return path.parent.resolve() / path.name if ".." in path.parts else path
