"""Estimates that learn from the servers' counts."""

from __future__ import annotations

from random import Random

import pytest

from sfbridge.state.learning import Learned


def test_one_report_teaches_nothing_yet() -> None:
    """The factor is 1 for an unknown model and after a single report."""
    learned = Learned()
    assert learned.factor("m") == 1.0
    learned.learn("m", 1_000, 1_300)
    assert learned.factor("m") == 1.0
    assert learned.snapshot() == {}


def test_two_reports_correct_the_estimate() -> None:
    """From the second report on the estimates of that model, and of no other, are corrected."""
    learned = Learned()
    learned.learn("m", 1_000, 1_300)
    learned.learn("m", 2_000, 2_600)
    assert learned.factor("m") == pytest.approx(1.3)
    assert learned.factor("other") == 1.0
    assert learned.snapshot() == {"m": 1.3}


def test_the_factor_follows_a_change() -> None:
    """After a restart with another tokenizer, ten turns are enough."""
    learned = Learned()
    for _ in range(5):
        learned.learn("m", 1_000, 800)
    for _ in range(10):
        learned.learn("m", 1_000, 1_500)
    assert learned.factor("m") == pytest.approx(1.5, abs=0.03)


def test_one_odd_report_moves_it_little() -> None:
    """A count that is off by a factor of a hundred weighs no more than the bound allows."""
    learned = Learned()
    for _ in range(5):
        learned.learn("m", 1_000, 1_000)
    learned.learn("m", 1_000, 100_000)
    assert learned.factor("m") == pytest.approx(1.0 + 0.3 * 1.5)


def test_it_stays_within_its_bounds() -> None:
    """No sequence of reports leads out of 0.4 to 2.5, and senseless ones are not counted."""
    random = Random(1)
    learned = Learned()
    for _ in range(500):
        learned.learn("m", random.randrange(-5, 50_000), random.randrange(-5, 50_000))
        assert 0.4 <= learned.factor("m") <= 2.5
    fresh = Learned()
    for counts in ((0, 5), (5, 0), (-1, 5), (5, -1)):
        fresh.learn("m", *counts)
        fresh.learn("m", *counts)
    assert fresh.factor("m") == 1.0


def test_models_are_forgotten_beyond_a_bound() -> None:
    """The model that reported longest ago goes first."""
    learned = Learned(most_models=2)
    for model in ("a", "b", "a", "b", "a", "c", "c"):
        learned.learn(model, 100, 200)
    assert learned.factor("b") == 1.0
    assert learned.factor("a") == learned.factor("c") == 2.0


def test_a_refusal_teaches_at_once() -> None:
    """When a prompt was refused with its true length, the next estimate is not below it again."""
    learned = Learned()
    learned.learn("m", 1000, 900)
    learned.learn("m", 1000, 1300, sure=True)
    assert learned.factor("m") >= 1.3
