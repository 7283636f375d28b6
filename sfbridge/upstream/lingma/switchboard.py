"""Whose push is it: the asks of one connection by request id, and a memory of those that are over."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from typing import Final

from .mailbox import Mailbox
from .signals import Heard, Said

_log = logging.getLogger("sfbridge.upstream.lingma")

_MOST_OVER: Final = 1024


class Switchboard:
    """`counts` tells what found no ask: "late" pushes of asks that are over, and "orphan" ones of nobody's."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._asks: dict[str, tuple[str, Mailbox]] = {}
        self._over: OrderedDict[str, None] = OrderedDict()
        self._told: dict[str, str] = {}
        self._warned = False

    def __len__(self) -> int:
        return len(self._asks)

    def add(self, request: str, session: str, box: Mailbox) -> None:
        """Before the ask is sent, for its first push may come before its reply."""
        self._asks[request] = (session, box)

    def remove(self, request: str) -> None:
        if self._asks.pop(request, None) is None:
            return
        self._told.pop(request, None)
        self._over[request] = None
        while len(self._over) > _MOST_OVER:
            self._over.popitem(last=False)

    def session(self, request: str) -> str:
        """The session id that the process uses for an ask, where it chose one of its own; else empty."""
        return self._told.get(request, "")

    def deliver(self, heard: Heard) -> None:
        request = heard.request or self._only(heard.session)
        found = self._asks.get(request)
        if found is None:
            self.counts["late" if request in self._over else "orphan"] += 1
            self._suspect(heard)
            return
        session, box = found
        if heard.session and heard.session != session:
            self._told[request] = heard.session
        box.put(heard.signals)

    def _suspect(self, heard: Heard) -> None:
        """Text for another ask than the one that it answers has been seen; worth a word, once."""
        if not self._warned and any(isinstance(one, Said) and one.text for one in heard.signals):
            self._warned = True
            _log.warning("a Lingma process sent text for a question that is over, or not ours")

    def fail(self, failure: Exception) -> None:
        """Every ask of the connection ends."""
        for _, box in list(self._asks.values()):
            box.fail(failure)

    def _only(self, session: str) -> str:
        """The one ask of a session, for pushes that name no request."""
        found = [request for request, (mine, _) in self._asks.items() if mine == session]
        return found[0] if len(found) == 1 else ""
