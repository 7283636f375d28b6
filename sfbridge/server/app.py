"""`create_app`: the only constructor. Everything with a lifetime is opened and closed by one exit stack."""

from __future__ import annotations

import hashlib
import logging
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.request import getproxies

import msgspec
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web

from sfbridge import __version__
from sfbridge.config import MOST_PORT, Config, ConfigError, Http, Models, section
from sfbridge.core.model import ModelCard
from sfbridge.gateway import Gateway
from sfbridge.planning import Back, NativeCalls, Numbers, Planner
from sfbridge.policy.limits import KeyRing
from sfbridge.policy.pruning import Pruning
from sfbridge.policy.routing import Routes
from sfbridge.state.clock import Clock, SystemClock
from sfbridge.state.contexts import Contexts
from sfbridge.state.counters import Counters
from sfbridge.state.journal import Journal
from sfbridge.state.keeper import Keeper
from sfbridge.state.learning import Learned
from sfbridge.upstream import kind_of
from sfbridge.upstream.base import Resources
from sfbridge.wire import WIRES

from . import chat, pages
from .draining import Draining
from .hall import hall
from .keys import CLOCK, CONFIG, DRAINING, GATEWAY, IDS, JOURNAL, KEYS

_log = logging.getLogger("sfbridge.server")

SANDBOX_PORT: Final = 8001


class _Common(msgspec.Struct, frozen=True, kw_only=True):
    """What every `[upstream.<name>]` table may say, whatever its kind."""

    kind: str = ""
    native_calls: NativeCalls = "repair"
    prune: bool | None = None
    supplement: str = ""
    require_tools: bool = False


def create_app(config: Config, *, clock: Clock | None = None) -> web.Application:
    """The whole server. Raises ConfigError, here or at start-up, for a configuration that cannot work."""
    app = web.Application(middlewares=[hall], client_max_size=config.server.max_body)
    app[CONFIG] = config
    app[CLOCK] = clock or SystemClock()
    try:
        app[KEYS] = KeyRing(tuple(config.keys.items()))
    except ValueError as error:
        raise ConfigError(f"keys: {error}") from None
    app[DRAINING] = Draining()
    app[JOURNAL] = Journal(config.journal.keep)
    app[IDS] = random.Random(secrets.token_bytes(32))
    app.add_routes(pages.routes())
    for wire in WIRES:
        door = chat.door(wire)
        app.add_routes([web.post(route, door) for route in wire.routes])
    app.cleanup_ctx.append(_lifetime)
    app.on_shutdown.append(_drain)
    return app


async def _drain(app: web.Application) -> None:
    grace, open_answers = app[CONFIG].server.shutdown_grace, app[DRAINING].open
    _log.info("stopping; %d open answers have %g s to finish", open_answers, grace)
    await app[DRAINING].stop(grace)


async def _lifetime(app: web.Application) -> AsyncIterator[None]:
    config, clock = app[CONFIG], app[CLOCK]
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(_sandbox(config))
        session = await stack.enter_async_context(_session(config.http))
        keeper = await stack.enter_async_context(Keeper())
        resources = Resources(
            session=session,
            clock=clock.now,
            wall=clock.wall,
            spawn=keeper.spawn,
            sandbox=sandbox,
        )
        backs = {
            name: await stack.enter_async_context(_connect(name, table, resources))
            for name, table in config.upstream.items()
        }
        planner = Planner(
            backs,
            _routes(config, backs),
            mark_key=installation_key(config),
            numbers=Numbers(
                rounds=config.tools.repair_rounds,
                reserve=config.output.reserve,
                floor=config.output.floor,
                pruning=_pruning(config),
            ),
            learned=Learned(),
        )
        app[GATEWAY] = Gateway(
            planner, clock=clock, jitter=random.random, counters=Counters(), contexts=Contexts()
        )
        yield


def _session(http: Http) -> ClientSession:
    connector = TCPConnector(
        limit=http.connections,
        limit_per_host=http.connections_per_host,
        keepalive_timeout=http.idle_seconds,
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None),
        headers={"User-Agent": f"sfbridge/{__version__}"},
        # with it, aiohttp looks for a netrc file in a thread at every request; only a proxy needs it
        trust_env=bool(getproxies()),
    )


@asynccontextmanager
async def _connect(name: str, table: dict[str, Any], resources: Resources) -> AsyncIterator[Back]:
    path = f"upstream.{name}"
    common = section({k: table[k] for k in _Common.__struct_fields__ if k in table}, _Common, path)
    settings = {k: v for k, v in table.items() if k not in _Common.__struct_fields__}
    try:
        kind = kind_of(common.kind)
    except ValueError as error:
        raise ConfigError(f"{path}.kind: {error}") from None
    try:
        connected = kind.connect(name, section(settings, kind.settings, path), resources)
        async with connected as upstream:
            yield Back(
                upstream=upstream,
                native_calls=common.native_calls,
                prune=common.prune,
                supplement=common.supplement,
                require_tools=common.require_tools,
            )
    except ValueError as error:
        raise ConfigError(f"{path}.{error}") from None


def _routes(config: Config, backs: dict[str, Back]) -> Routes:
    cards: list[tuple[str, ModelCard]] = [
        (name, card) for name, back in backs.items() for card in back.upstream.models()
    ]
    fallbacks = {route.model: route.fallbacks for route in config.route}
    default, aliases = config.models.default, config.models.aliases
    named = {name.lower() for _, card in cards for name in (card.id, *card.aliases, card.target)}
    if default == Models().default and default not in named | set(aliases) and cards:
        default = cards[0][1].id  # nobody chose it, and nobody here has it
    try:
        return Routes(cards, default=default, aliases=aliases, fallbacks=fallbacks)
    except ValueError as error:
        raise ConfigError(f"models: {error}") from None


def _pruning(config: Config) -> Pruning:
    try:
        return section(config.pruning, Pruning, "pruning")
    except ValueError as error:
        raise ConfigError(f"pruning: {error}") from None


class _Embedded(msgspec.Struct, frozen=True, kw_only=True):
    """Where the sandbox org listens. Unless said otherwise it runs when an upstream points at it."""

    enabled: bool | None = None
    port: int = SANDBOX_PORT


@asynccontextmanager
async def _sandbox(config: Config) -> AsyncIterator[str]:
    """The embedded sandbox org on its own loopback port; yields its base URL, empty when it is off."""
    own = _Embedded.__struct_fields__
    where = section({k: v for k, v in config.sandbox.items() if k in own}, _Embedded, "sandbox")
    wanted = any("sandbox" in table.values() for table in config.upstream.values())
    if not (wanted if where.enabled is None else where.enabled):
        yield ""
        return
    if not 0 <= where.port <= MOST_PORT:
        raise ConfigError(f"sandbox.port: {where.port} is not a port number")
    from sfbridge.sandbox import SandboxSettings, ScenarioError, create_org

    table = {k: v for k, v in config.sandbox.items() if k not in own}
    try:
        org = create_org(section(table, SandboxSettings, "sandbox"))
    except ScenarioError as error:
        raise ConfigError(f"sandbox.scenario: {error}") from None
    runner = web.AppRunner(org, handler_cancellation=True, shutdown_timeout=0.5, access_log=None)
    await runner.setup()
    try:
        await _bind(web.TCPSite(runner, "127.0.0.1", where.port), where.port)
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
            f"sandbox.port: cannot listen on {port} ({error.strerror}); choose another, or 0 for any free one"
        ) from None


def installation_key(config: Config) -> bytes:
    """A secret of this installation, the same after a restart: what no document could have been written for."""
    digest = hashlib.blake2b(digest_size=32, person=b"sfbridge-mark")
    for text in _secrets(config.upstream):
        digest.update(text.encode() + b"\0")
    for name, secret in sorted(config.keys.items()):
        digest.update(f"{name}={secret}\0".encode())
    return digest.digest()


def _secrets(table: dict[str, Any]) -> Iterator[str]:
    for name, value in sorted(table.items()):
        if isinstance(value, dict):
            yield from _secrets(value)
        elif name.endswith("_file"):
            yield Path(str(value)).expanduser().read_text(encoding="utf-8")
        else:
            yield f"{name}={value}"
