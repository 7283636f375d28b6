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
    message      our own words: what is wrong and, where we know, what to do. Never holds secrets, nor words of an
                 upstream, which may quote what was said to it; so this much may be told to everybody.
    said         the upstream's words, made fit to be shown: for the client that asked, and nobody else
    remedy       our own words again, told after the upstream's
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
        said: str = "",
        remedy: str = "",
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        retriable: bool | None = None,
        tokens: tuple[int, int] | None = None,
        counted: bool = False,
        upstream: str = "",
        detail: str = "",
    ) -> None:
        self.message = f"{message} {remedy}" if remedy else message
        super().__init__(self.message)
        self.kind: ErrorKind = kind
        self.said = said
        self._says = message
        self._remedy = remedy
        self.param = param
        self.code = code
        self.retry_after = retry_after
        self.retriable = retriable
        self.tokens = tokens
        self.counted = counted
        self.upstream = upstream
        self.detail = detail

    @property
    def told(self) -> str:
        """What the client is told: our words, the upstream's in their midst."""
        if not self.said:
            return self.message
        whole = f"{self._says.rstrip('.')}: {self.said.rstrip('.')}."
        return f"{whole} {self._remedy}" if self._remedy else whole

    def __repr__(self) -> str:
        return f"GatewayError({self.kind!r}, {self.message!r})"
