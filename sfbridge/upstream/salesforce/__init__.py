"""A Salesforce org: `Settings` is its table in the configuration, `connect` opens it.

The org has two APIs on one host. The adapter asks once which of them answers and tells the gateway what can be
done as capabilities; nobody else needs to know that there are two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sfbridge.upstream.base import Resources, Upstream

from .adapter import Salesforce
from .settings import Settings, check

__all__ = ["Settings", "connect", "examine"]


def examine(name: str, settings: Settings, sandbox: str) -> None:
    """Raises ValueError that names a key which cannot be used."""
    check(settings, name, sandbox)


@asynccontextmanager
async def connect(name: str, settings: Settings, resources: Resources) -> AsyncIterator[Upstream]:
    """The org, already being asked for a token. Raises ValueError that names a key which cannot be used."""
    org = check(settings, name, resources.sandbox)
    upstream = Salesforce(name, settings, org, resources)
    upstream.start()
    yield upstream
