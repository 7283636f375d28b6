"""Opening what one configuration describes: the connection pool, the upstreams, the planner and the gateway."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import getproxies

import msgspec
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from sfbridge import __version__
from sfbridge.asking import Asking
from sfbridge.config import Config, ConfigError, Http, Key, Models, clients, section
from sfbridge.embedding import Embeddings
from sfbridge.gateway import Gateway
from sfbridge.hiding import Secrets
from sfbridge.planning import Back, NativeCalls, Numbers, Planner
from sfbridge.policy.limits import KeyRing, Permits
from sfbridge.policy.pruning import Pruning
from sfbridge.policy.routing import Routes, chat_default
from sfbridge.roster import Listed, Roster
from sfbridge.state.clock import Clock
from sfbridge.state.contexts import Contexts
from sfbridge.state.counters import Counters
from sfbridge.state.gates import Gates, Passage, check
from sfbridge.state.keeper import Keeper
from sfbridge.state.learning import Learned
from sfbridge.state.quotas import Limits, Quotas
from sfbridge.upstream import kind_of
from sfbridge.upstream.base import Resources, Upstream

from .sharing import Bells, Shared

_encode = msgspec.json.Encoder(order="sorted").encode


class Lasting(NamedTuple):
    """What outlives a configuration: the clock, totals, what was learnt, who is inside, what stays open."""

    clock: Clock
    gates: Gates
    quotas: Quotas
    counters: Counters
    contexts: Contexts
    learned: Learned
    shared: Shared
    bells: Bells
    secrets: Secrets


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
        keeper = await stack.enter_async_context(Keeper())
        bell = stack.enter_context(lasting.bells.one())
        common = {name: common_of(name, table) for name, table in config.upstream.items()}
        backs = {
            name: await stack.enter_async_context(
                _back(name, table, common[name], config.http, lasting, sandbox)
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
            pruning=pruning_of(config),
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


def common_of(name: str, table: dict[str, Any]) -> _Common:
    """What a table says that every upstream may say. Raises ConfigError."""
    path = f"upstream.{name}"
    found = section({k: table[k] for k in _Common.__struct_fields__ if k in table}, _Common, path)
    try:
        check(found)
    except ValueError as error:
        raise ConfigError(f"{path}.{error}") from None
    return found


def own_of(table: dict[str, Any]) -> dict[str, Any]:
    """What a table says that only its kind understands."""
    return {k: v for k, v in table.items() if k not in _Common.__struct_fields__}


@asynccontextmanager
async def _back(
    name: str, table: dict[str, Any], common: _Common, http: Http, lasting: Lasting, sandbox: str
) -> AsyncIterator[Back]:
    """The upstream, as an earlier configuration has it open already, or opened now."""
    settings = own_of(table)
    made_from = (name, common.kind, _encode((settings, http, sandbox)), _digest(settings))
    connect = partial(_connected, name, common.kind, settings, http, lasting, sandbox)
    async with lasting.shared.held(made_from, connect) as upstream:
        yield Back(
            upstream=upstream,
            gate=lasting.gates.gate(name),
            native_calls=common.native_calls,
            prune=common.prune,
            supplement=common.supplement,
            require_tools=common.require_tools,
        )


@asynccontextmanager
async def _connected(
    name: str, word: str, settings: dict[str, Any], http: Http, lasting: Lasting, sandbox: str
) -> AsyncIterator[Upstream]:
    path = f"upstream.{name}"
    try:
        kind = kind_of(word)
    except ValueError as error:
        raise ConfigError(f"{path}.kind: {error}") from None
    async with AsyncExitStack() as stack:
        pool = lasting.shared.held(http, partial(_session, http))
        session = await stack.enter_async_context(pool)
        keeper = await stack.enter_async_context(Keeper())
        resources = Resources(
            session=session,
            clock=lasting.clock.now,
            wall=lasting.clock.wall,
            spawn=keeper.spawn,
            sandbox=sandbox,
            changed=lasting.bells.ring,
            sleep=lasting.clock.sleep,
            hide=lasting.secrets.learn_passing,
        )
        try:
            found = kind.connect(name, section(settings, kind.settings, path), resources)
            upstream = await stack.enter_async_context(found)
        except ValueError as error:
            raise ConfigError(f"{path}.{error}") from None
        yield upstream


def _digest(settings: dict[str, Any]) -> bytes:
    """What stands in the files that the settings name; a file that cannot be read is the adapter's to explain."""
    digest = hashlib.blake2b(digest_size=16)
    with suppress(OSError, UnicodeDecodeError):
        for text in _secrets(settings):
            digest.update(text.encode() + b"\0")
    return digest.digest()


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


def pruning_of(config: Config) -> Pruning:
    """How long conversations are cut. Raises ConfigError."""
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
