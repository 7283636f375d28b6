"""What a key may use in a minute, and when it may go on."""

from __future__ import annotations

from typing import Any

import pytest

from sfbridge.core.errors import GatewayError
from sfbridge.state.quotas import Limits, Quota, Quotas


def quota_of(clock: Any, **limits: int) -> Quota:
    quotas = Quotas(clock.now)
    quotas.adjust({"ann": Limits(**limits)})
    found = quotas.quota("ann")
    assert found is not None
    return found


def refused(quota: Quota, tokens: int = 0) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        quota.enter(tokens)
    assert caught.value.kind == "rate_limited"
    assert "'ann'" in caught.value.message
    return caught.value


def test_turns_at_once(clock: Any) -> None:
    """A turn that ends makes room for the next, however it ended."""
    quota = quota_of(clock, in_flight=2)
    first, _ = quota.enter(0), quota.enter(0)
    assert refused(quota).retry_after
    first.leave(0)
    quota.enter(0)
    assert "in_flight" in refused(quota).message
    assert (quota.running, quota.refused) == (2, 2)


def test_requests_of_any_minute(clock: Any) -> None:
    """Within any sixty seconds there are at most as many as allowed, and a refusal says when the next is."""
    quota = quota_of(clock, requests_per_minute=3)
    for _ in range(3):
        quota.enter(0).leave(0)
        clock.time += 10
    error = refused(quota)
    assert error.retry_after == pytest.approx(30)
    clock.time += 30
    quota.enter(0).leave(0)
    assert refused(quota).retry_after == pytest.approx(10)
    assert "requests_per_minute" in error.message


def test_tokens_are_held_by_estimate_and_settled_as_they_were(clock: Any) -> None:
    """A running turn counts with its prompt; an ended one with what it came to, for a minute."""
    quota = quota_of(clock, tokens_per_minute=1000)
    stay = quota.enter(600)
    assert "tokens_per_minute" in refused(quota, 500).message
    stay.leave(100)
    second = quota.enter(500)
    assert quota.state().tokens == 600
    clock.time += 20
    second.leave(900)  # the answer was long
    assert quota.state().tokens == 1000
    assert refused(quota, 50).retry_after == pytest.approx(40)
    clock.time += 40
    quota.enter(50).leave(50)
    assert refused(quota, 100).retry_after == pytest.approx(20)
    clock.time += 120
    assert quota.state().tokens == 0


def test_a_prompt_that_can_never_pass_is_not_worth_repeating(clock: Any) -> None:
    """A prompt beyond the whole minute's tokens is refused for good, with its size."""
    error = refused(quota_of(clock, tokens_per_minute=1000), 2000)
    assert (error.retriable, error.retry_after) == (False, None)
    assert "2000" in error.message


def test_no_limits_still_count(clock: Any) -> None:
    """A key without limits is never refused, and its use is known."""
    quota = quota_of(clock)
    stays = [quota.enter(10**9) for _ in range(200)]
    state = quota.state()
    assert (state.in_flight, state.requests) == (200, 200)
    for stay in stays:
        stay.leave(5)
    assert (quota.state().in_flight, quota.state().tokens) == (0, 1000)


def test_other_limits_keep_what_was_used(clock: Any) -> None:
    """A reload changes limits, forgets keys that are gone and leaves running turns alone."""
    quotas = Quotas(clock.now)
    quotas.adjust({"ann": Limits(in_flight=1), "bob": Limits()})
    ann, bob = quotas.quota("ann"), quotas.quota("bob")
    assert ann is not None
    assert bob is not None
    stay, other = ann.enter(0), bob.enter(0)
    quotas.adjust({"ann": Limits(in_flight=2)})
    assert quotas.quota("bob") is None
    assert quotas.quota("ann") is ann
    ann.enter(0)
    assert refused(ann).kind == "rate_limited"
    stay.leave(1)
    other.leave(1)
    assert set(quotas.states()) == {"ann"}
    assert quotas.quota("") is None
