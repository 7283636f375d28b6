"""What an answer can lack, whoever sent it; `who` is how the client is told about it."""

from __future__ import annotations

from sfbridge.core.errors import GatewayError


def truncated(who: str) -> GatewayError:
    """The transport ended before the answer's own terminal mark."""
    return GatewayError(
        "upstream_failed",
        f"{who} ended the answer without its end mark, so it is not known to be whole.",
        code="upstream_truncated",
    )


def garbled(who: str, detail: str) -> GatewayError:
    """What came is not the format that it should be."""
    return GatewayError(
        "upstream_failed",
        f"{who} sent an answer that cannot be read.",
        code="upstream_garbled",
        detail=detail,
    )


def empty(who: str) -> GatewayError:
    """A well-formed answer that holds nothing."""
    return GatewayError("upstream_failed", f"{who} sent an empty answer.", code="upstream_empty")
