"""Logging set-up. Secrets are taken out at the sink, so that tracebacks cannot carry them either."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Final

# Bearer values, JSON Web Tokens, and key-like words of the vendors.
_SHAPES: Final = re.compile(
    r"(?i:bearer)\s+[\w.~+/=-]{8,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|\bsk-[\w-]{8,}"
)
HIDDEN: Final = "[hidden]"


class Redaction(logging.Formatter):
    """Formats as usual, then hides the given secrets and whatever looks like a token."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        known = sorted({s for s in secrets if len(s) >= 6}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def format(self, record: logging.LogRecord) -> str:
        text = _SHAPES.sub(HIDDEN, super().format(record))
        return self._known.sub(HIDDEN, text) if self._known else text


def configure(level: str, secrets: Iterable[str]) -> None:
    """Log to standard error. Raises ValueError for an unknown level word."""
    stream = logging.StreamHandler()
    stream.setFormatter(Redaction(secrets))
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level.upper())
    # aiohttp repeats every connection that a port scanner breaks off
    logging.getLogger("aiohttp").setLevel(max(logging.WARNING, root.level))
