"""Any server of the OpenAI dialect: `Settings` is its table in the configuration, `connect` opens it.

A base URL is all that must be known. Which family of servers it is, which models it has and how large their
windows are is asked at start, and again whenever the server seems to have changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sfbridge.upstream.base import Resources, Upstream

from .adapter import OpenAiServer
from .settings import Settings, check

__all__ = ["Settings", "connect", "examine"]


def examine(name: str, settings: Settings, sandbox: str) -> None:  # noqa: ARG001  for Salesforce
    """Raises ValueError that names a key which cannot be used."""
    check(settings, name)


@asynccontextmanager
async def connect(name: str, settings: Settings, resources: Resources) -> AsyncIterator[Upstream]:
    """The server, asked for its models if it answers soon; one that is down is connected all the same.

    Raises ValueError that names a key which cannot be used.
    """
    upstream = OpenAiServer(name, settings, check(settings, name), resources)
    await upstream.start()
    yield upstream
