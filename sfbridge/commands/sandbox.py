"""`sandbox`: run the sandbox org alone, for workflow tests of one's own."""

from __future__ import annotations

import argparse
import logging

from aiohttp import web

from sfbridge import log
from sfbridge.config import ConfigError, load, section

from . import options

_log = logging.getLogger("sfbridge")


def declare(commands: options.Commands) -> None:
    parser = commands.add_parser(
        "sandbox", help="run only the sandbox org, a Salesforce org in miniature"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--scenario", default="", help="a TOML or Python file of scripted turns")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set any key of [sandbox]"
    )
    parser.set_defaults(run=serve_sandbox)


def serve_sandbox(arguments: argparse.Namespace) -> int:
    from sfbridge.sandbox import SandboxSettings, ScenarioError, create_org

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
