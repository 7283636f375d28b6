"""Opening what one configuration describes: the connection pool, the upstreams, the planner and the gateway."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import getproxies

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from sfbridge import __version__
from sfbridge.asking import Asking
from sfbridge.config import Config, ConfigError, Http, Key, Models, clients, section
from sfbridge.embedding import Embeddings
from sfbridge.gateway import Gateway
from sfbridge.planning import Back, NativeCalls, Numbers, Planner
from sfbridge.policy.limits import KeyRing, Permits
from sfbridge.policy.pruning import Pruning
from sfbridge.policy.routing import Routes, chat_default
from sfbridge.roster import Listed, Roster
from sfbridge.state.clock import Clock
from sfbridge.state.contexts import Contexts
from sfbridge.state.counters import Counters
from sfbridge.state.gates import Gate, Gates, Passage, check
from sfbridge.state.keeper import Keeper
from sfbridge.state.learning import Learned
from sfbridge.state.quotas import Limits, Quotas
from sfbridge.upstream import kind_of
from sfbridge.upstream.base import Resources


class Lasting(NamedTuple):
    """What outlives a configuration: the clock, totals, what was learnt, who is inside."""

    clock: Clock
    gates: Gates
    quotas: Quotas
    counters: Counters
    contexts: Contexts
    learned: Learned


class Opened(NamedTuple):
    """Who may enter, who answers, and the stack that closes it."""

    keys: KeyRing
    gateway: Gateway
    embeddings: Embeddings
    stack: AsyncExitStack


class _Common(Passage, frozen=True, kw_only=True):
    """What every `[upstream.<name>]` table may say, whatever its kind."""

    kind: str = ""
    native_calls: NativeCalls = "repair"
    prune: bool | None = None
    supplement: str = ""
    require_tools: bool = False


async def opened(config: Config, lasting: Lasting, sandbox: str) -> Opened:
    """Everything open, or ConfigError with the path of the fault and nothing open."""
    keys = key_ring(config)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(_session(config.http))
        keeper = await stack.enter_async_context(Keeper())
        bell = asyncio.Event()
        resources = Resources(
            session=session,
            clock=lasting.clock.now,
            wall=lasting.clock.wall,
            spawn=keeper.spawn,
            sandbox=sandbox,
            changed=bell.set,
            sleep=lasting.clock.sleep,
        )
        common = {name: _common(name, table) for name, table in config.upstream.items()}
        backs = {
            name: await stack.enter_async_context(
                _connect(name, table, common[name], resources, lasting.gates.gate(name))
            )
            for name, table in config.upstream.items()
        }
        upstreams = {name: back.upstream for name, back in backs.items()}
        roster = Roster(upstreams, partial(_routes, config), clock=lasting.clock, bell=bell)
        keeper.spawn("model lists", roster.keep())
        planner = _planner(config, backs, roster, lasting)
        gateway = Gateway(
            planner,
            clock=lasting.clock,
            jitter=random.random,
            counters=lasting.counters,
            contexts=lasting.contexts,
        )
        asking = Asking(clock=lasting.clock, jitter=random.random, counters=lasting.counters)
        for name, passage in common.items():
            lasting.gates.gate(name).adjust(passage)
        lasting.quotas.adjust({name: _limits(key) for name, key in clients(config).items()})
        return Opened(keys, gateway, Embeddings(planner, asking), stack.pop_all())


def _limits(key: Key) -> Limits:
    return Limits(
        in_flight=key.in_flight,
        requests_per_minute=key.requests_per_minute,
        tokens_per_minute=key.tokens_per_minute,
    )


def key_ring(config: Config) -> KeyRing:
    """Who may enter. Raises ConfigError."""
    try:
        return KeyRing(clients(config), secrets.token_bytes(32))
    except ValueError as error:
        raise ConfigError(f"keys: {error}") from None


def _planner(config: Config, backs: dict[str, Back], roster: Roster, lasting: Lasting) -> Planner:
    return Planner(
        backs,
        roster,
        permits=Permits(clients(config)),
        mark_key=installation_key(config),
        numbers=Numbers(
            rounds=config.tools.repair_rounds,
            reserve=config.output.reserve,
            floor=config.output.floor,
            pruning=_pruning(config),
        ),
        learned=lasting.learned,
    )


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


def _common(name: str, table: dict[str, Any]) -> _Common:
    path = f"upstream.{name}"
    found = section({k: table[k] for k in _Common.__struct_fields__ if k in table}, _Common, path)
    try:
        check(found)
    except ValueError as error:
        raise ConfigError(f"{path}.{error}") from None
    return found


@asynccontextmanager
async def _connect(
    name: str, table: dict[str, Any], common: _Common, resources: Resources, gate: Gate
) -> AsyncIterator[Back]:
    path = f"upstream.{name}"
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
                gate=gate,
                native_calls=common.native_calls,
                prune=common.prune,
                supplement=common.supplement,
                require_tools=common.require_tools,
            )
    except ValueError as error:
        raise ConfigError(f"{path}.{error}") from None


def _routes(config: Config, cards: Listed, lenient: bool) -> Routes:
    models = config.models
    try:
        return Routes(
            cards,
            default=chat_default(models.default, models.default != Models().default, cards),
            aliases=models.aliases,
            fallbacks={route.model: route.fallbacks for route in config.route},
            strict=models.strict,
            lenient=lenient,
        )
    except ValueError as error:
        raise ConfigError(f"models: {error}") from None


def _pruning(config: Config) -> Pruning:
    try:
        return section(config.pruning, Pruning, "pruning")
    except ValueError as error:
        raise ConfigError(f"pruning: {error}") from None


def installation_key(config: Config) -> bytes:
    """A secret of this installation, the same after a restart: what no document could have been written for."""
    digest = hashlib.blake2b(digest_size=32, person=b"sfbridge-mark")
    for text in _secrets(config.upstream):
        digest.update(text.encode() + b"\0")
    for name, key in sorted(clients(config).items()):
        digest.update(f"{name}={key.secret or key.secret_hash}\0".encode())
    return digest.digest()


def _secrets(table: dict[str, Any]) -> Iterator[str]:
    for name, value in sorted(table.items()):
        if isinstance(value, dict):
            yield from _secrets(value)
        elif name.endswith("_file"):
            yield Path(str(value)).expanduser().read_text(encoding="utf-8")
        else:
            yield f"{name}={value}"
