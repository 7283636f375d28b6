"""What `check` finds behind the back doors: clocks, surfaces, tokens, and whether models answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, hdrs

from sfbridge.client import Client, Unanswered
from sfbridge.config import Config, ConfigError
from sfbridge.core.errors import GatewayError
from sfbridge.core.model import Health, ModelCard
from sfbridge.gateway import Gateway
from sfbridge.upstream.base import Upstream

from .choosing import chosen
from .findings import Doing, Finding
from .reach import OWN, private

# A token's life is measured in minutes; a clock that is off by more than this spoils the reckoning.
_MOST_SKEW: Final = 60.0
_HEAD_TIMEOUT: Final = ClientTimeout(total=10)
# An upstream that has said what it can do may still be fetching its token.
_READY_SECONDS: Final = 10.0
_STEP_SECONDS: Final = 0.1
# Claude Code's own instructions and tools take about 20,000 tokens.
_SMALL_WINDOW: Final = 32_000
_QUESTION: Final = "Reply with the word OK."
_MOST_OUTPUT: Final = 256


async def upstreams(config: Config, *, asked: bool) -> AsyncIterator[Finding | Doing]:
    """Open every upstream in a server of our own, as it would be for a client; `asked`: one question to each."""
    async for found in _clocks(config):
        yield found
    yield Doing("opening the upstreams")
    try:
        async with private(config) as (gateway, client):
            for name, back in gateway.planner.backs.items():
                async for found in _upstream(gateway, client, name, back.upstream, asked=asked):
                    yield found
    except ConfigError as error:
        yield Finding("fail", "upstreams", str(error), "config show tells where that key was set")


async def of_running(
    client: Client, config: Config, *, asked: bool
) -> AsyncIterator[Finding | Doing]:
    """The same of a server that runs: its upstreams are open already, and some can be open only once."""
    async for found in _clocks(config):
        yield found
    try:
        for name, state in (await client.upstreams()).items():
            facts = {key: value for key, value in state.items() if key not in ("ready", "summary")}
            health = Health(ready=bool(state["ready"]), summary=str(state["summary"]), facts=facts)
            yield _told(f"upstream {name}", health)
        if asked:
            model = await chosen(client, config, "")
            yield Doing(f"asking the model {model.id}")
            yield await _answers(client, model.id, model.id)
    except Unanswered as error:
        yield Finding("fail", "server", str(error), "the message names what is wrong")


async def _upstream(
    gateway: Gateway, client: Client, name: str, upstream: Upstream, *, asked: bool
) -> AsyncIterator[Finding | Doing]:
    subject = f"upstream {name}"
    card = _first(gateway, name, upstream)
    if card is None:
        health = await _health(upstream)
        advice = "start it, or correct its address" if not health.ready else "give it a model"
        yield Finding("fail", subject, health.summary or "offers no chat model", advice)
        return
    yield Doing(f"asking {subject} what it can do")
    try:
        can = await upstream.capabilities(card.target)
    except GatewayError as error:
        yield Finding("fail", subject, error.message, "correct its keys under [upstream]")
        return
    yield _told(subject, await _health(upstream))
    if can.window is not None and can.window < _SMALL_WINDOW:
        yield Finding(
            "warning",
            f"model {card.id}",
            f"its window of {can.window} tokens is too small for Claude Code",
            "use it with smaller programs, or give the model more context",
        )
    if asked:
        yield Doing(f"asking the model {card.id}")
        yield await _answers(client, card.id, f"{name}/{card.target}")


def _first(gateway: Gateway, name: str, upstream: Upstream) -> ModelCard | None:
    """The model to try: the one that answers Claude Code by default, else the first that chats."""
    with suppress(GatewayError):
        default = gateway.planner.targets("claude-", OWN)[0]
        if default.upstream == name:
            return default.card
    return next((card for card in upstream.models() if card.kind == "chat"), None)


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
    facts = ", ".join(
        f"{name} {value}" for name, value in health.facts.items() if value is not None
    )
    if not health.ready:
        return Finding("fail", subject, health.summary, "the message names what is wrong")
    return Finding("ok", subject, f"{health.summary} ({facts})" if facts else health.summary)


async def _answers(client: Client, shown: str, name: str) -> Finding:
    body: dict[str, Any] = {
        "model": name,
        "stream": True,
        "max_tokens": _MOST_OUTPUT,
        "messages": [{"role": "user", "content": _QUESTION}],
    }
    subject, began, said = f"model {shown}", time.monotonic(), ""
    try:
        async for chunk in client.chat(body):
            for choice in chunk.choices or ():
                if choice.delta is not None and isinstance(choice.delta.content, str):
                    said += choice.delta.content
    except Unanswered as error:
        return Finding(
            "fail", subject, str(error), "the message is the upstream's; ask it as it says"
        )
    seconds = time.monotonic() - began
    if not said.strip():
        return Finding(
            "warning", subject, f"answered without words after {seconds:.1f} s", "try another model"
        )
    return Finding("ok", subject, f"answered after {seconds:.1f} s")


# ---- clocks


async def _clocks(config: Config) -> AsyncIterator[Finding | Doing]:
    """How far this machine's clock is from those of the servers that answer."""
    async with ClientSession() as http:
        for address in dict.fromkeys(_addresses(config)):
            yield Doing(f"asking {address} for its time")
            yield await _clock(http, address)


def _addresses(config: Config) -> Iterator[str]:
    for table in config.upstream.values():
        for value in table.values():
            if isinstance(value, str) and value.startswith(("http://", "https://")):
                yield value


async def _clock(http: ClientSession, address: str) -> Finding:
    try:
        async with http.head(address, timeout=_HEAD_TIMEOUT, allow_redirects=False) as answer:
            stamp = answer.headers.get(hdrs.DATE, "")
    except (ClientError, TimeoutError, OSError) as error:
        told = f"{address} does not answer ({str(error) or type(error).__name__})"
        return Finding(
            "fail", "clock", told, "see that the address is right and the network is there"
        )
    try:
        skew = time.time() - parsedate_to_datetime(stamp).timestamp()
    except ValueError:
        return Finding("ok", "clock", f"{address} answers, without saying its time")
    if abs(skew) > _MOST_SKEW:
        told = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {address}"
        return Finding(
            "warning", "clock", told, "set the clock, or tokens seem to live too long or too short"
        )
    return Finding("ok", "clock", f"within {abs(skew):.0f} s of {address}")
