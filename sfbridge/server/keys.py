"""Typed keys of what the application and one request carry."""

from __future__ import annotations

from random import Random
from typing import Final

from aiohttp import web

from sfbridge.config import Config
from sfbridge.core.request import ChatRequest
from sfbridge.exchange import Exchange
from sfbridge.gateway import Gateway
from sfbridge.policy.limits import KeyRing
from sfbridge.state.clock import Clock
from sfbridge.state.journal import Journal
from sfbridge.wire.base import Wire

from .draining import Draining

CONFIG: Final = web.AppKey("config", Config)
CLOCK: Final = web.AppKey("clock", Clock)
GATEWAY: Final = web.AppKey("gateway", Gateway)
KEYS: Final = web.AppKey("keys", KeyRing)
# names requests apart; no secret hangs on it, and asking the kernel each time costs 45 us here
IDS: Final = web.AppKey("ids", Random)
JOURNAL: Final = web.AppKey("journal", Journal)
DRAINING: Final = web.AppKey("draining", Draining)

EXCHANGE: Final = web.RequestKey("exchange", Exchange)
ASKED: Final = web.RequestKey("asked", ChatRequest)
WIRE: Final = web.RequestKey("wire", Wire)
# of an allowed web page, once it was checked
ORIGIN: Final = web.RequestKey("origin", str)
KEY_ID: Final = web.RequestKey("key_id", str)
