"""The operator's own Lingma installation as an upstream: `Settings` is its table in the configuration, `connect` opens it.

The vendor's process is started in workdirs of its own, each a copy of a logged-in one, and spoken with over its local
WebSocket. Nobody logs in here, nothing is read out of the login files, and the vendor's service is never called.
The protocol is private and changes; what is known of it is graded in the reference, and doubted where it is not sure.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiohttp import ClientSession, TCPConnector

from sfbridge.upstream.base import Resources, Upstream

from .adapter import Lingma
from .instance import Instance
from .places import Attached, Own, Place
from .pool import Pool
from .settings import Settings, check, source_of, workdir_of
from .supervisor import Supervisor

__all__ = ["Settings", "connect", "examine"]


def examine(name: str, settings: Settings, sandbox: str) -> None:  # noqa: ARG001  # as the other kinds have it
    """Raises ValueError that names a key which cannot be used."""
    check(settings)


# The first instance gets a moment, so that the model list is known.
_FIRST_SECONDS: Final = 10.0


@asynccontextmanager
async def connect(name: str, settings: Settings, resources: Resources) -> AsyncIterator[Upstream]:
    """The pool, its processes started; one that cannot start is connected all the same, and says why.

    Raises ValueError that names a key which cannot be used.
    """
    check(settings)
    pool = Pool(
        limit=settings.max_in_flight,
        most=settings.most_waiting,
        patience=settings.queue_timeout,
        affinity=settings.affinity_wait,
        clock=resources.clock,
    )
    dialect = None if settings.dialect == "auto" else settings.dialect
    pool.instances = [Instance(index, dialect, pool.look) for index in range(settings.instances)]
    # the shared session may know a proxy, and its connections are counted; these stay on this machine
    async with ClientSession(connector=TCPConnector(limit=0), trust_env=False) as session:
        supervisors = [
            Supervisor(
                instance,
                _place(name, settings, instance.index, resources),
                settings,
                session,
                resources,
                random.random,
            )
            for instance in pool.instances
        ]
        for supervisor in supervisors:
            resources.spawn("lingma supervisor", supervisor.run())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_FIRST_SECONDS, settings.start_timeout)):
                    await pool.settled.wait()
            yield Lingma(name, settings, pool, resources)
        finally:
            pool.closing = True
            await asyncio.gather(*(supervisor.stop() for supervisor in supervisors))


def _place(name: str, settings: Settings, index: int, resources: Resources) -> Place:
    if settings.attach:
        return Attached(settings)
    return Own(
        settings,
        source_of(settings, index),
        workdir_of(settings, name, index),
        os.environ,
        resources.wall,
    )
