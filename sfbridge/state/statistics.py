"""What became of all turns: totals and histograms by wire, upstream, model, key and outcome, and recent latencies.

Counting is a few additions on one object per series; `GET /metrics` and `GET /v1/sfbridge/stats` do the rest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sfbridge.core.receipt import Receipt
from sfbridge.core.statistics import Minute, Share, Spread

from .clock import Clock

# Seconds; from a cached small answer to an agent's longest one.
BOUNDS: Final = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0,
)  # fmt: skip
# What percentiles are made from: whole turns that ended within these seconds, at most so many.
RECENT_SECONDS: Final = 900.0
_MOST_RECENT: Final = 2048
# Minutes that are told one by one.
_MINUTES: Final = 15


class Labels(NamedTuple):
    """What tells one series from another; every value is one that the configuration or this program names."""

    wire: str
    upstream: str
    model: str
    key: str
    outcome: str


class Histogram:
    """How many values were at most each of BOUNDS; the last place is for those beyond."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds


class Series:
    """Totals of the turns that share their labels."""

    __slots__ = (
        "attempts", "cache_read", "downgrades", "estimated", "first", "heartbeats", "input",
        "output", "queued", "repairs", "retries", "rounds", "total", "turns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.turns = self.attempts = self.retries = self.rounds = self.repairs = 0
        self.downgrades = self.heartbeats = self.estimated = 0
        self.input = self.output = self.cache_read = 0
        self.first, self.total, self.queued = Histogram(), Histogram(), Histogram()

    def add(self, receipt: Receipt, repairs: int) -> None:
        self.turns += 1
        self.attempts += receipt.attempts
        self.retries += receipt.retries
        self.rounds += receipt.rounds
        self.repairs += repairs
        self.downgrades += receipt.downgraded
        self.heartbeats += receipt.heartbeats
        self.input += receipt.input or 0
        self.output += receipt.output or 0
        self.cache_read += receipt.cache_read or 0
        self.estimated += receipt.estimated
        self.total.add(receipt.total_ms / 1000)
        if receipt.first_ms is not None:
            self.first.add(receipt.first_ms / 1000)
        if receipt.queued_ms:
            self.queued.add(receipt.queued_ms / 1000)


class _Recent(NamedTuple):
    at: float
    labels: Labels
    first: int | None
    total: int
    queued: int


class _Minute:
    """Turns that end in the same minute; percentiles are of its latest ones, should there be very many."""

    __slots__ = ("_first", "_spreads", "_total", "errors", "number", "verdicts")

    def __init__(self, number: int) -> None:
        self.number = number
        self.verdicts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._first: deque[int] = deque(maxlen=_MOST_RECENT)
        self._total: deque[int] = deque(maxlen=_MOST_RECENT)
        self._spreads: tuple[Spread, Spread] | None = None

    def add(self, receipt: Receipt) -> None:
        self.verdicts[receipt.verdict] += 1
        if receipt.verdict == "failed":
            self.errors[receipt.error_kind] += 1
        if receipt.verdict == "whole":
            self._total.append(receipt.total_ms)
            if receipt.first_ms is not None:
                self._first.append(receipt.first_ms)
            self._spreads = None

    def shown(self, now: int) -> Minute:
        if self._spreads is None:
            self._spreads = spread(list(self._first)), spread(list(self._total))
        return Minute(
            ago=now - self.number,
            whole=self.verdicts["whole"],
            failed=self.verdicts["failed"],
            left=self.verdicts["left"],
            errors=dict(self.errors),
            first=self._spreads[0],
            total=self._spreads[1],
        )


class Statistics:
    """Fed with every receipt; read by pages."""

    def __init__(self, clock: Clock) -> None:
        self.series: dict[Labels, Series] = {}
        self.refusals: Counter[tuple[str, str]] = Counter()
        self._recent: deque[_Recent] = deque(maxlen=_MOST_RECENT)
        self._minutes: deque[_Minute] = deque(maxlen=_MINUTES)
        self._clock = clock
        self._started = clock.now()

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return self._clock.now() - self._started

    def add(self, receipt: Receipt, *, upstream: str, model: str, repairs: int) -> None:
        """Count one turn. `upstream` and `model` are names of the configuration, never a client's words."""
        outcome = receipt.error_kind if receipt.verdict == "failed" else receipt.verdict
        labels = Labels(receipt.wire, upstream, model, receipt.key, outcome)
        series = self.series.get(labels)
        if series is None:
            series = self.series[labels] = Series()
        series.add(receipt, repairs)
        self._minute().add(receipt)
        if outcome == "whole":
            self._recent.append(
                _Recent(
                    self._clock.now(), labels, receipt.first_ms, receipt.total_ms, receipt.queued_ms
                )
            )

    def refuse(self, wire: str, kind: str) -> None:
        """Count a request that failed before it was a turn."""
        self.refusals[wire, kind] += 1

    def overall(self) -> Share:
        return _share(self.series.items(), self._lately())

    def shares(self, by: str) -> dict[str, Share]:
        """The share of every value of one label; what has none (no key, no upstream found) is left out."""
        place = Labels._fields.index(by)
        names = sorted({str(labels[place]) for labels in self.series} - {""})
        recent = list(self._lately())
        return {
            name: _share(
                [item for item in self.series.items() if item[0][place] == name],
                [turn for turn in recent if turn.labels[place] == name],
            )
            for name in names
        }

    def minutes(self) -> tuple[Minute, ...]:
        """The last 15 minutes but for those in which no turn ended, the oldest first."""
        now = self._number()
        return tuple([m.shown(now) for m in self._minutes if now - m.number < _MINUTES])

    def _minute(self) -> _Minute:
        number = self._number()
        if not self._minutes or self._minutes[-1].number != number:
            self._minutes.append(_Minute(number))
        return self._minutes[-1]

    def _number(self) -> int:
        return int(self._clock.now() // 60)

    def _lately(self) -> Iterator[_Recent]:
        since = self._clock.now() - RECENT_SECONDS
        return (turn for turn in self._recent if turn.at >= since)


def _share(found: Iterable[tuple[Labels, Series]], recent: Iterable[_Recent]) -> Share:
    totals: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for labels, series in found:
        outcomes[labels.outcome] += series.turns
        for name in _SUMMED:
            totals[name] += getattr(series, name)
    turns = list(recent)
    return Share(
        outcomes=dict(outcomes),
        first=spread([turn.first for turn in turns if turn.first is not None]),
        total=spread([turn.total for turn in turns]),
        queued=spread([turn.queued for turn in turns]),
        **totals,
    )


_SUMMED: Final = (
    "turns", "attempts", "retries", "rounds", "repairs", "downgrades", "heartbeats", "input",
    "output", "cache_read", "estimated",
)  # fmt: skip


def spread(values: list[int]) -> Spread:
    """Percentiles by nearest rank: each is a value that occurred."""
    if not values:
        return Spread()
    values.sort()
    at = [values[-(-len(values) * part // 100) - 1] for part in (50, 90, 99)]
    return Spread(n=len(values), p50=at[0], p90=at[1], p99=at[2])
