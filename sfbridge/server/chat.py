"""One door for every wire: bytes in, one whole answer or one event stream out, folded from the same events."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial

from aiohttp import web
from msgspec.structs import replace

from sfbridge.core.answer import Answer, Fold
from sfbridge.core.request import Caller, ChatRequest
from sfbridge.core.stream import Event, Finished
from sfbridge.wire.base import Asked, Reply, Wire

from . import several
from .chains import open_turn
from .charging import Charged, weight
from .conversations import HEADER, OpenTurn
from .event_stream import EventStream
from .hall import Handler, read_json
from .keys import (
    ASKED,
    CLOCK,
    CONVERSATIONS,
    DRAINING,
    EXCHANGE,
    GENERATION,
    KEY_ID,
    RUNNING,
    SESSION,
)
from .padding import meant
from .replying import call_ids, folded, streamed


def door(wire: Wire) -> Handler:
    """The handler of one wire's routes."""

    async def answer(request: web.Request) -> web.StreamResponse:
        request[SESSION] = await request.app[CONVERSATIONS].named(
            request.headers.get(HEADER), request[KEY_ID]
        )
        asked = wire.decode(await read_json(request, wire), request.headers)
        return await _answer(request, wire, asked)

    return answer


async def _answer(request: web.Request, wire: Wire, asked: Asked) -> web.StreamResponse:
    exchange, app = request[EXCHANGE], request.app
    wants_stream = asked.request.stream
    request[ASKED] = neutral = identified(request, asked.request)
    app[RUNNING].begin(exchange.id, partial(exchange.glimpse, wire.name, neutral))
    # an unknown model is told at once, whatever state the upstream is in
    request[GENERATION].gateway.planner.targets(neutral.model, request[KEY_ID])
    reply = Reply(
        id=wire.answer_prefix + exchange.id.removeprefix("req_"),
        created=int(app[CLOCK].wall()),
        model=asked.request.model,
        request_id=exchange.id,
        stream_usage=asked.stream_usage,
        echo=asked.echo,
        forms=asked.forms,
        heads=asked.heads,
    )
    if asked.more and wire.choices is not None:
        exchange.forced_json = wants_stream and not neutral.stream
        others = [identified(request, other) for other in asked.more]
        return await several.answer(request, wire, wire.choices, [neutral, *others], reply)
    with app[DRAINING].interruptible():  # it may have to wait for another one
        turn = await open_turn(request, wire, replace(asked, request=neutral), reply)
    try:
        request[ASKED] = turn.request
        with Charged(request, partial(weight, turn.request)):
            if neutral.stream:
                return await _stream(request, wire, turn, reply)
            exchange.forced_json = wants_stream
            return await _fold(request, wire, turn, reply)
    finally:
        turn.close()


def identified(request: web.Request, asked: ChatRequest) -> ChatRequest:
    """The request with its key's name, and without a stream where this client cannot read one."""
    key = request[KEY_ID]
    forced = request[GENERATION].config.stream.force_json
    unreadable = bool(forced) and meant(forced, key, asked.caller.client)
    if not key and not unreadable:
        return asked  # as nearly always on one's own machine; the two copies cost 1 us
    caller: Caller = replace(asked.caller, key_id=key)
    return replace(asked, caller=caller, stream=asked.stream and not unreadable)


async def _fold(
    request: web.Request, wire: Wire, turn: OpenTurn, reply: Reply
) -> web.StreamResponse:
    exchange, gateway, fold = request[EXCHANGE], request[GENERATION].gateway, Fold()

    async def body() -> bytes:
        with request.app[DRAINING].interruptible():
            answers = gateway.answer(exchange, turn.request, call_ids(wire, exchange))
            async with aclosing(answers) as batches:
                async for events in batches:
                    fold.feed(events)
        answer = fold.answer()
        await turn.finish(answer)
        return wire.body(answer, reply)

    return await folded(request, turn.request.caller, body)


async def _stream(
    request: web.Request, wire: Wire, turn: OpenTurn, reply: Reply
) -> web.StreamResponse:
    exchange, gateway = request[EXCHANGE], request[GENERATION].gateway
    asked, said = turn.request, list[list[Event]]()
    encoder = wire.encoder(reply)

    async def speak(stream: EventStream) -> None:
        answer = gateway.answer(exchange, asked, call_ids(wire, exchange))
        async with aclosing(answer):
            async for events in answer:
                said.append(events)
                ended = type(events[-1]) is Finished
                if ended:
                    # before its client can know that the turn is whole
                    await turn.finish(_folded(said))
                await stream.send(encoder.feed(events))
                exchange.delivered = ended

    return await streamed(request, encoder, asked, speak)


def _folded(said: list[list[Event]]) -> Answer:
    fold = Fold()
    for events in said:
        fold.feed(events)
    return fold.answer()
