"""No secret leaves through the log."""

from __future__ import annotations

import logging
import sys

from sfbridge.log import HIDDEN, Redaction

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl"


def line(message: str, *, secrets: tuple[str, ...] = (), error: Exception | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("t", logging.INFO, "f", 1, message, None, info)
    return Redaction(secrets).format(record)


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


def test_ordinary_words_stay() -> None:
    """Redaction leaves the rest of the line readable."""
    assert "model gpt-4o answered in 12 ms" in line("model gpt-4o answered in 12 ms")
