"""Turns are counted by what they were, and recent ones tell how long turns take."""

from __future__ import annotations

from typing import Any

import pytest

from sfbridge.core.receipt import Receipt
from sfbridge.state.statistics import BOUNDS, RECENT_SECONDS, Labels, Statistics, spread


def receipt(**more: Any) -> Receipt:
    known = {"id": "r", "at": 0.0, "wire": "openai_chat", "model": "x", "verdict": "whole"}
    return Receipt(**{**known, "total_ms": 100, **more})


def count(statistics: Statistics, upstream: str = "local", model: str = "m", **more: Any) -> None:
    statistics.add(receipt(**more), upstream=upstream, model=model, repairs=more.pop("repairs", 0))


def test_each_turn_is_counted_once_under_each_of_its_names(clock: Any) -> None:
    """Sums over wires, upstreams, models and keys agree with the whole."""
    statistics = Statistics(clock)
    count(statistics, key="ann", input=10, output=5, attempts=2, retries=1, rounds=1)
    count(statistics, wire="anthropic", key="bob", input=1, cache_read=7, downgraded=True)
    count(statistics, "org", "n", verdict="left", heartbeats=3)
    count(statistics, "org", "n", verdict="failed", error_kind="timeout", estimated=True, input=4)
    overall = statistics.overall()
    assert overall.turns == 4
    assert overall.outcomes == {"whole": 2, "left": 1, "timeout": 1}
    assert (overall.input, overall.output, overall.cache_read) == (15, 5, 7)
    assert (overall.attempts, overall.retries, overall.rounds) == (2, 1, 1)
    assert (overall.downgrades, overall.heartbeats, overall.estimated) == (1, 3, 1)
    for label in ("wire", "upstream", "model"):
        assert sum(share.turns for share in statistics.shares(label).values()) == 4
    assert {name: s.turns for name, s in statistics.shares("key").items()} == {"ann": 1, "bob": 1}
    assert statistics.shares("upstream")["org"].outcomes == {"left": 1, "timeout": 1}


def test_histograms_put_each_value_into_its_bucket(clock: Any) -> None:
    """A value on a bound belongs to it, as Prometheus' `le` says; one beyond all is not lost."""
    statistics = Statistics(clock)
    for milliseconds in (10, 11, 640_000, 640_001):
        count(statistics, total_ms=milliseconds, first_ms=10)
    series = statistics.series[Labels("openai_chat", "local", "m", "", "whole")]
    assert [series.total.counts[place] for place in (0, 1, -2, -1)] == [1, 1, 1, 1]
    assert series.total.sum == pytest.approx(1280.022)
    assert series.first.counts[0] == 4
    assert sum(series.queued.counts) == 0
    assert len(series.total.counts) == len(BOUNDS) + 1


def test_percentiles_are_of_recent_whole_turns(clock: Any) -> None:
    """A refusal in a millisecond makes nothing look faster, and old turns are forgotten."""
    statistics = Statistics(clock)
    for milliseconds in range(1, 101):
        count(statistics, total_ms=milliseconds, first_ms=milliseconds // 2)
        count(statistics, total_ms=0, verdict="failed", error_kind="overloaded")
    total = statistics.overall().total
    assert (total.n, total.p50, total.p90, total.p99) == (100, 50, 90, 99)
    assert statistics.overall().first.p50 == 25
    clock.time += RECENT_SECONDS + 1
    assert statistics.overall().total.p50 is None
    assert statistics.overall().turns == 200
    assert statistics.uptime == RECENT_SECONDS + 1


@pytest.mark.parametrize(
    ("values", "found"), [([7], (7, 7, 7)), ([1, 9], (1, 9, 9)), (list(range(10)), (4, 8, 9))]
)
def test_percentiles_are_values_that_occurred(
    values: list[int], found: tuple[int, int, int]
) -> None:
    """Nearest rank: no number is invented between two turns."""
    told = spread(values)
    assert (told.p50, told.p90, told.p99) == found


def test_failures_before_a_turn_are_counted_apart(clock: Any) -> None:
    """A wrong key is no turn, but it is seen."""
    statistics = Statistics(clock)
    statistics.refuse("anthropic", "authentication")
    statistics.refuse("anthropic", "authentication")
    assert statistics.refusals == {("anthropic", "authentication"): 2}
    assert statistics.overall().turns == 0


def test_minutes_are_counted_one_by_one(clock: Any) -> None:
    """Each minute has its own turns, failures and percentiles, however many there are; after a quarter of an hour it
    is forgotten."""
    clock.time = 6000.0
    statistics = Statistics(clock)
    for milliseconds in range(1, 3001):
        count(statistics, total_ms=milliseconds, first_ms=1)
    count(statistics, verdict="failed", error_kind="timeout", total_ms=9)
    clock.time += 119
    count(statistics, verdict="left", total_ms=9)
    count(statistics, total_ms=7)
    old, new = statistics.minutes()
    assert (old.ago, old.whole, old.failed, old.left) == (1, 3000, 1, 0)
    assert (old.errors, old.first.p99, old.total.p99) == ({"timeout": 1}, 1, 2980)
    assert (new.ago, new.whole, new.failed, new.left) == (0, 1, 0, 1)
    assert (new.first.n, new.total.p50) == (0, 7)
    count(statistics, total_ms=9)
    assert statistics.minutes()[-1].total.p99 == 9
    clock.time += 60 * 14
    assert [(minute.ago, minute.whole) for minute in statistics.minutes()] == [(14, 2)]
    clock.time += 60
    assert statistics.minutes() == ()
    assert sum(statistics.overall().outcomes.values()) == 3004
