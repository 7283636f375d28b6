"""`create_app`: the only constructor. Everything with a lifetime is opened and closed by one exit stack."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Final

from aiohttp import web

from sfbridge.config import Config, Sessions
from sfbridge.hiding import Secrets
from sfbridge.secrecy import secrets_of
from sfbridge.state.clock import Clock, SystemClock
from sfbridge.state.contexts import Contexts
from sfbridge.state.counters import Counters
from sfbridge.state.database import Database
from sfbridge.state.gates import Gate, Gates, Passage
from sfbridge.state.journal import Journal
from sfbridge.state.keeper import Keeper
from sfbridge.state.learning import Learned
from sfbridge.state.quotas import Quotas
from sfbridge.state.running import Running
from sfbridge.state.sessions import MIGRATIONS, Limits
from sfbridge.state.sessions import Sessions as Store
from sfbridge.state.statistics import Statistics
from sfbridge.wire import WIRES, openai_embeddings

from . import chat, dashboard, embeddings, kept_answers, numbers, pages, session_pages
from .conversations import Conversations
from .draining import Draining
from .embedded import Embedded
from .examining import examine
from .generation import Generation, Generations
from .hall import hall
from .keys import (
    CLOCK,
    COMPARING,
    CONVERSATIONS,
    DRAINING,
    GENERATIONS,
    IDS,
    JOURNAL,
    METRICS,
    QUOTAS,
    RELOADING,
    RUNNING,
    SECRETS,
    STATISTICS,
    VISITORS,
)
from .metrics import Metrics
from .opening import Lasting, opened
from .paths import NearlyRight
from .reloading import Reloading
from .sharing import Bells, Shared
from .visitors import Visitors

_log = logging.getLogger("sfbridge.server")

# Slow comparisons of unknown keys: whoever guesses keys waits for himself.
_COMPARING: Final = Passage(in_flight=1, queue=32, queue_seconds=10)


def create_app(
    config: Config,
    *,
    clock: Clock | None = None,
    reread: Callable[[], Config] | None = None,
    secrets: Secrets | None = None,
) -> web.Application:
    """The whole server. Raises ConfigError, here or at start-up, for a configuration that cannot work.

    reread   reads the configuration anew, for a reload; None: what was given stays
    secrets  shared with the log, so that neither shows what only the other knows
    """
    examine(config)
    app = web.Application(middlewares=[hall], client_max_size=config.server.max_body)
    app[CLOCK] = clock or SystemClock()
    app[DRAINING] = Draining()
    app[VISITORS] = Visitors()
    app[JOURNAL] = Journal(config.journal.keep)
    app[RUNNING] = Running()
    app[QUOTAS] = Quotas(app[CLOCK].now)
    app[COMPARING] = Gate("the key check", app[CLOCK], _COMPARING)
    app[STATISTICS] = Statistics(app[CLOCK])
    app[IDS] = random.Random(os.urandom(32))
    app[SECRETS] = secrets or Secrets()
    app[SECRETS].learn(secrets_of(config))
    app.add_routes(
        [
            *pages.routes(),
            *numbers.routes(),
            *session_pages.routes(),
            *kept_answers.routes(),
            *dashboard.routes(),
        ]
    )
    for wire in WIRES:
        door = chat.door(wire)
        app.add_routes([web.post(route, door) for route in wire.routes])

    app.router.add_post(openai_embeddings.ROUTE, embeddings.door)
    app.router.register_resource(NearlyRight(app.router))

    async def lifetime(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await _open(app, stack, config, reread or (lambda: config))
            yield

    app.cleanup_ctx.append(lifetime)
    app.on_shutdown.append(_drain)
    return app


async def _drain(app: web.Application) -> None:
    grace, open_answers = app[GENERATIONS].now.config.server.shutdown_grace, app[DRAINING].open
    _log.info("stopping; %d open answers have %g s to finish", open_answers, grace)
    app[DRAINING].stopping = True
    app[RUNNING].feed.poke()  # the dashboards end at once
    await app[DRAINING].stop(grace)


async def _open(
    app: web.Application, stack: AsyncExitStack, config: Config, reread: Callable[[], Config]
) -> None:
    """What outlives every configuration, then the generation of this one."""
    clock = app[CLOCK]
    lasting = Lasting(
        clock=clock,
        gates=Gates(clock),
        quotas=app[QUOTAS],
        counters=Counters(),
        contexts=Contexts(),
        learned=Learned(),
        shared=Shared(),
        bells=Bells(),
        secrets=app[SECRETS],
    )
    embedded = Embedded(stack)
    database = Database(config.sessions.file(), MIGRATIONS, clock.now)
    await stack.enter_async_context(database)
    app[CONVERSATIONS] = _conversations(app, database, config.sessions)
    keeper = await stack.enter_async_context(Keeper())
    first = Generation(config, await opened(config, lasting, await embedded.url(config)))
    generations = await stack.enter_async_context(Generations(first, lasting, keeper.spawn))
    app[GENERATIONS] = generations
    app[METRICS] = Metrics(app[STATISTICS], app[RUNNING], lasting)
    keeper.spawn("sessions", app[CONVERSATIONS].sweep())
    app[RELOADING] = Reloading(generations, embedded, reread, app[SECRETS], app[JOURNAL])


def _conversations(app: web.Application, database: Database, given: Sessions) -> Conversations:
    clock, ids = app[CLOCK], app[IDS]
    limits = Limits(
        life=given.life_hours * 3600,
        sessions=given.most_sessions,
        messages=given.most_messages,
        bytes=given.most_bytes,
    )
    return Conversations(
        Store(database, limits, clock.wall),
        clock=clock,
        make_id=lambda: f"sess_{ids.getrandbits(128):032x}",
        patience=given.wait,
    )
