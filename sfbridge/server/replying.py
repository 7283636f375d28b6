"""The two ways in which a reply leaves: as one JSON body that may be padded, or as an event stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import Caller, ChatRequest
from sfbridge.exchange import Exchange
from sfbridge.wire.base import Encoder, Wire

from .event_stream import EventStream
from .hall import answer_headers, shown
from .keys import CLOCK, DRAINING, EXCHANGE, GENERATION
from .padding import Padding, meant


async def folded(
    request: web.Request, caller: Caller, body: Callable[[], Awaitable[bytes]]
) -> web.StreamResponse:
    """A body that may take long as an answer, padded for the clients that need it."""
    exchange, settings = request[EXCHANGE], request[GENERATION].config.stream
    needed = meant(settings.pad_clients, caller.key_id, caller.client)
    padding = Padding(
        request,
        after=settings.pad_after if needed else None,
        every=settings.keep_alive,
        headers=lambda: answer_headers(request),
        clock=request.app[CLOCK],
    )

    def failed(error: GatewayError) -> None:
        exchange.error = shown(request, error)

    try:
        return await padding.answer(body, failed)
    finally:
        exchange.heartbeats = padding.pads


async def streamed(
    request: web.Request,
    encoder: Encoder,
    asked: ChatRequest,
    speak: Callable[[EventStream], Awaitable[None]],
) -> web.StreamResponse:
    """What `speak` sends as an event stream. A failure is raised as long as it can have its own status; afterwards
    it ends the stream in the encoder's words."""
    exchange = request[EXCHANGE]
    stream = EventStream(
        request,
        encoder,
        opening=lambda: exchange.opening(asked),
        headers=lambda: _stream_headers(request),
        settings=request[GENERATION].config.stream,
        clock=request.app[CLOCK],
    )
    async with stream:
        try:
            with request.app[DRAINING].interruptible():
                await speak(stream)
                return await stream.end()
        except GatewayError as error:
            if not stream.committed:
                raise
            exchange.error = shown(request, error)
            return await stream.end(encoder.failure(error))
        finally:
            exchange.heartbeats = stream.heartbeats


def call_ids(wire: Wire, exchange: Exchange) -> Callable[[int], str]:
    """Ids for the calls of one answer: unique across a conversation, since the exchange's id is."""
    stem = exchange.id.removeprefix("req_")[:20]
    return lambda number: f"{wire.call_prefix}{stem}{number:04d}"


def _stream_headers(request: web.Request) -> dict[str, str]:
    headers = answer_headers(request)
    if request[EXCHANGE].plan is None:
        # patience ended before the upstream had said what it can do
        headers["x-stream-downgraded"] = "unknown"
    return headers
