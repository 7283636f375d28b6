"""May a refused call be tried again, and after how long. Asked only before the first piece was seen."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sfbridge.core.errors import GatewayError

ATTEMPTS: Final = 3
MAX_WAIT: Final = 30.0

_FIRST_WAIT: Final = 0.2
_JITTER: Final = 0.1

# Failures that say "not now". An upstream that failed in any other way may have done the work, and paid
# work is not repeated.
_KINDS: Final = frozenset({"rate_limited", "overloaded"})
_UNREACHABLE: Final = "upstream_unreachable"
# Who was told this has waited in a queue already, or found it full.
_QUEUED: Final = frozenset({"queue_timeout", "queue_full"})


class Budget(Struct, frozen=True):
    """How much patience there is: attempts in all, the first one included, and the longest wait in seconds.

    Clients retry as well (Claude Code ten times), so both stay small.
    """

    attempts: int = ATTEMPTS
    max_wait: float = MAX_WAIT


def delay(
    attempt: int, error: GatewayError, jitter: float, budget: Budget = Budget()
) -> float | None:
    """Seconds to wait before the next attempt; None when the error goes to the client.

    attempt  the one that failed, counted from 0
    jitter   in [0, 1), so that callers that failed together do not come back together

    An upstream's own `retry_after` is obeyed, unless it is longer than the budget's longest wait: then the
    client is told, which can decide for itself.
    """
    if attempt + 1 >= budget.attempts or not _worthwhile(error):
        return None
    wait: float = _FIRST_WAIT * 2**attempt + jitter * _JITTER
    if error.retry_after is None:
        return wait
    return None if error.retry_after > budget.max_wait else max(wait, error.retry_after)


def _worthwhile(error: GatewayError) -> bool:
    if error.retriable is False or error.code in _QUEUED:
        return False
    if error.kind == "upstream_failed":
        return error.code == _UNREACHABLE
    return error.kind in _KINDS
