"""The server that a command speaks with: the one that runs, or one of its own for as long as the command needs it."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import ClientSession, web
from msgspec.structs import replace

from sfbridge import __version__, log
from sfbridge.client import Client, Unanswered, address, first_key
from sfbridge.config import Config, ConfigError
from sfbridge.gateway import Gateway
from sfbridge.hiding import Secrets
from sfbridge.secrecy import secrets_of

# The name of the key of a server of our own.
OWN: Final = "own"
_SELF: Final = {"User-Agent": f"sfbridge/{__version__}"}


def needed_key(config: Config) -> str:
    """A key that opens the server, to be told to a program; empty where none is needed. Raises ConfigError where one is
    needed and only its hash is known."""
    key = first_key(config)
    if config.keys and not key:
        raise ConfigError(
            "the configuration has the hashes of keys only; give this command a key: SFBRIDGE_KEYS__ME=<key> before it"
        )
    return key


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Client]:
    """The server of this configuration, whether it runs or not."""
    async with ClientSession(headers=_SELF) as http:
        yield Client(http, address(config), first_key(config))


@asynccontextmanager
async def reached(config: Config) -> AsyncIterator[Client]:
    """The running server, or one of our own on a free port, which ends with the block. Raises ConfigError, and
    Unanswered where only another machine could run it: what answers here would be somebody else."""
    async with running(config) as found:
        if await found.alive():
            yield found
            return
        if unlistenable(config.server.host, 0):
            raise Unanswered(f"no sfbridge answers at {found.base}, and that is not this machine")
    async with private(config) as (_, client):
        yield client


def unlistenable(host: str, port: int) -> OSError | None:
    """Why no server of this machine could listen there, tried as asyncio would; None where one could."""
    passive = socket.AI_PASSIVE
    try:
        for family, kind, number, _, at in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=passive
        ):
            with socket.socket(family, kind, number) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(at)
    except OSError as error:
        return error
    return None


@asynccontextmanager
async def private(config: Config) -> AsyncIterator[tuple[Gateway, Client]]:
    """A server of our own on free loopback ports, and its gateway; its key is made for it. Raises ConfigError."""
    from sfbridge.server.app import create_app
    from sfbridge.server.keys import GENERATIONS

    sandbox = {**config.sandbox, "port": 0}
    server = replace(config.server, host="127.0.0.1", port=0)
    key = secrets.token_urlsafe(24)
    app = create_app(replace(config, server=server, sandbox=sandbox, keys={OWN: key}))
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with ClientSession(headers=_SELF) as http:
            yield app[GENERATIONS].now.gateway, Client(http, base, key)
    finally:
        await runner.cleanup()


def quiet_log(config: Config) -> None:
    """While a command speaks, the log speaks of trouble only."""
    log.configure("warning", Secrets(secrets_of(config)), "text")
    # what the client is told anyway
    logging.getLogger("sfbridge.server").setLevel(logging.ERROR)
