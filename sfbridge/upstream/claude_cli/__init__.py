"""The `claude` command of this machine as an upstream: `Settings` is its table in the configuration, `connect` opens it.

One process holds one conversation. Between two turns it may wait, so that the next one costs no start (0.4 s and
more, against some milliseconds), or a tool's result reaches it as what it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sfbridge.upstream.base import Resources, Upstream
from sfbridge.upstream.secret import SettingsError

from .adapter import ClaudeCli
from .settings import Settings, check

__all__ = ["Settings", "connect", "examine"]


def examine(name: str, settings: Settings, sandbox: str) -> None:  # noqa: ARG001  for Salesforce
    """Raises ValueError that names a key which cannot be used."""
    check(settings, name)


@asynccontextmanager
async def connect(name: str, settings: Settings, resources: Resources) -> AsyncIterator[Upstream]:
    """The command, whether it works or not; health says so. Leaving ends every process.

    Raises ValueError that names a key which cannot be used.
    """
    upstream = ClaudeCli(name, check(settings, name), resources)
    try:
        upstream.start()
    except OSError as error:
        raise SettingsError("directory", f"cannot be made: {error.strerror}") from None
    try:
        yield upstream
    finally:
        await upstream.close()
