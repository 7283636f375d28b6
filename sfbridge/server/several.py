"""Several answers to one request, side by side: the choices of one body or of one stream.

Apart from the door, where one request is one answer. A session holds one conversation, so none is used here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

from aiohttp import web
from msgspec.structs import replace

from sfbridge.core.answer import Fold
from sfbridge.core.errors import GatewayError
from sfbridge.core.request import ChatRequest
from sfbridge.core.stream import Event
from sfbridge.state.abreast import abreast
from sfbridge.wire.base import Choices, Reply, Wire

from .charging import Charged, weight
from .conversations import HEADER
from .event_stream import EventStream
from .keys import ASKED, DRAINING, EXCHANGE, GENERATION, KEY_ID, SESSION
from .replying import call_ids, folded, streamed

# Answers of one request that are made at the same time.
_ABREAST: Final = 4

Take = Callable[[int, list[Event]], Awaitable[None]]


async def answer(
    request: web.Request, wire: Wire, choices: Choices, asked: Sequence[ChatRequest], reply: Reply
) -> web.StreamResponse:
    """Every request's answer as a choice. The first failure is that of all: half of the choices are no answer."""
    if request[SESSION].wanted:
        raise GatewayError(
            "invalid_request",
            f"A session ({HEADER}) holds one conversation; send one prompt at a time.",
        )
    del request[SESSION]  # the answer names none
    everything = [message for one in asked for message in one.messages]
    request[ASKED] = whole = replace(asked[0], messages=tuple(everything))
    reply_with = _stream if asked[0].stream else _fold
    with Charged(request, partial(weight, whole)):
        return await reply_with(request, wire, choices, asked, reply)


async def _fold(
    request: web.Request, wire: Wire, choices: Choices, asked: Sequence[ChatRequest], reply: Reply
) -> web.StreamResponse:
    folds = [Fold() for _ in asked]

    async def take(index: int, events: list[Event]) -> None:
        folds[index].feed(events)

    async def body() -> bytes:
        with request.app[DRAINING].interruptible():
            await _answers(request, wire, asked, take)
        return choices.body([fold.answer() for fold in folds], reply)

    return await folded(request, asked[0].caller, body)


async def _stream(
    request: web.Request, wire: Wire, choices: Choices, asked: Sequence[ChatRequest], reply: Reply
) -> web.StreamResponse:
    encoders = choices.encoders(reply, len(asked))

    async def speak(stream: EventStream) -> None:
        async def take(index: int, events: list[Event]) -> None:
            await stream.send(encoders[index].feed(events))

        await _answers(request, wire, asked, take)
        request[EXCHANGE].delivered = True

    return await streamed(request, encoders[0], asked[0], speak)


async def _answers(
    request: web.Request, wire: Wire, asked: Sequence[ChatRequest], take: Take
) -> None:
    """Give `take` every batch of events of every answer; what became of them is noted as one exchange."""
    exchange, gateway = request[EXCHANGE], request[GENERATION].gateway
    parts = [exchange, *(exchange.branch() for _ in asked[1:])]
    make_ids = call_ids(wire, exchange)

    async def one(index: int) -> None:
        answers = gateway.answer(parts[index], asked[index], make_ids)
        async with aclosing(answers) as batches:
            async for events in batches:
                await take(index, events)

    upstream = gateway.planner.targets(asked[0].model, request[KEY_ID])[0].upstream
    places = gateway.planner.backs[upstream].gate.passage.in_flight
    try:
        jobs = [partial(one, index) for index in range(len(asked))]
        await abreast(jobs, min(_ABREAST, places or _ABREAST))
    finally:
        for part in parts[1:]:
            exchange.absorb(part)
