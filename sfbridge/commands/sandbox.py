"""`sandbox`: run the sandbox org alone, for workflow tests of one's own."""

from __future__ import annotations

import argparse
import logging
import os

from aiohttp import web

from sfbridge import log
from sfbridge.config import MOST_PORT, ConfigError, load, section
from sfbridge.hiding import Secrets

from . import options

_log = logging.getLogger("sfbridge")


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "sandbox",
        "run only the sandbox org, a Salesforce org in miniature",
        "For tests of your own: sfbridge, or anything else that speaks the Models API, is pointed at its address.",
        "sfbridge sandbox --scenario turns.toml --set gateway=false",
    )
    parser.add_argument(
        "--host", default=argparse.SUPPRESS, help="address to listen on (127.0.0.1)"
    )
    parser.add_argument("--port", default=argparse.SUPPRESS, help="port to listen on (8001)")
    parser.add_argument("--scenario", default="", help="a TOML or Python file of scripted turns")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set any key of [sandbox]"
    )
    parser.set_defaults(run=serve_sandbox)


def serve_sandbox(arguments: argparse.Namespace) -> int:
    from sfbridge.sandbox import SandboxSettings, ScenarioError, create_org

    log.configure("info", Secrets())
    host, port = arguments.host or "127.0.0.1", str(arguments.port or 8001)
    if not port.isdecimal() or int(port) > MOST_PORT:
        raise ConfigError(f"--port: {port} is not a port number")
    config = load(None, environ={}, sets=[f"sandbox.{item}" for item in arguments.set])
    table = {**config.sandbox, **({"scenario": arguments.scenario} if arguments.scenario else {})}
    settings = section(table, SandboxSettings, "sandbox")
    try:
        org = create_org(settings)
    except ScenarioError as error:
        raise ConfigError(f"--scenario: {error}") from None

    def announce(_: str) -> None:
        _log.info("the sandbox org listens on http://%s:%s", host, port)

    try:
        web.run_app(
            org,
            host=host,
            port=int(port),
            print=announce,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=1.0,
        )
    except OSError as error:
        if error.errno is None:
            raise
        raise ConfigError(
            f"--port: cannot listen on {host}:{port} ({os.strerror(error.errno)})"
        ) from None
    return 0
