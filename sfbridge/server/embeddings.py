"""The door for embeddings: texts in, all their vectors out."""

from __future__ import annotations

from functools import partial

from aiohttp import web
from msgspec.structs import replace

from sfbridge.core.request import Caller
from sfbridge.wire import openai_embeddings

from .charging import Charged, weight
from .hall import JSON_TYPE, read_json
from .keys import ASKED, DRAINING, EXCHANGE, GENERATION, KEY_ID, RUNNING, WIRE


async def door(request: web.Request) -> web.Response:
    asked = openai_embeddings.decode(await read_json(request, request[WIRE]), request.headers)
    caller: Caller = replace(asked.request.caller, key_id=request[KEY_ID])
    request[ASKED] = wanted = replace(asked.request, caller=caller)
    exchange = request[EXCHANGE]
    look = partial(exchange.glimpse, openai_embeddings.NAME, wanted)
    request.app[RUNNING].begin(exchange.id, look)
    with Charged(request, partial(weight, wanted)), request.app[DRAINING].interruptible():
        found = await request[GENERATION].embeddings.vectors(exchange, wanted)
    data = openai_embeddings.body(found, wanted.model, packed=asked.packed)
    return web.Response(body=data, headers={"Content-Type": JSON_TYPE})
