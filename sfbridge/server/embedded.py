"""The embedded sandbox org: a Salesforce org in miniature, on a loopback port of its own beside the server."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import msgspec
from aiohttp import web

from sfbridge.config import MOST_PORT, Config, ConfigError, section

_log = logging.getLogger("sfbridge.server")

SANDBOX_PORT: Final = 8001


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Where the sandbox org listens. Unless said otherwise it runs when an upstream points at it."""

    enabled: bool | None = None
    port: int = SANDBOX_PORT


def port_of(config: Config) -> int | None:
    """The port on which this configuration wants the org, 0 for any; None where it does without. Raises ConfigError."""
    own = Where.__struct_fields__
    where = section({k: v for k, v in config.sandbox.items() if k in own}, Where, "sandbox")
    wanted = any("sandbox" in table.values() for table in config.upstream.values())
    if not (wanted if where.enabled is None else where.enabled):
        return None
    if not 0 <= where.port <= MOST_PORT:
        raise ConfigError(f"sandbox.port: {where.port} is not a port number")
    return where.port


def examine_sandbox(config: Config) -> None:
    """Raises ConfigError with the path of what is wrong with the org's settings, or with its scenario."""
    if port_of(config) is not None:
        _org(_bent(config))


def _bent(config: Config) -> dict[str, Any]:
    """How the org behaves, without where it is."""
    return {k: v for k, v in config.sandbox.items() if k not in Where.__struct_fields__}


def _org(table: dict[str, Any]) -> web.Application:
    from sfbridge.sandbox import SandboxSettings, ScenarioError, create_org

    try:
        return create_org(section(table, SandboxSettings, "sandbox"))
    except ScenarioError as error:
        raise ConfigError(f"sandbox.scenario: {error}") from None


class Embedded:
    """Starts the org when a configuration first wants it; it then runs, as it was started, until the server ends."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._url = ""

    async def url(self, config: Config) -> str:
        """Its base address, empty where this configuration does without. Raises ConfigError."""
        port = port_of(config)
        if port is None:
            return ""
        if not self._url:
            self._url = await self._stack.enter_async_context(_running(_bent(config), port))
        return self._url


@asynccontextmanager
async def _running(table: dict[str, Any], port: int) -> AsyncIterator[str]:
    runner = web.AppRunner(
        _org(table), handler_cancellation=True, shutdown_timeout=0.5, access_log=None
    )
    await runner.setup()
    try:
        await _bind(web.TCPSite(runner, "127.0.0.1", port), port)
        bound = runner.addresses[0][1]
        _log.info("the sandbox org listens on http://127.0.0.1:%d", bound)
        yield f"http://127.0.0.1:{bound}"
    finally:
        await runner.cleanup()


async def _bind(site: web.TCPSite, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        raise ConfigError(
            f"sandbox.port: cannot listen on {port} ({os.strerror(error.errno or 0)}); choose another, or 0 for any free one"
        ) from None
