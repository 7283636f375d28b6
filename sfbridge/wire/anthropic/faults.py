"""Errors in the words of Anthropic clients; Claude Code chooses what to do by status and wording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sfbridge.core.errors import ErrorKind, GatewayError
from sfbridge.wire.frames import literal, sound

# A lost upstream login is 403 here: Claude Code repeats a 401 for minutes.
_FAULTS: Final[Mapping[ErrorKind, tuple[int, str]]] = {
    "invalid_request": (400, "invalid_request_error"),
    "unsupported": (400, "invalid_request_error"),
    "context_overflow": (400, "invalid_request_error"),
    "authentication": (401, "authentication_error"),
    "permission": (403, "permission_error"),
    "not_found": (404, "not_found_error"),
    "method_not_allowed": (405, "invalid_request_error"),
    "conflict": (409, "invalid_request_error"),
    "too_large": (413, "request_too_large"),
    "unsupported_media": (415, "invalid_request_error"),
    "rate_limited": (429, "rate_limit_error"),
    "overloaded": (529, "overloaded_error"),
    "timeout": (504, "timeout_error"),
    "upstream_failed": (502, "api_error"),
    "upstream_refused": (403, "permission_error"),
    "upstream_login": (403, "permission_error"),
    "internal": (500, "api_error"),
}


def fault(error: GatewayError, request_id: str) -> tuple[int, bytes]:
    """The status and the body of an answer that fails before its first byte."""
    return _FAULTS[error.kind][0], _envelope(error, request_id)


def failure(error: GatewayError, request_id: str) -> bytes:
    """The last frame of a stream that fails; no `message_stop` follows."""
    return b"event: error\ndata: " + _envelope(error, request_id) + b"\n\n"


def _envelope(error: GatewayError, request_id: str) -> bytes:
    message = _overflow(error) if error.kind == "context_overflow" else error.told
    return literal(
        {
            "type": "error",
            "error": {"type": _FAULTS[error.kind][1], "message": sound(message)},
            "request_id": request_id,
        }
    )


def _overflow(error: GatewayError) -> str:
    """The wording that starts Claude Code's compaction; any other makes it repeat the request."""
    if error.tokens is None:
        return f"prompt is too long: {error.told}"
    prompt, limit = error.tokens
    head = f"prompt is too long: {prompt} tokens > {limit} maximum"
    return f"{head} ({error.told})" if error.told else head
