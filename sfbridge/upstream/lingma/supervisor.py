"""Moves one instance from state to state: start, connect, greet, watch, and again after a pause when it was lost."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import msgspec
from aiohttp import ClientSession
from msgspec import Struct

from sfbridge import __version__
from sfbridge.formats.jsonrpc import METHOD_NOT_FOUND
from sfbridge.upstream.base import Resources

from .connection import Connection, Line
from .faults import Lost, Refused
from .instance import Instance
from .login import login_of
from .models import AUTO, Offered, offered
from .places import Absent, Place
from .settings import Settings
from .workdir import InUse

_log = logging.getLogger("sfbridge.upstream.lingma")

_POLL_SECONDS: Final = 0.1
# A dying process loses its connection a moment before it is gone.
_DYING_SECONDS: Final = 0.5
_MOST_PAUSE: Final = 60.0
_IN_USE_SECONDS: Final = 0.2
_MOST_STARTS: Final = 5
_WITHIN_SECONDS: Final = 600.0
_MOST_PING_FAILURES: Final = 2


class Trouble(Exception):
    """The process or its connection is lost; the message says how."""


class _Incompatible(Exception):
    """It is there, but does not speak as we know it."""


class _GivenUp(Exception):
    """It was started often enough."""


class _ServerInfo(Struct, frozen=True):
    name: str = ""
    version: str = ""


class _Initialized(Struct, frozen=True):
    serverInfo: _ServerInfo = _ServerInfo()  # noqa: N815  the process' own word


_initialized: Final = msgspec.json.Decoder(_Initialized, strict=False)


class Pauses:
    """How long to wait before the next start: twice as long each time, and not for ever, unless it is `endless`."""

    def __init__(
        self,
        first: float,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        *,
        endless: bool = False,
    ) -> None:
        self._endless = endless
        self._first = first
        self._clock = clock
        self._jitter = jitter
        self._starts: deque[float] = deque()

    def next(self) -> float | None:
        """Seconds, give or take a fifth; None when it is enough."""
        now = self._clock()
        while self._starts and self._starts[0] < now - _WITHIN_SECONDS:
            self._starts.popleft()
        if len(self._starts) >= _MOST_STARTS and not self._endless:
            return None
        seconds: float = min(self._first * 2 ** len(self._starts), _MOST_PAUSE)
        self._starts.append(now)
        return seconds * (0.8 + 0.4 * self._jitter())


class Supervisor:
    """One per instance, from the start of the bridge to its end."""

    def __init__(
        self,
        instance: Instance,
        place: Place,
        settings: Settings,
        session: ClientSession,
        resources: Resources,
        jitter: Callable[[], float],
    ) -> None:
        self._instance = instance
        self._place = place
        self._settings = settings
        self._session = session
        self._resources = resources
        self._clock = resources.clock
        # an IDE may be closed for as long as its user likes
        self._pauses = Pauses(
            settings.restart_delay, resources.clock, jitter, endless=not place.managed
        )
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._looked = 0.0
        instance.workspace = place.workspace

    async def run(self) -> None:
        """Until `stop`; whatever happens, nothing of the process is left behind."""
        life = asyncio.create_task(self._lives(), name="lingma instance")
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((life, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            with ExitStack() as stack:
                stack.callback(self._stopped.set)
                stack.callback(self._place.close)
                self._instance.move("stopping")
                life.cancel()
                stopping.cancel()
                found, _ = await asyncio.gather(life, stopping, return_exceptions=True)
                connection = self._instance.connection
                self._instance.lost()
                if connection is not None:
                    await connection.close()
                await self._place.end()
                self._instance.move("stopped")
        if isinstance(found, Exception):
            raise found

    async def stop(self) -> None:
        """End it; returns when the process is gone."""
        self._stopping.set()
        await self._stopped.wait()

    # ---- lives

    async def _lives(self) -> None:
        instance = self._instance
        while True:
            try:
                await self._life()
            except Absent as error:
                _log.warning("Lingma instance %d: %s", instance.index, error)
                instance.move("absent", str(error))
                break
            except _Incompatible as error:
                _log.warning("Lingma instance %d: %s", instance.index, error)
                instance.move("incompatible", str(error))
                break
            except _GivenUp:
                break
            except (Trouble, OSError) as error:
                reason = str(error)
            instance.lost()
            await self._place.end()
            try:
                await self._pause(reason)
            except _GivenUp:
                break
        await self._place.end()
        await self._stopping.wait()

    async def _pause(self, reason: str) -> None:
        """Wait before the next start. Raises _GivenUp when there is to be none."""
        instance, seconds = self._instance, self._pauses.next()
        instance.move("backoff", reason)
        if seconds is None:
            words = f"{reason}; it was started {_MOST_STARTS} times in vain. Restart sfbridge to try again"
            _log.error("Lingma instance %d: %s", instance.index, words)
            instance.move("failed", words)
            raise _GivenUp
        _log.warning(
            "Lingma instance %d: %s; starting again in %.1f s", instance.index, reason, seconds
        )
        instance.restarts += 1
        await asyncio.sleep(seconds)

    async def _life(self) -> None:
        """One process, from its start to its loss, which is raised."""
        instance = self._instance
        instance.move("spawning")
        while True:
            try:
                await self._place.begin()
                break
            except InUse as error:
                instance.move("backoff", str(error))
            await asyncio.sleep(_IN_USE_SECONDS)
            instance.move("spawning", instance.reason)
        instance.began()
        instance.move("discovering")
        ended = asyncio.create_task(self._place.ended())
        try:
            while True:
                connection = await self._connect()
                instance.connection = connection
                try:
                    await self._greet(connection)
                    await self._watch(connection, ended)
                finally:
                    await connection.close()
                instance.lost()
                await asyncio.wait((ended,), timeout=_DYING_SECONDS)
                if ended.done():
                    raise Trouble("the process ended")
                await self._pause("the connection was lost")
                instance.move("connecting")
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    async def _connect(self) -> Connection:
        """A connection, as soon as the process takes one."""
        instance, seconds = self._instance, self._settings.start_timeout
        line = Line(
            instance.hear,
            instance.lost,
            self._resources.spawn,
            self._resources.wall,
            self._settings.rpc_timeout,
        )
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if not self._place.alive():
                        raise Trouble("the process ended before it could be reached")
                    if port := self._place.port():
                        if instance.state == "discovering":
                            instance.move("connecting")
                        try:
                            return await Connection.open(self._session, port, line)
                        except Lost:
                            pass
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise Trouble(f"it could not be reached within {seconds:g} s (start_timeout)") from None

    async def _greet(self, connection: Connection) -> None:
        """Say who we are, learn who it is, whether it is logged in and what it offers."""
        instance = self._instance
        instance.move("initializing")
        try:
            result = await connection.call("initialize", self._introduction())
            self._choose_dialect(_initialized.decode(result).serverInfo)
            instance.move("authenticating")
            await self._refresh(connection)
        except Refused as refused:
            if refused.fault.code == METHOD_NOT_FOUND:
                raise _Incompatible("it does not know how to be greeted") from None
            raise Trouble(f"it refused our greeting (code {refused.fault.code})") from None
        except (Lost, TimeoutError, msgspec.MsgspecError):
            raise Trouble("it did not answer our greeting") from None

    def _introduction(self) -> dict[str, Any]:
        """The parameters of both dialects; each side ignores the other's. We do not pretend to be an IDE."""
        folder = f"file://{self._place.workspace}" if self._place.workspace else None
        found: dict[str, Any] = {
            "processId": None,
            "clientInfo": {"name": "sfbridge", "version": __version__},
            "rootUri": folder,
            "capabilities": {},
            "workspaceFolders": [{"uri": folder, "name": "workspace"}] if folder else [],
            "isEnableAutoMemory": False,
            "allowStatistics": False,
            "protocolVersion": 1,
            "clientCapabilities": {},
            "timestamp": int(self._resources.wall() * 1000),
        }
        if self._settings.language:
            found["preferredLanguage"] = self._settings.language
        return found

    def _choose_dialect(self, info: _ServerInfo) -> None:
        instance = self._instance
        if instance.dialect_sure:
            return
        newer = info.name.lower().startswith("qoder") or info.version.startswith("0.")
        instance.dialect = "acp" if newer else "classic"

    async def _refresh(self, connection: Connection) -> None:
        """Ask again for the login and the models. Raises Lost, Refused, TimeoutError."""
        instance = self._instance
        self._looked = self._clock()
        login = login_of(await connection.call("auth/status", {}))
        connection.check()
        if login.trouble:
            if instance.state == "ready":
                _log.warning(
                    "Lingma instance %d has lost its login: %s", instance.index, login.trouble
                )
            return instance.move("needs_login", login.trouble)
        found = offered(await connection.call("config/queryModels", {}))
        connection.check()
        before = instance.models
        if found or not before:
            has_auto = any(one.key == AUTO for one in found)
            instance.models = found if has_auto else (Offered(AUTO), *found)
        instance.move("ready")
        if instance.models != before:
            self._resources.changed()
        return None

    # ---- watching

    async def _watch(self, connection: Connection, ended: asyncio.Task[None]) -> None:
        """Until the connection is lost. Pings while idle, looks after the login, tidies sessions up."""
        instance, settings = self._instance, self._settings
        closed = asyncio.create_task(connection.closed.wait())
        failures = 0
        try:
            while not closed.done() and not ended.done():
                if instance.state == "incompatible":
                    raise _Incompatible(instance.reason)
                doubt = asyncio.create_task(instance.doubt.wait())
                tick = min(settings.ping_interval, settings.login_interval)
                await asyncio.wait(
                    (closed, ended, doubt), timeout=tick, return_when=asyncio.FIRST_COMPLETED
                )
                doubt.cancel()
                if closed.done() or ended.done():
                    return
                failures = await self._look_after(connection, failures)
        finally:
            closed.cancel()

    async def _look_after(self, connection: Connection, failures: int) -> int:
        """One look; the number of looks in a row that found no life."""
        instance, settings = self._instance, self._settings
        due = self._clock() - self._looked >= settings.login_interval
        try:
            if instance.doubt.is_set() or (due and not instance.in_flight):
                instance.doubt.clear()
                await self._refresh(connection)
            elif not instance.in_flight and not await instance.ping(settings.ping_timeout):
                raise TimeoutError
        except Refused:
            pass
        except (Lost, TimeoutError):
            failures += 1
            if failures >= _MOST_PING_FAILURES:
                await connection.close()
            elif instance.state == "ready":
                instance.move("degraded", "it did not answer a ping")
            return failures
        if failures and instance.state == "degraded":
            instance.move("ready")
        await self._tidy()
        return 0

    async def _tidy(self) -> None:
        unused = self._instance.unused(self._clock() - self._settings.session_idle)
        if self._settings.delete_sessions == "unused":
            for session in unused:
                await self._instance.delete(session, self._settings.rpc_timeout)
