"""Whether a server is up, with hysteresis: two failures in a row take it down, one success brings it back."""

from __future__ import annotations

from typing import Final

from sfbridge.core.errors import GatewayError

FAILURES: Final = 2
# Only these tell of the server; a refusal tells of the request, and shows that the server is there.
_TELLING: Final = frozenset(("upstream_failed", "timeout", "overloaded"))
# The model broke, not the server.
_HARMLESS: Final = frozenset(("upstream_tool_parse", "upstream_empty", "upstream_schema"))


class Standing:
    """Fed by real traffic and by probes. `up` is None until the first of them is through."""

    def __init__(self) -> None:
        self.up: bool | None = None
        self.failure: GatewayError | None = None
        self.doubtful = False
        self._failures = 0

    def succeeded(self) -> None:
        self._failures = 0
        self.up = True
        self.failure = None

    def failed(self, error: GatewayError) -> None:
        if error.kind not in _TELLING or error.code in _HARMLESS:
            return
        self.failure = error
        self.doubtful = True  # what is known of the server may be of the one before
        self._failures += 1
        if self._failures >= FAILURES:
            self.up = False

    def settled(self) -> None:
        """What is known of the server was asked anew."""
        self.doubtful = False
