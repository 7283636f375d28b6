"""When a refused call is tried again."""

from __future__ import annotations

import pytest

from sfbridge.core.errors import ErrorKind, GatewayError
from sfbridge.policy.retries import MAX_WAIT, Budget, delay


def failure(
    kind: ErrorKind = "overloaded", code: str | None = None, **more: object
) -> GatewayError:
    error = GatewayError(kind, "no", code=code)
    for name, value in more.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize(
    ("kind", "code", "again"),
    [
        ("rate_limited", None, True),
        ("overloaded", None, True),
        ("upstream_failed", "upstream_unreachable", True),
        ("upstream_failed", "upstream_truncated", False),
        ("upstream_failed", None, False),
        ("upstream_refused", "upstream_unreachable", False),
        ("timeout", None, False),
        ("authentication", None, False),
        ("permission", None, False),
        ("not_found", None, False),
        ("context_overflow", None, False),
        ("internal", None, False),
    ],
)
def test_only_failures_that_say_not_now_are_tried_again(
    kind: ErrorKind, code: str | None, again: bool
) -> None:
    """Rate limits, overload and connections that never came about are retried, nothing else."""
    assert (delay(0, failure(kind, code), 0.0) is not None) is again


def test_the_wait_doubles_and_the_third_attempt_is_the_last() -> None:
    """Three attempts in all, 0.2 s and 0.4 s apart, plus up to 0.1 s of jitter."""
    error = failure()
    assert delay(0, error, 0.0) == pytest.approx(0.2)
    assert delay(1, error, 0.0) == pytest.approx(0.4)
    assert delay(1, error, 0.5) == pytest.approx(0.45)
    assert delay(2, error, 0.0) is None
    assert delay(7, error, 0.0) is None


def test_the_upstream_s_own_time_is_obeyed_as_far_as_patience_goes() -> None:
    """A longer Retry-After is waited for up to the limit; beyond it the client is told."""
    assert delay(0, failure(retry_after=5.0), 0.9) == 5.0
    assert delay(1, failure(retry_after=0.01), 0.0) == pytest.approx(0.4)
    assert delay(0, failure(retry_after=-3.0), 0.0) == pytest.approx(0.2)
    assert delay(0, failure(retry_after=MAX_WAIT), 0.0) == MAX_WAIT
    assert delay(0, failure(retry_after=MAX_WAIT + 1), 0.0) is None


def test_an_error_marked_as_final_is_final() -> None:
    """`retriable=False` goes before the kind."""
    assert delay(0, failure("rate_limited", retriable=False), 0.0) is None


def test_a_smaller_budget_is_kept() -> None:
    """A caller may allow fewer attempts or shorter waits."""
    assert delay(0, failure(), 0.0, Budget(attempts=1)) is None
    assert delay(0, failure(retry_after=5.0), 0.0, Budget(max_wait=1.0)) is None


def test_who_waited_in_a_queue_is_told_at_once() -> None:
    """A queue that was full, or too slow, is not joined again behind the client's back."""
    for code in ("queue_full", "queue_timeout"):
        assert delay(0, failure("overloaded", code=code, retry_after=1.0), 0.0) is None
