"""Logging set-up: lines for people on a terminal, JSON lines elsewhere, and nothing secret in either.

Secrets and quotations of conversations are taken out at the sink, so that no room has to think of it and
tracebacks cannot carry them either.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from .policy.quoting import without_quotes

Format = Literal["auto", "text", "json"]

# Bearer values, JSON Web Tokens, and key-like words of the vendors.
_SHAPES: Final = re.compile(
    r"(?i:bearer)\s+[\w.~+/=-]{8,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|\bsk-[\w-]{8,}"
)
HIDDEN: Final = "[hidden]"


class Said:
    """What was said in one request, until it has ended: tasks that it started may outlive it by hours."""

    __slots__ = ("texts",)

    def __init__(self, texts: Callable[[], Iterable[str]]) -> None:
        self.texts: Callable[[], Iterable[str]] | None = texts

    def forget(self) -> None:
        self.texts = None


# Set per request, seen by every line that is written for it.
SAID: Final[ContextVar[Said | None]] = ContextVar("said", default=None)

_encode = msgspec.json.Encoder().encode


class Redaction(logging.Formatter):
    """Lines for people, without the given secrets, whatever looks like a token, and what was said.

    A message that is a Struct is trusted to quote nothing: its maker has seen to it.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")
        self._secrets: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        """Hide these too, beside those that are hidden already: old secrets stay secret after a reload."""
        for secret in secrets:
            if len(secret) >= 6:
                self._secrets |= {secret, _encode(secret)[1:-1].decode()}
        longest_first = sorted(self._secrets, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        if record.levelno > logging.INFO:
            record.message = f"{record.levelname} {record.message}"
        if not record.name.startswith("sfbridge"):
            record.message = f"{record.name}: {record.message}"
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return self._hidden(text if isinstance(record.msg, Struct) else _unquoted(text))

    def _hidden(self, text: str) -> str:
        text = _SHAPES.sub(HIDDEN, text)
        return self._known.sub(HIDDEN, text) if self._known else text


class JsonLines(Redaction):
    """One JSON object per line; a Struct as message brings its fields along."""

    def format(self, record: logging.LogRecord) -> str:
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        at = f"{second}.{int(record.msecs):03d}Z"
        line = _encode({"at": at, "level": record.levelname.lower(), "from": record.name})
        told: Any = record.msg
        if not isinstance(told, Struct):
            told = {"message": _unquoted(record.getMessage())}
            if record.exc_info:
                told["trace"] = _unquoted(self.formatException(record.exc_info))
        return self._hidden(f"{line[:-1].decode()},{_encode(told)[1:].decode()}")


def _unquoted(text: str) -> str:
    said = SAID.get()
    if said is None or said.texts is None:
        return text
    return without_quotes(text, said.texts())


def configure(level: str, secrets: Iterable[str], form: Format = "auto") -> None:
    """Log to standard error, from `level` (debug, info, warning, error) on."""
    readable = form == "text" or (form == "auto" and sys.stderr.isatty())
    _write_to(logging.StreamHandler(), Redaction(secrets) if readable else JsonLines(secrets))
    adjust(level, ())


@contextmanager
def to_file(path: Path, level: str, secrets: Iterable[str]) -> Iterator[None]:
    """Log to the end of a file that only its owner can read, while a program has the terminal."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open(number, "a", encoding="utf-8") as file:
        _write_to(logging.StreamHandler(file), Redaction(secrets))
        adjust(level, ())
        try:
            yield
        finally:
            logging.getLogger().handlers.clear()


def _write_to(stream: logging.Handler, formatter: Redaction) -> None:
    stream.setFormatter(formatter)
    logging.getLogger().handlers[:] = [stream]


def adjust(level: str, secrets: Iterable[str]) -> None:
    """Another level, and further secrets to hide."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    # aiohttp repeats every connection that a port scanner breaks off
    logging.getLogger("aiohttp").setLevel(max(logging.WARNING, root.level))
    for each in root.handlers:
        if isinstance(each.formatter, Redaction):
            each.formatter.hide(secrets)
