"""What becomes of a request is noted once, and let go of at once."""

from __future__ import annotations

import gc
import weakref

from sfbridge.exchange import Exchange
from sfbridge.state.clock import SystemClock


def test_an_exchange_is_freed_with_its_last_user() -> None:
    """It holds a whole conversation, which is not to wait for a garbage collection: under load that doubles the memory."""
    gc.disable()
    try:
        exchange = Exchange("req_1", SystemClock(), str)
        exchange.mark("prepared")
        exchange.trace.connected()
        seen = weakref.ref(exchange)
        del exchange
        assert seen() is None
    finally:
        gc.enable()
