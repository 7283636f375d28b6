"""No secret leaves through the log."""

from __future__ import annotations

import io
import logging
import sys

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from sfbridge.hiding import HIDDEN, Secrets
from sfbridge.log import JsonLines, Lines, Redaction

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl"


def line(message: str, *, secrets: tuple[str, ...] = (), error: Exception | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("t", logging.INFO, "f", 1, message, None, info)
    return Redaction(Secrets(secrets)).format(record)


def test_configured_secrets_are_hidden() -> None:
    """A secret of the configuration never appears, wherever it stands."""
    text = line("id=canary-secret&x", secrets=("canary-secret",))
    assert "canary" not in text
    assert HIDDEN in text


def test_tokens_are_hidden_by_their_shape() -> None:
    """Bearer values and JSON Web Tokens are hidden though nobody configured them."""
    text = line(f"sent Authorization: Bearer abcdefghijkl and {JWT} and sk-abcdefghijkl")
    assert "abcdefghijkl" not in text
    assert JWT not in text


def test_tracebacks_are_redacted_too() -> None:
    """A secret inside an exception's message is hidden in its traceback."""
    try:
        raise ValueError(f"token {JWT} and canary-secret")
    except ValueError as error:
        assert sys.exc_info()
        text = line("failed", secrets=("canary-secret",), error=error)
    assert "ValueError" in text
    assert "canary" not in text
    assert JWT not in text


@pytest.mark.parametrize("form", [Redaction, JsonLines])
def test_a_line_is_one_line_and_commands_no_terminal(form: type[Redaction]) -> None:
    """Line breaks, escape codes and direction marks of foreign texts are spelt out, in messages and in tracebacks."""
    foul = "a\n03:00:00 forged\x1b]0;owned\x07 \u202eback \x9b31m \udcff"
    record = logging.LogRecord("sfbridge", logging.INFO, "f", 1, "%s asked", (foul,), None)
    text = form(Secrets()).format(record)
    assert text.isprintable()
    assert "forged" in text
    try:
        raise ValueError(foul)
    except ValueError:
        record = logging.LogRecord("sfbridge", logging.INFO, "f", 1, "x", (), sys.exc_info())
    lines = form(Secrets()).format(record).splitlines()
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("03:00:00 forged") for line in lines)


def test_a_line_that_cannot_be_written_is_shown_nowhere_else() -> None:
    """Where the log itself fails, its text is not printed uncleaned in the place of a line."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            if "canary" in text:
                raise OSError("no space")
            return super().write(text)

    stream = Full()
    handler = Lines(stream)
    handler.handle(logging.LogRecord("sfbridge", logging.INFO, "f", 1, "canary", (), None))
    assert stream.getvalue() == "a line of sfbridge could not be written\n"


@pytest.mark.parametrize("form", [Redaction, JsonLines])
def test_requests_that_are_not_http_are_told_without_their_bytes(form: type[Redaction]) -> None:
    """aiohttp logs the bytes of what it cannot read, which may hold keys and prompts; here nobody sees them."""
    error = BadHttpMessage("canary prompt")
    record = logging.LogRecord(
        "aiohttp.server",
        logging.ERROR,
        "f",
        1,
        "Error handling request",
        (),
        (BadHttpMessage, error, None),
    )
    text = form(Secrets()).format(record)
    assert "canary" not in text
    assert "a request that is not HTTP was refused" in text


def test_ordinary_words_stay() -> None:
    """Redaction leaves the rest of the line readable."""
    assert "model gpt-4o answered in 12 ms" in line("model gpt-4o answered in 12 ms")
