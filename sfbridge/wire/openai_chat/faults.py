"""Errors in the words of OpenAI clients, which choose their exception by the status alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from sfbridge.core.errors import ErrorKind, GatewayError
from sfbridge.wire.frames import literal, sound


class _Fault(NamedTuple):
    status: int
    type: str
    code: str | None = None


_FAULTS: Final[Mapping[ErrorKind, _Fault]] = {
    "invalid_request": _Fault(400, "invalid_request_error"),
    "unsupported": _Fault(400, "invalid_request_error"),
    "context_overflow": _Fault(400, "invalid_request_error", "context_length_exceeded"),
    "authentication": _Fault(401, "invalid_request_error", "invalid_api_key"),
    "permission": _Fault(403, "permission_error"),
    "not_found": _Fault(404, "invalid_request_error"),
    "method_not_allowed": _Fault(405, "invalid_request_error"),
    "conflict": _Fault(409, "invalid_request_error"),
    "too_large": _Fault(413, "invalid_request_error"),
    "unsupported_media": _Fault(415, "invalid_request_error"),
    "rate_limited": _Fault(429, "rate_limit_error", "rate_limit_exceeded"),
    "overloaded": _Fault(503, "server_error"),
    "timeout": _Fault(504, "server_error"),
    "upstream_failed": _Fault(502, "server_error"),
    "upstream_refused": _Fault(403, "permission_error"),
    "upstream_login": _Fault(401, "invalid_request_error", "upstream_login"),
    "internal": _Fault(500, "server_error"),
}


def fault(error: GatewayError, request_id: str) -> tuple[int, bytes]:  # noqa: ARG001  # the envelope has no place for it
    """The status and the body of an answer that fails before its first byte."""
    return _FAULTS[error.kind].status, _envelope(error)


def failure(error: GatewayError) -> bytes:
    """The last frame of a stream that fails; no `[DONE]` follows, so that nobody takes it for whole."""
    return b"data: " + _envelope(error) + b"\n\n"


def error_body(error: GatewayError) -> dict[str, str | None]:
    """What the envelope says."""
    row = _FAULTS[error.kind]
    overflow = error.kind == "context_overflow"
    return {
        "message": sound(_overflow(error) if overflow else error.told),
        "type": row.type,
        "param": error.param and sound(error.param),
        "code": row.code if overflow else error.code or row.code,
    }


def _envelope(error: GatewayError) -> bytes:
    return literal({"error": error_body(error)})


def _overflow(error: GatewayError) -> str:
    """The vendor's own sentence, by which clients know that they must shorten the conversation."""
    if error.tokens is None:
        return f"This model's maximum context length was exceeded. {error.told}".rstrip()
    prompt, limit = error.tokens
    return (
        f"This model's maximum context length is {limit} tokens. "
        f"However, your messages resulted in {prompt} tokens. {error.told}"
    ).rstrip()
