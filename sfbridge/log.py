"""Logging set-up: lines for people on a terminal, JSON lines elsewhere, and nothing secret in either.

Secrets and quotations of conversations are taken out at the sink, so that no room has to think of it and
tracebacks cannot carry them either.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from .hiding import Secrets
from .policy.quoting import without_quotes

Format = Literal["auto", "text", "json"]


class Said:
    """What was said in one request, until it has ended: tasks that it started may outlive it by hours."""

    __slots__ = ("texts",)

    def __init__(self, texts: Callable[[], Iterable[str]]) -> None:
        self.texts: Callable[[], Iterable[str]] | None = texts

    def forget(self) -> None:
        self.texts = None


# Set per request, seen by every line that is written for it.
SAID: Final[ContextVar[Said | None]] = ContextVar("said", default=None)

_UNREADABLE: Final = "RequestPayloadError"

_encode = msgspec.json.Encoder().encode


class Redaction(logging.Formatter):
    """Lines for people, without secrets and without what was said; what a terminal would obey is spelt out.

    A message that is a Struct is trusted to quote nothing: its maker has seen to it.
    """

    def __init__(self, secrets: Secrets) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")
        self.secrets = secrets

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        if record.levelno > logging.INFO:
            record.message = f"{record.levelname} {record.message}"
        if not record.name.startswith("sfbridge"):
            record.message = f"{record.name}: {record.message}"
        record.message = _visible(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's own name
        # indented, so that no line within an exception's message passes for one of the log
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"  {_visible(line)}" for line in lines)

    def format(self, record: logging.LogRecord) -> str:
        record = _without_bytes(record)
        text = super().format(record)
        return self.secrets.hidden(text if isinstance(record.msg, Struct) else _unquoted(text))


class JsonLines(Redaction):
    """One JSON object per line; a Struct as message brings its fields along."""

    def format(self, record: logging.LogRecord) -> str:
        record = _without_bytes(record)
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        at = f"{second}.{int(record.msecs):03d}Z"
        line = _encode({"at": at, "level": record.levelname.lower(), "from": record.name})
        told: Any = record.msg
        if not isinstance(told, Struct):
            told = {"message": _unquoted(record.getMessage())}
            if record.exc_info:
                told["trace"] = _unquoted(self.formatException(record.exc_info))
        text = f"{line[:-1].decode()},{_whole(told)[1:]}"
        return self.secrets.hidden(text)


def _whole(told: Any) -> str:
    """What is told as JSON that any terminal may show; half of a surrogate pair, as aiohttp reads bytes that are no
    UTF-8, is spelt out."""
    try:
        text = _encode(told).decode()
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(told), ensure_ascii=True, separators=(",", ":"))
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


class Lines(logging.StreamHandler[TextIO]):
    """Writes lines. One that cannot be written is said to be missing; its text, which nobody has cleaned, is not shown
    anywhere else."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        with suppress(OSError, ValueError):
            self.stream.write(f"a line of {record.name} could not be written\n")


def _visible(text: str) -> str:
    """The text with everything that is not a visible character spelt out, so that it stays one line and commands no
    terminal."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def _without_bytes(record: logging.LogRecord) -> logging.LogRecord:
    """aiohttp tells of requests that are not HTTP by their bytes, which may be anybody's words: here it is told that
    there was one."""
    error = record.exc_info[1] if record.exc_info else None
    # of the latter only aiohttp.web has the class
    unreadable = isinstance(error, HttpProcessingError) or type(error).__name__ == _UNREADABLE
    if record.name != "aiohttp.server" or not unreadable:
        return record
    told = f"a request that is not HTTP was refused ({type(error).__name__})"
    return logging.LogRecord(
        "sfbridge.server", logging.INFO, record.pathname, record.lineno, told, (), None
    )


def _unquoted(text: str) -> str:
    said = SAID.get()
    if said is None or said.texts is None:
        return text
    return without_quotes(text, said.texts())


def configure(level: str, secrets: Secrets, form: Format = "auto") -> None:
    """Log to standard error, from `level` (debug, info, warning, error) on."""
    readable = form == "text" or (form == "auto" and sys.stderr.isatty())
    _write_to(Lines(sys.stderr), Redaction(secrets) if readable else JsonLines(secrets))
    adjust(level)


@contextmanager
def to_file(path: Path, level: str, secrets: Secrets) -> Iterator[None]:
    """Log to the end of a file that only its owner can read, while a program has the terminal."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(number, 0o600)
    with open(number, "a", encoding="utf-8", errors="backslashreplace") as file:
        _write_to(Lines(file), Redaction(secrets))
        adjust(level)
        try:
            yield
        finally:
            logging.getLogger().handlers.clear()


def _write_to(stream: logging.Handler, formatter: Redaction) -> None:
    stream.setFormatter(formatter)
    logging.getLogger().handlers[:] = [stream]


def adjust(level: str) -> None:
    """Another level."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    # aiohttp repeats every connection that a port scanner breaks off
    logging.getLogger("aiohttp").setLevel(max(logging.WARNING, root.level))
