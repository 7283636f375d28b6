"""The command line: arguments, configuration, log, run; exit codes 0 (ended well), 1 (cannot start), 2 (usage)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import secrets
import signal
import sys
from collections.abc import Sequence
from getpass import getpass
from pathlib import Path
from typing import Any

from aiohttp import web

from . import __version__, log
from .config import LEAST_SECRET, Config, ConfigError, load, secrets_of, section
from .core.errors import GatewayError
from .policy.hashes import SALT_BYTES, hashed

_log = logging.getLogger("sfbridge")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (ConfigError, GatewayError, OSError) as error:
        print(f"sfbridge: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sfbridge",
        description="Answers OpenAI and Anthropic clients with models they cannot reach by themselves.",
        epilog="Every key of config.toml can be set by --set section.key=value, or by the environment "
        "variable SFBRIDGE_SECTION__KEY. The command line wins over the environment, that over the file.",
    )
    parser.add_argument("--version", action="version", version=f"sfbridge {__version__}")
    _serve_options(parser, default=True)
    parser.set_defaults(run=serve)
    commands = parser.add_subparsers(metavar="command")
    serving = commands.add_parser("serve", help="run the server (what happens without a command)")
    _serve_options(serving, default=False)
    explaining = commands.add_parser("explain", help="tell in words what became of a request")
    explaining.add_argument("request_id", help="the x-request-id of its answer")
    _serve_options(explaining, default=False)
    explaining.set_defaults(run=explain_turn)
    hashing = commands.add_parser(
        "hash-key", help="make the secret_hash of an API key, for [keys] in config.toml"
    )
    hashing.add_argument("--new", action="store_true", help="make a new key, too, and print it")
    hashing.set_defaults(run=hash_key)
    sandbox = commands.add_parser(
        "sandbox", help="run only the sandbox org, a Salesforce org in miniature"
    )
    sandbox.add_argument("--host", default="127.0.0.1")
    sandbox.add_argument("--port", type=int, default=8001)
    sandbox.add_argument("--scenario", default="", help="a TOML or Python file of scripted turns")
    sandbox.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set any key of [sandbox]"
    )
    sandbox.set_defaults(run=serve_sandbox)
    return parser


def _serve_options(parser: argparse.ArgumentParser, *, default: bool) -> None:
    """The same options before and after `serve`; only the first set has defaults, so neither undoes the other."""
    empty: Any = None if default else argparse.SUPPRESS
    many: Any = [] if default else argparse.SUPPRESS
    parser.add_argument(
        "--config", type=Path, default=empty, help="the file to read (config.toml if it is here)"
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


def serve(arguments: argparse.Namespace) -> int:
    """Run the server until it is told to stop."""
    from .server.app import create_app

    config = _configuration(arguments)
    log.configure(config.log.level, secrets_of(config), config.log.format)
    _run(create_app(config), config.server.host, config.server.port, config)
    return 0


def _configuration(arguments: argparse.Namespace) -> Config:
    path = arguments.config
    if path is None and Path("config.toml").is_file():
        path = Path("config.toml")
    given = {name: getattr(arguments, name) for name in ("host", "port")}
    sets = [f"server.{name}={value}" for name, value in given.items() if value is not None]
    return load(path, sets=[*arguments.set, *sets])


def _run(app: web.Application, host: str, port: int, config: Config) -> None:
    guarded = f"{len(config.keys)} keys" if config.keys else "no key needed, this machine only"

    def announce(_: str) -> None:
        _log.info("sfbridge %s on http://%s:%d (%s)", __version__, host, port, guarded)

    app.on_shutdown.insert(0, _hurry_when_told_again)
    web.run_app(
        app,
        host=host,
        port=port,
        print=announce,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=1.0,
        loop=_loop(),
    )


async def _hurry_when_told_again(app: web.Application) -> None:
    """A second Ctrl-C ends the grace; without this it would break the shutdown itself."""
    from .server.keys import DRAINING

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, app[DRAINING].hurry)


def _loop() -> asyncio.AbstractEventLoop:
    """uvloop where the extra `fast` is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    fast: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return fast


def explain_turn(arguments: argparse.Namespace) -> int:
    """Print what the running server remembers of one request."""
    from .client import explanation

    print(explanation(_configuration(arguments), arguments.request_id))
    return 0


def hash_key(arguments: argparse.Namespace) -> int:
    """Print what stands for a key in the configuration; the key itself is read from the terminal or standard input."""
    if arguments.new:
        secret = f"sk-sfbridge-{secrets.token_urlsafe(24)}"
        print(f"key:         {secret}")
    elif sys.stdin.isatty():
        secret = getpass("API key: ")
    else:
        secret = sys.stdin.readline().rstrip("\r\n")
    if len(secret) < LEAST_SECRET:
        raise ConfigError(f"a key needs at least {LEAST_SECRET} characters")
    print(f'secret_hash = "{hashed(secret, secrets.token_bytes(SALT_BYTES))}"')
    return 0


def serve_sandbox(arguments: argparse.Namespace) -> int:
    """Run the sandbox org alone, for workflow tests of one's own."""
    from .sandbox import SandboxSettings, ScenarioError, create_org

    log.configure("info", [])
    config = load(None, environ={}, sets=[f"sandbox.{item}" for item in arguments.set])
    table = {**config.sandbox, **({"scenario": arguments.scenario} if arguments.scenario else {})}
    settings = section(table, SandboxSettings, "sandbox")
    try:
        org = create_org(settings)
    except ScenarioError as error:
        raise ConfigError(f"--scenario: {error}") from None

    def announce(_: str) -> None:
        _log.info("the sandbox org listens on http://%s:%d", arguments.host, arguments.port)

    web.run_app(
        org,
        host=arguments.host,
        port=arguments.port,
        print=announce,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=1.0,
    )
    return 0
