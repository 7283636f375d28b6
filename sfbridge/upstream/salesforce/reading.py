"""What an answer of the org can lack, whatever its dialect."""

from __future__ import annotations

from sfbridge.core.errors import GatewayError


def truncated() -> GatewayError:
    """The transport ended before the answer's own terminal mark."""
    return GatewayError(
        "upstream_failed",
        "Salesforce ended the answer without its end mark, so it is not known to be whole.",
        code="upstream_truncated",
    )


def garbled(detail: str) -> GatewayError:
    """What came is not the format that it should be."""
    return GatewayError(
        "upstream_failed",
        "Salesforce sent an answer that cannot be read.",
        code="upstream_garbled",
        detail=detail,
    )


def empty() -> GatewayError:
    """A well-formed answer that holds nothing."""
    return GatewayError(
        "upstream_failed", "Salesforce sent an empty answer.", code="upstream_empty"
    )
