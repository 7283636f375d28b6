"""What `config init` asks for each kind of upstream, and the lines that it writes for the answers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from sfbridge.config import ConfigError

from .terminal import ask, ask_secret, ask_yes


class Line(NamedTuple):
    """One key of the file, and why it is there. One that is at its default is written as a comment."""

    key: str
    value: str | int | bool
    why: str = ""
    default: bool = False


class Upstream(NamedTuple):
    """One way to get answers: its word on the command line, the name of its table, what it is, what must be asked."""

    word: str
    table: str
    what: str
    questions: Callable[[argparse.Namespace, bool], list[Line]]


# What every upstream may be told.
_SHARED: Final = (
    Line("in_flight", 0, "answers at a time; 0: no limit, others wait in a queue", default=True),
)


def _value(given: str, interactive: bool, question: str, option: str) -> str:
    """An option's value, else a typed one; asked again until there is one. Raises ConfigError."""
    found = given
    while not found and interactive:
        found = ask(question)
    if not found:
        raise ConfigError(f"{option} is needed")
    return found


def _absolute(path: str) -> str:
    """As it is meant here: in the file it would be meant from there."""
    return path if path.startswith("~") else str(Path(path).absolute())


def _secret(key: str, file: str, interactive: bool, question: str, why: str) -> Line:
    option = f"--{key.replace('_', '-')}-file"
    if file:
        return Line(f"{key}_file", str(Path(file).expanduser().absolute()), why)
    typed = ""
    while not typed and interactive:
        typed = ask_secret(question)
    if not typed:
        raise ConfigError(f"{option} is needed: a file that holds it")
    return Line(key, typed, why)


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
    why = "consumer secret of that app"
    return [
        Line("kind", "salesforce"),
        Line("my_domain", domain, "the org's address under Setup, My Domain"),
        Line("client_id", client, "consumer key of the External Client App"),
        _secret("client_secret", arguments.client_secret_file, interactive, "Consumer secret", why),
        Line(
            "surface",
            "auto",
            '"gateway" streams and has native tools, "platform" is documented',
            True,
        ),
        *_SHARED,
    ]


def _openai(arguments: argparse.Namespace, interactive: bool) -> list[Line]:
    base = _value(
        arguments.base_url,
        interactive,
        "Address of the server (http://127.0.0.1:8080)",
        "--base-url",
    )
    lines = [
        Line("kind", "openai"),
        Line("base_url", base, "with or without /v1; the rest is found by asking it"),
    ]
    if arguments.api_key_file or (interactive and ask_yes("Does it need a key?", default=False)):
        why = "sent to it as a bearer token"
        lines.append(_secret("api_key", arguments.api_key_file, interactive, "Key", why))
    return [
        *lines,
        Line("window", 0, "tokens of prompt and answer; 0: as the server says", True),
        Line("tools", "native", '"emulated" for models whose template has no tools', True),
        *_SHARED,
    ]


def _claude(arguments: argparse.Namespace, interactive: bool) -> list[Line]:
    command = arguments.command or (ask("Command", "claude") if interactive else "claude")
    return [
        Line("kind", "claude-cli"),
        Line(
            "command",
            _absolute(command) if "/" in command else command,
            "logged in by its owner beforehand",
        ),
        Line(
            "billing",
            "login",
            'who pays: "login", "api_key", or "environment" (Bedrock, Vertex)',
            True,
        ),
        Line("max_children", 4, "processes at a time, about 220 MB each", True),
    ]


def _lingma(arguments: argparse.Namespace, interactive: bool) -> list[Line]:
    source = arguments.source or (
        ask("Logged-in workdir", "~/.lingma") if interactive else "~/.lingma"
    )
    return [
        Line("kind", "lingma"),
        Line(
            "source",
            _absolute(source),
            "a login that instances are copied from; see README.md, Lingma, first",
        ),
        Line("instances", 1, "they share one account and its limits", True),
    ]


UPSTREAMS: Final = (
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
        "an OpenAI-compatible server (llama.cpp, vLLM, Ollama, LM Studio, ...)",
        _openai,
    ),
    Upstream("claude-cli", "claude", "the claude command of this machine", _claude),
    Upstream("lingma", "lingma", "Alibaba Lingma, logged in on this machine", _lingma),
)
