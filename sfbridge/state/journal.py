"""The last turns, in memory: a bounded ring that forgets the oldest."""

from __future__ import annotations

from collections import OrderedDict

from msgspec.structs import replace

from sfbridge.core.receipt import Receipt


class Journal:
    """Receipts by request id, newest last."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._turns: OrderedDict[str, Receipt] = OrderedDict()

    def add(self, receipt: Receipt) -> None:
        self._turns[receipt.id] = receipt
        while len(self._turns) > self._keep:
            self._turns.popitem(last=False)

    def forget_contents(self) -> None:
        """Keep of each turn how it went, and nothing that was said."""
        for name, receipt in self._turns.items():
            if receipt.contents is not None:
                self._turns[name] = replace(receipt, contents=None)

    def turn(self, request_id: str) -> Receipt | None:
        return self._turns.get(request_id)

    def latest(self, most: int) -> list[Receipt]:
        """Newest first."""
        return list(self._turns.values())[: -most - 1 : -1]
