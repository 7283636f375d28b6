"""Reading the configuration anew without losing a request: all of it works, or the old one stays."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from sfbridge import log
from sfbridge.config import Config, ConfigError
from sfbridge.hiding import Secrets
from sfbridge.secrecy import secrets_of
from sfbridge.state.journal import Journal

from .embedded import Embedded
from .examining import examine
from .generation import Generations

_log = logging.getLogger("sfbridge.server")

# What was decided when the server started: keys, or whole sections.
FIXED: Final = (
    "server.host",
    "server.port",
    "server.max_body",
    "journal.keep",
    "log.format",
    "sandbox",
    "sessions",
)


class Changed(Struct, frozen=True):
    """What a reload changed, as paths of keys; never their values.

    changed        in effect for every request from now on
    needs_restart  changed in the file, but decided when the server started
    """

    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


class Reloading:
    """Replaces the present generation by one of a configuration read anew, one reload at a time."""

    def __init__(
        self,
        generations: Generations,
        embedded: Embedded,
        reread: Callable[[], Config],
        secrets: Secrets,
        journal: Journal,
    ) -> None:
        self._generations = generations
        self._start = generations.now.config
        self._embedded = embedded
        self._reread = reread
        self._secrets = secrets
        self._journal = journal
        self._lock = asyncio.Lock()

    async def reload(self) -> Changed:
        """Raises ConfigError with the path of the fault; then nothing has changed."""
        async with self._lock:
            before = self._generations.now.config
            try:
                fresh = self._reread()
                # hidden before they are used; a refused configuration's secrets are secrets all the same
                self._secrets.learn(secrets_of(fresh))
                examine(fresh)
                await self._generations.replace(fresh, await self._embedded.url(fresh))
            except ConfigError as error:
                _log.error("the configuration was not reloaded, the old one stays: %s", error)
                raise
        log.adjust(fresh.log.level)
        if not fresh.journal.contents:
            self._journal.forget_contents()
        found = Changed(
            changed=tuple(path for path in differing(before, fresh) if not _is_fixed(path)),
            # against what the server was started with, however often the file has changed since
            needs_restart=tuple(path for path in differing(self._start, fresh) if _is_fixed(path)),
        )
        _log.info(
            "the configuration was reloaded; changed: %s", ", ".join(found.changed) or "nothing"
        )
        if found.needs_restart:
            _log.warning("only a restart brings into effect: %s", ", ".join(found.needs_restart))
        return found


def _is_fixed(path: str) -> bool:
    return any(path == fixed or path.startswith(f"{fixed}.") for fixed in FIXED)


def differing(before: object, after: object, path: str = "") -> Iterator[str]:
    """The paths at which two configurations differ."""
    old, new = _tables(before), _tables(after)
    if old is None or new is None:
        if before != after:
            yield path
        return
    for name in (*old, *(name for name in new if name not in old)):
        inner = f"{path}.{name}" if path else name
        if name in old and name in new:
            yield from differing(old[name], new[name], inner)
        else:
            yield inner


def _tables(value: object) -> dict[str, Any] | None:
    if isinstance(value, Struct):
        return asdict(value)
    return value if isinstance(value, dict) else None
