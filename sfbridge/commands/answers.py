"""What `check` finds behind the back doors: whether upstreams are ready, and what their models can do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing, suppress
from typing import Final

from sfbridge.client import Client, Model, Unanswered
from sfbridge.config import Config, ConfigError, Models
from sfbridge.core.errors import GatewayError
from sfbridge.core.model import Health, ModelCard
from sfbridge.gateway import Gateway
from sfbridge.upstream.base import Upstream

from .choosing import default_of
from .clocks import clocks
from .findings import Doing, Finding, Findings
from .reach import OWN, private
from .terminal import lasting
from .trying import narrow, tried

# An upstream that has said what it can do may still be fetching its token.
_READY_SECONDS: Final = 10.0
_STEP_SECONDS: Final = 0.1


async def upstreams(config: Config, *, asked: bool) -> Findings:
    """Open every upstream in a server of our own, as it would be for a client; `asked`: one question to each."""
    async with aclosing(clocks(config)) as told:
        async for found in told:
            yield found
    yield Doing("opening the upstreams")
    try:
        async with private(config) as (gateway, client):
            for name, back in gateway.planner.backs.items():
                looked = _opened(gateway, client, name, back.upstream, asked=asked)
                async with aclosing(looked):
                    async for found in looked:
                        yield found
    except ConfigError as error:
        yield Finding("fail", "upstreams", str(error), "config show tells where that key was set")


async def of_running(client: Client, config: Config, *, asked: bool) -> Findings:
    """The same of a server that runs: its upstreams are open already, and some can be open only once."""
    async with aclosing(clocks(config)) as looked:
        async for found in looked:
            yield found
    try:
        listed = await client.models()
        default = default_of(listed, config)
        states = await client.upstreams()
        if missing := [name for name in config.upstream if name not in states]:
            told = f"it has no upstream {', '.join(missing)}: it was started with another configuration"
            advice = "reload it (SIGHUP), or stop it and start it with this one"
            yield Finding("warning", "server", told, advice)
        for name in _named(config):
            if not await _leads(client, name):
                told = f"{name!r} leads to no model of this server"
                yield Finding(
                    "fail", "models", told, "correct [models] or [[route]], or start that model"
                )
        for name, state in states.items():
            facts = {key: value for key, value in state.items() if key not in ("ready", "summary")}
            health = Health(ready=bool(state["ready"]), summary=str(state["summary"]), facts=facts)
            yield _told(f"upstream {name}", health)
            model = default if default.upstream == name else _first_of(listed, name)
            if model is None:
                yield _without_models(f"upstream {name}", health)
            elif health.ready:
                async with aclosing(
                    _asked(client, name, model, model is default, asked=asked)
                ) as looked:
                    async for found in looked:
                        yield found
    except Unanswered as error:
        yield Finding("fail", "server", str(error), "see what its log says, or start it anew")


def _named(config: Config) -> Iterator[str]:
    """The models that the configuration counts on by name."""
    if config.models.default != Models().default:
        yield config.models.default
    for route in config.route:
        yield from (route.model, *route.fallbacks)


async def _leads(client: Client, name: str) -> bool:
    with suppress(Unanswered):
        await client.model(name)
        return True
    return "/" in name


async def _opened(
    gateway: Gateway, client: Client, name: str, upstream: Upstream, *, asked: bool
) -> Findings:
    subject = f"upstream {name}"
    card, is_default = _first(gateway, name, upstream)
    if card is None:
        yield _without_models(subject, await _health(upstream))
        return
    yield Doing(f"asking {subject} what it can do")
    try:
        can = await upstream.capabilities(card.target)
    except GatewayError as error:
        yield Finding("fail", subject, error.told, f"correct its keys under [upstream.{name}]")
        return
    health = await _health(upstream)
    yield _told(subject, health)
    if health.ready:
        model = Model(id=card.id, upstream=name, window=can.window)
        async with aclosing(_asked(client, name, model, is_default, asked=asked)) as looked:
            async for found in looked:
                yield found


async def _asked(
    client: Client, upstream: str, model: Model, is_default: bool, *, asked: bool
) -> Findings:
    if finding := narrow(model.id, model.window, for_claude=is_default):
        yield finding
    if asked:
        yield Doing(f"asking the model {model.id}")
        yield await tried(client, model.id, f"{upstream}/{model.id}")


def _first(gateway: Gateway, name: str, upstream: Upstream) -> tuple[ModelCard | None, bool]:
    """The model to try: the one that answers Claude Code by default, which is told, else the first that chats."""
    with suppress(GatewayError):
        default = gateway.planner.targets("claude-", OWN)[0]
        if default.upstream == name:
            return default.card, True
    return next((card for card in upstream.models() if card.kind != "embeddings"), None), False


def _first_of(listed: list[Model], upstream: str) -> Model | None:
    return next((model for model in listed if model.chats and model.upstream == upstream), None)


def _without_models(subject: str, health: Health) -> Finding:
    advice = "give it a model" if health.ready else "start it, or correct its address"
    return Finding("fail", subject, health.summary or "offers no chat model", advice)


async def _health(upstream: Upstream) -> Health:
    """How it stands, once it is ready or has had its time."""
    health = await upstream.health()
    with suppress(TimeoutError):
        async with asyncio.timeout(_READY_SECONDS):
            while not health.ready:
                await asyncio.sleep(_STEP_SECONDS)
                health = await upstream.health()
    return health


def _told(subject: str, health: Health) -> Finding:
    if not health.ready:
        advice = "start what it leads to, or correct its table in the configuration"
        return Finding("fail", subject, health.summary, advice)
    facts = ", ".join(_facts(health.facts))
    return Finding("ok", subject, f"{health.summary} ({facts})" if facts else health.summary)


def _facts(facts: Mapping[str, str | int | bool | None]) -> list[str]:
    """Facts in words; names that end in `_in` are seconds."""
    found = []
    for name, value in facts.items():
        if value is None or value == "":
            continue
        life = name.endswith("_in") and isinstance(value, int)
        found.append(f"{name.replace('_', ' ')} {lasting(int(value)) if life else value}")
    return found
