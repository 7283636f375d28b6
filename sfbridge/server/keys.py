"""Typed keys of what the application and one request carry."""

from __future__ import annotations

from random import Random
from typing import Final

from aiohttp import web

from sfbridge.core.embedding import EmbeddingRequest
from sfbridge.core.request import ChatRequest
from sfbridge.exchange import Exchange
from sfbridge.hiding import Secrets
from sfbridge.state.clock import Clock
from sfbridge.state.gates import Gate
from sfbridge.state.journal import Journal
from sfbridge.state.quotas import Quotas
from sfbridge.state.running import Running
from sfbridge.state.statistics import Statistics
from sfbridge.wire.base import Wire

from .conversations import Conversations, Named
from .draining import Draining
from .generation import Generation, Generations
from .metrics import Metrics
from .reloading import Reloading
from .visitors import Visitors

CLOCK: Final = web.AppKey("clock", Clock)
GENERATIONS: Final = web.AppKey("generations", Generations)
RELOADING: Final = web.AppKey("reloading", Reloading)
# names requests apart; no secret hangs on it, and asking the kernel each time costs 45 us here
IDS: Final = web.AppKey("ids", Random)
SECRETS: Final = web.AppKey("secrets", Secrets)
JOURNAL: Final = web.AppKey("journal", Journal)
QUOTAS: Final = web.AppKey("quotas", Quotas)
# before slow comparisons of keys that were not seen before
COMPARING: Final = web.AppKey("comparing", Gate)
RUNNING: Final = web.AppKey("running", Running)
STATISTICS: Final = web.AppKey("statistics", Statistics)
METRICS: Final = web.AppKey("metrics", Metrics)
CONVERSATIONS: Final = web.AppKey("conversations", Conversations)
DRAINING: Final = web.AppKey("draining", Draining)
VISITORS: Final = web.AppKey("visitors", Visitors)

# configuration, keys and gateway as this request found them
GENERATION: Final = web.RequestKey("generation", Generation)
EXCHANGE: Final = web.RequestKey("exchange", Exchange)
# the body as it was sent
BODY: Final = web.RequestKey("body", bytes)
# what the receipt is about
ASKED: Final[web.RequestKey[ChatRequest | EmbeddingRequest]] = web.RequestKey("asked")
WIRE: Final = web.RequestKey("wire", Wire)
# of an allowed web page, once it was checked
ORIGIN: Final = web.RequestKey("origin", str)
# of doors that answer within conversations
SESSION: Final = web.RequestKey("session", Named)
KEY_ID: Final = web.RequestKey("key_id", str)
