"""`serve`: run the server until it is told to stop; SIGHUP reloads its configuration."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator

from aiohttp import web

from sfbridge import __version__, log
from sfbridge.client import address
from sfbridge.config import Config, ConfigError
from sfbridge.hiding import Secrets
from sfbridge.secrecy import secrets_of
from sfbridge.state.keeper import Keeper

from . import options
from .notify import Notify, watchdog_seconds
from .reach import unlistenable
from .terminal import called

_log = logging.getLogger("sfbridge")


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "serve",
        "run the server (what happens without a command)",
        "SIGHUP reloads the configuration without losing a request; Ctrl-C ends the server in order, a second one at "
        "once.",
    )
    options.add(parser)
    parser.set_defaults(run=serve)


def serve(arguments: argparse.Namespace) -> int:
    from sfbridge.server.app import create_app

    origins = options.origins(arguments)
    config = origins.load()
    _see_that_it_is_free(config)
    secrets = Secrets(secrets_of(config))
    log.configure(config.log.level, secrets, config.log.format)
    _log.info("%s; opening %s", _source(origins), ", ".join(config.upstream))
    app = create_app(config, reread=origins.load, secrets=secrets)
    _run(app, config, Notify.from_environ(os.environ))
    return 0


def _source(origins: options.Origins) -> str:
    if origins.path is not None:
        return f"configuration: {origins.path}"
    return "no config.toml here (sfbridge config init writes one), so everything is at its default"


def _run(app: web.Application, config: Config, notify: Notify) -> None:
    host, port, base = config.server.host, config.server.port, address(config)
    guarded = f"{len(config.keys)} keys" if config.keys else "no key needed, this machine only"

    def announce(told: str) -> None:
        # where any free port was wanted, aiohttp's own words have the one that it got
        found = re.search(r"http://\S+", told) if not port else None
        _log.info("sfbridge %s on %s (%s)", __version__, found[0] if found else base, guarded)
        notify.ready()

    async def attended(app: web.Application) -> AsyncIterator[None]:
        from .readiness import tell_when_ready

        async with Keeper() as keeper:
            _attend(app, keeper, notify)
            keeper.spawn("readiness", tell_when_ready(app, _hint(config)))
            yield

    async def stopping(app: web.Application) -> None:
        notify.stopping()
        _hurry_when_told_again(app)

    app.cleanup_ctx.append(attended)
    app.on_shutdown.insert(0, stopping)
    try:
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
    except OSError as error:
        raise _told(error, host, port) from None


def _see_that_it_is_free(config: Config) -> None:
    """Before anything is opened: what is opened first might be refused for the same reason, under another name.
    Raises ConfigError."""
    host, port = config.server.host, config.server.port
    if error := unlistenable(host, port):
        raise _told(error, host, port)


def _told(error: OSError, host: str, port: int) -> Exception:
    if isinstance(error, socket.gaierror):
        return ConfigError(f"server.host: {host!r} leads nowhere ({error.strerror})")
    reason = os.strerror(error.errno or 0)
    match error.errno:
        case errno.EADDRINUSE | errno.EACCES:
            do = "stop what has it (another sfbridge?), or choose another with --port"
            return ConfigError(f"server.port: cannot listen on {host}:{port} ({reason}); {do}")
        case errno.EADDRNOTAVAIL:
            return ConfigError(f"server.host: {host} is no address of this machine ({reason})")
        case _:
            return error


def _hint(config: Config) -> str:
    """What a person in front of a terminal may want to do next; nothing for anybody else."""
    if config.log.format == "json" or not sys.stderr.isatty():
        return ""
    return (
        f"dashboard: {address(config)}/   Claude Code: {called()} run claude   "
        f"n8n: {called()} env n8n   trouble: {called()} check"
    )


def _attend(app: web.Application, keeper: Keeper, notify: Notify) -> None:
    """While the server runs: SIGHUP reloads, and a watchdog that was set is fed."""
    on_terminal = sys.stderr.isatty()

    def hung_up() -> None:
        if on_terminal and not sys.stderr.isatty():
            # the terminal is gone, and nobody would ever stop us
            signal.raise_signal(signal.SIGTERM)
            return
        keeper.spawn("reload", _reload(app, notify))

    if hasattr(signal, "SIGHUP"):
        with contextlib.suppress(NotImplementedError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)
    if every := watchdog_seconds(os.environ, os.getpid()):
        keeper.spawn("watchdog", _feed(notify, every / 2))


async def _reload(app: web.Application, notify: Notify) -> None:
    from sfbridge.server.keys import RELOADING

    notify.reloading()
    try:
        # a refusal stands in the log already
        with contextlib.suppress(ConfigError):
            await app[RELOADING].reload()
    finally:
        notify.ready()


async def _feed(notify: Notify, seconds: float) -> None:
    while True:
        notify.alive()
        await asyncio.sleep(seconds)


def _hurry_when_told_again(app: web.Application) -> None:
    """A second Ctrl-C ends the grace; without this it would break the shutdown itself."""
    from sfbridge.server.keys import DRAINING

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
