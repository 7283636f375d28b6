"""What a server that has just started says of its upstreams: who is still waited for, then that all are ready."""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web

from sfbridge.server.keys import CLOCK, GENERATIONS

from .terminal import done, progress

_log = logging.getLogger("sfbridge")

# Seconds between two looks, and until those that are not ready are named.
_STEP: Final = 0.25
_PATIENCE: Final = 20.0


async def tell_when_ready(app: web.Application, hint: str) -> None:
    """One line when every upstream is ready; a warning for each that is not when time is up. Where a person looks on,
    there is a hint: it comes last, and meanwhile they see who is waited for.

    Upstreams look after themselves from the start; here they are only watched.
    """
    clock, planner = app[CLOCK], app[GENERATIONS].now.gateway.planner
    began = clock.now()
    waiting, ready = [*planner.backs], []
    while True:
        for name in tuple(waiting):
            health = await planner.backs[name].upstream.health()
            if health.ready:
                waiting.remove(name)
                ready.append(f"{name} ({health.summary})")
            elif clock.now() - began >= _PATIENCE:
                waiting.remove(name)
                _log.warning("%s is not ready: %s See sfbridge check", name, health.summary)
        if not waiting:
            break
        if hint:
            progress(f"waiting for {', '.join(waiting)}")
        await clock.sleep(_STEP)
    if ready:
        seconds, models = clock.now() - began, len(planner.cards(""))
        _log.info("ready after %.1f s: %s; %d models", seconds, ", ".join(ready), models)
    if hint:
        done()
        _log.info(hint)
