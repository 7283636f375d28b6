"""`config init`: a few questions, or options in their place, and a first configuration file that only its owner reads."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from sfbridge.config import Config, ConfigError, load

from . import options
from .answers import upstreams
from .findings import show_all
from .reach import quiet_log
from .terminal import ask, ask_secret, ask_yes, called
from .toml import written

_HEAD: Final = """\
# sfbridge: written by `sfbridge config init`. Every further key, with its default: the config.toml of the
# distribution, and `sfbridge config show`. Any key can also be set by --set section.key=value or by the environment
# variable SFBRIDGE_SECTION__KEY.
"""


class Line(NamedTuple):
    """One key of the file, and why it is there."""

    key: str
    value: str | int | bool
    why: str = ""


class Upstream(NamedTuple):
    """One way to get answers: its word on the command line, the name of its table, what it is, what must be asked."""

    word: str
    table: str
    what: str
    questions: Callable[[argparse.Namespace, bool], list[Line]]


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "init",
        "ask a few questions and write a first file",
        "It writes --config FILE (config.toml), readable for you only, and tries it. With --upstream nothing is asked.",
        "sfbridge config init --config ~/.config/sfbridge/config.toml",
    )
    parser.add_argument(
        "--upstream", choices=tuple(one.word for one in _UPSTREAMS), help="ask nothing; use this"
    )
    parser.add_argument("--my-domain", default="", help="salesforce: address of the org")
    parser.add_argument("--client-id", default="", help="salesforce: consumer key of the app")
    parser.add_argument(
        "--client-secret-file", default="", help="salesforce: a file with its secret"
    )
    parser.add_argument("--base-url", default="", help="openai: address of the server")
    parser.add_argument(
        "--api-key-file", default="", help="openai: a file with its key, if it needs one"
    )
    parser.add_argument("--command", default="", help="claude-cli: the executable")
    parser.add_argument("--source", default="", help="lingma: the logged-in workdir")
    parser.add_argument(
        "--with-key", action="store_true", help="let clients need a key, which is made"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--no-verify", action="store_true", help="do not try what was written")
    options.add(parser)
    parser.set_defaults(run=init)


def init(arguments: argparse.Namespace) -> int:
    path: Path = arguments.config or options.FILE
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
        print(f"next: {called()} --config {path}")
    return code


def _may_replace(path: Path, *, interactive: bool) -> bool:
    return interactive and ask_yes(f"{path} is there already. Replace it?", default=False)


def _text(arguments: argparse.Namespace, interactive: bool) -> str:
    chosen = _chosen(arguments.upstream)
    lines = chosen.questions(arguments, interactive)
    port = arguments.port or (ask("Port to listen on", "8000") if interactive else "8000")
    if not port.isdecimal():
        raise ConfigError(f"server.port: {port!r} is not a number")
    guarded = arguments.with_key or (
        interactive and ask_yes("Shall programs need a key to use the server?", default=False)
    )
    server = [
        Line("host", arguments.host or "127.0.0.1", "this machine only"),
        Line("port", int(port)),
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
    return _HEAD + "".join(_table(heading, keys) for heading, keys in tables)


def _table(heading: str, lines: list[Line]) -> str:
    shown = (
        f"{one.key} = {written(one.value)}" + (f"   # {one.why}" if one.why else "")
        for one in lines
    )
    return f"\n[{heading}]\n" + "\n".join(shown) + "\n"


def _chosen(word: str | None) -> Upstream:
    by_word = {one.word: one for one in _UPSTREAMS}
    if word is not None:
        return by_word[word]
    print("Where shall the answers come from?")
    for number, one in enumerate(_UPSTREAMS, 1):
        print(f"  {number}  {one.what}")
    answer = ask("Number", "1")
    if not answer.isdecimal() or not 1 <= int(answer) <= len(_UPSTREAMS):
        raise ConfigError(f"{answer!r} is none of the numbers")
    return _UPSTREAMS[int(answer) - 1]


def _written(path: Path, text: str) -> Config:
    """Write the file whole or not at all, for its owner alone; the configuration that it is. Raises ConfigError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _fresh(path.with_name(f".{path.name}.new")) as new:
        number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(number, "w", encoding="utf-8") as file:
            file.write(text)
        config = load(new, environ={})
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


# ---- the questions of each upstream


def _value(given: str, interactive: bool, question: str, option: str) -> str:
    found = given or (ask(question) if interactive else "")
    if not found:
        raise ConfigError(f"{option} is needed")
    return found


def _sandbox(_: argparse.Namespace, __: bool) -> list[Line]:
    return [
        Line("kind", "salesforce"),
        Line("my_domain", "sandbox", "the built-in org, no account needed"),
    ]


def _salesforce(arguments: argparse.Namespace, interactive: bool) -> list[Line]:
    domain = _value(
        arguments.my_domain,
        interactive,
        "My Domain of the org (https://….my.salesforce.com)",
        "--my-domain",
    )
    client = _value(
        arguments.client_id, interactive, "Consumer key of the External Client App", "--client-id"
    )
    lines = [
        Line("kind", "salesforce"),
        Line("my_domain", domain),
        Line("client_id", client),
    ]
    return [
        *lines,
        _secret("client_secret", arguments.client_secret_file, interactive, "Consumer secret"),
    ]


def _openai(arguments: argparse.Namespace, interactive: bool) -> list[Line]:
    base = _value(
        arguments.base_url,
        interactive,
        "Address of the server (http://127.0.0.1:8080)",
        "--base-url",
    )
    lines = [Line("kind", "openai"), Line("base_url", base)]
    if arguments.api_key_file or (interactive and ask_yes("Does it need a key?", default=False)):
        lines.append(_secret("api_key", arguments.api_key_file, interactive, "Key"))
    return lines


def _secret(key: str, file: str, interactive: bool, question: str) -> Line:
    if file:
        return Line(f"{key}_file", str(Path(file).expanduser().absolute()))
    typed = ask_secret(question) if interactive else ""
    if not typed:
        raise ConfigError(f"--{key.replace('_', '-')}-file is needed: a file that holds it")
    return Line(key, typed)


def _claude(arguments: argparse.Namespace, interactive: bool) -> list[Line]:
    command = arguments.command or (ask("Command", "claude") if interactive else "claude")
    return [
        Line("kind", "claude-cli"),
        Line("command", command, "logged in by its owner beforehand"),
    ]


def _lingma(arguments: argparse.Namespace, interactive: bool) -> list[Line]:
    source = arguments.source or (
        ask("Logged-in workdir", "~/.lingma") if interactive else "~/.lingma"
    )
    return [
        Line("kind", "lingma"),
        Line("source", source, "a login that instances are copied from"),
    ]


_UPSTREAMS: Final = (
    Upstream(
        "sandbox",
        "salesforce",
        "the built-in sandbox org, to try everything without an account",
        _sandbox,
    ),
    Upstream("salesforce", "salesforce", "a Salesforce org", _salesforce),
    Upstream(
        "openai",
        "local",
        "an OpenAI-compatible server (llama.cpp, vLLM, Ollama, LM Studio, …)",
        _openai,
    ),
    Upstream("claude-cli", "claude", "the claude command of this machine", _claude),
    Upstream("lingma", "lingma", "Alibaba Lingma, logged in on this machine", _lingma),
)
