"""`config init`: a few questions, or options in their place, and a first configuration file that only its owner reads."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sfbridge.config import MOST_PORT, Config, ConfigError, is_loopback, load

from . import options
from .answers import upstreams
from .findings import show_all
from .questions import UPSTREAMS, Line, Upstream
from .reach import quiet_log
from .terminal import ask, ask_yes, called
from .toml import written

_HEAD: Final = """\
# sfbridge: written by `sfbridge config init`. Lines that begin with "#" and a key show its default. Every further key:
# `sfbridge config show`, and the config.toml of the distribution. What wins, first to last: --set section.key=value,
# the environment variable SFBRIDGE_SECTION__KEY, this file, the default.
"""
# Sections that people come back for, as comments.
_MORE: Final = """\

[models]
# default = "claude-sonnet-4-6"   # answers names that programs invent; where nobody has it, the first model does
# [models.aliases]
# "my-model" = "gpt-4o"           # a name of your own; a list names stand-ins

[journal]
# contents = false                # keep what was asked and answered with the receipts, in memory

[log]
# level = "info"                  # debug, info, warning, error
"""


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "init",
        "ask a few questions and write a first file",
        "It writes --config FILE (config.toml), readable for you only, and tries it. With --upstream nothing is asked.",
        "sfbridge config init --config ~/.config/sfbridge/config.toml",
    )
    words = tuple(one.word for one in UPSTREAMS)
    parser.add_argument("--upstream", choices=words, help="ask nothing; use this")
    for option, meaning in (
        ("--my-domain", "salesforce: address of the org"),
        ("--client-id", "salesforce: consumer key of the app"),
        ("--client-secret-file", "salesforce: a file with its secret"),
        ("--base-url", "openai: address of the server"),
        ("--api-key-file", "openai: a file with its key, if it needs one"),
        ("--command", "claude-cli: the executable (claude)"),
        ("--source", "lingma: the logged-in workdir (~/.lingma)"),
    ):
        parser.add_argument(option, default="", help=meaning)
    parser.add_argument(
        "--with-key", action="store_true", help="let clients need a key, which is made"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--no-verify", action="store_true", help="do not try what was written")
    options.add(parser)
    parser.set_defaults(run=init)


def init(arguments: argparse.Namespace) -> int:
    try:
        return _init(arguments)
    except EOFError:
        raise ConfigError(
            "nobody answers the questions; with --upstream none is asked (--help names what goes with it)"
        ) from None


def _init(arguments: argparse.Namespace) -> int:
    if arguments.set_first or arguments.set:
        raise ConfigError("--set: a first file is written from answers and options; edit it then")
    path = _place(arguments.config or options.FILE)
    interactive = arguments.upstream is None
    if path.exists() and not arguments.force and not _may_replace(path, interactive=interactive):
        raise ConfigError(f"{path} is there already and stays as it is (--force replaces it)")
    text = _text(arguments, interactive)
    config = _written(path, text)
    quiet_log(config)
    print(f"wrote {path} (only you can read it)")
    if arguments.no_verify:
        return 0
    code = asyncio.run(show_all(upstreams(config, asked=True)))
    if not code:
        print(f"next: {called()} --config {shlex.quote(str(path))}")
    return code


def _place(given: Path) -> Path:
    """Where the file is to be: behind a link, not in its place. Raises ConfigError for what can be no file."""
    try:
        path = given.expanduser()
    except RuntimeError as error:
        raise ConfigError(f"--config: {error}") from None
    path = path.resolve() if path.is_symlink() else path
    if not path.name or (path.exists() and not path.is_file()):
        raise ConfigError(f"--config: {given} is no file, and none can be written there")
    return path


def _may_replace(path: Path, *, interactive: bool) -> bool:
    return interactive and ask_yes(f"{path} is there already. Replace it?", default=False)


def _text(arguments: argparse.Namespace, interactive: bool) -> str:
    chosen = _chosen(arguments.upstream)
    lines = chosen.questions(arguments, interactive)
    host = arguments.host or "127.0.0.1"
    port = _port(arguments.port, interactive)
    near = is_loopback(host)
    guarded = arguments.with_key or not near
    if interactive and not guarded:
        guarded = ask_yes("Shall programs need a key to use the server?", default=False)
    server = [
        Line("host", host, "this machine only" if near else "others reach it, so a key is needed"),
        Line("port", port),
    ]
    tables = [("server", server)]
    if guarded:
        made = Line("me", secrets.token_urlsafe(24), "what programs send as their API key")
        tables.append(("keys", [made]))
    tables.append((f"upstream.{chosen.table}", lines))
    if chosen.word == "sandbox":
        tables.append(
            ("sandbox", [Line("enabled", True, "a Salesforce org in miniature, for trying out")])
        )
    return _HEAD + "".join(_table(heading, keys) for heading, keys in tables) + _MORE


def _port(given: str | None, interactive: bool) -> int:
    """A port as it was given, else as it is typed; asked again while it is none. Raises ConfigError."""
    typed = given
    while True:
        typed = typed or (ask("Port to listen on", "8000") if interactive else "8000")
        if typed.isdecimal() and 0 < int(typed) <= MOST_PORT:
            return int(typed)
        if given or not interactive:
            raise ConfigError(f"server.port: {typed!r} is not a port number")
        print(f"{typed!r} is not a port number")
        typed = None


def _table(heading: str, lines: list[Line]) -> str:
    shown = [f"{'# ' if one.default else ''}{one.key} = {written(one.value)}" for one in lines]
    width = min(48, max(map(len, shown)))
    told = (
        f"{line:{width}}   # {one.why}".rstrip() if one.why else line
        for line, one in zip(shown, lines, strict=True)
    )
    return f"\n[{heading}]\n" + "\n".join(told) + "\n"


def _chosen(word: str | None) -> Upstream:
    by_word = {one.word: one for one in UPSTREAMS}
    if word is not None:
        return by_word[word]
    print("Where shall the answers come from?")
    for number, one in enumerate(UPSTREAMS, 1):
        print(f"  {number}  {one.what}")
    while True:
        answer = ask("Number", "1")
        if answer.isdecimal() and 1 <= int(answer) <= len(UPSTREAMS):
            return UPSTREAMS[int(answer) - 1]
        print(f"{answer!r} is none of the numbers")


def _written(path: Path, text: str) -> Config:
    """Write the file whole or not at all, for its owner alone; the configuration that it is. What it replaces is kept
    beside it. Raises ConfigError, and then nothing has changed."""
    from sfbridge.server.examining import examine

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _fresh(path.with_name(f".{path.name}.new")) as new:
        number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(number, "w", encoding="utf-8") as file:
            file.write(text)
        config = load(new, environ={})
        examine(config)
        if path.exists():
            path.replace(path.with_name(f"{path.name}.before"))
        new.replace(path)
    return config


@contextlib.contextmanager
def _fresh(path: Path) -> Iterator[Path]:
    """A path at which nothing is, before and after."""
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
