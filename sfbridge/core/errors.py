"""The one exception of the house. Each wire's `faults` turns its kind into a status and an envelope."""

from __future__ import annotations

from typing import Literal

ErrorKind = Literal[
    "invalid_request",
    "context_overflow",
    "authentication",
    "permission",
    "not_found",
    "method_not_allowed",
    "unsupported_media",
    "conflict",
    "too_large",
    "unsupported",
    "rate_limited",
    "overloaded",
    "timeout",
    "upstream_failed",
    "upstream_refused",
    "upstream_login",
    "internal",
]


class GatewayError(Exception):
    """A failure that a client may be told about.

    kind         the closed set above
    message      public; says what is wrong and, where we know, what to do. Never holds secrets.
    param        path into the request, in the client's own words
    code         a stable word for programs ("model_not_found")
    retry_after  seconds
    retriable    False tells clients not to repeat; None leaves it to the status
    tokens       (prompt, limit) with `context_overflow`; `counted` by the upstream, or estimated by us
    upstream     which upstream failed
    detail       for the log only
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        retriable: bool | None = None,
        tokens: tuple[int, int] | None = None,
        counted: bool = False,
        upstream: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after
        self.retriable = retriable
        self.tokens = tokens
        self.counted = counted
        self.upstream = upstream
        self.detail = detail

    def __repr__(self) -> str:
        return f"GatewayError({self.kind!r}, {self.message!r})"
