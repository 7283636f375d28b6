"""`GET /metrics`: the statistics in Prometheus' words, made when they are asked for, from the totals at hand.

Labels are names of the configuration and of this program; nothing that a client said becomes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Final, Generic, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sfbridge import __version__
from sfbridge.core.statistics import GateState, QuotaState
from sfbridge.state.running import Running
from sfbridge.state.statistics import BOUNDS, Histogram, Labels, Series, Statistics

from .opening import Lasting

_BOUNDS: Final = (*map(str, BOUNDS), "+Inf")


class _Total(NamedTuple):
    name: str
    words: str
    of: Callable[[Series], int]


_TOTALS: Final = (
    _Total("turns", "Turns by outcome: whole, left, or the kind of error", lambda s: s.turns),
    _Total("attempts", "Upstream calls that were begun", lambda s: s.attempts),
    _Total("retries", "Upstream calls repeated after a refusal", lambda s: s.retries),
    _Total("rounds", "Times a model was asked to correct its answer", lambda s: s.rounds),
    _Total("repairs", "Lossless corrections of calls and JSON", lambda s: s.repairs),
    _Total("downgrades", "Answers replayed as streams, or streams as JSON", lambda s: s.downgrades),
    _Total("heartbeats", "Signs of life sent into silent streams", lambda s: s.heartbeats),
    _Total("input_tokens", "Prompt tokens beside cached ones", lambda s: s.input),
    _Total("output_tokens", "Tokens of answers", lambda s: s.output),
    _Total("cached_tokens", "Prompt tokens from an upstream's cache", lambda s: s.cache_read),
    _Total("estimated_turns", "Turns whose tokens were estimated here", lambda s: s.estimated),
)


class _Span(NamedTuple):
    name: str
    words: str
    of: Callable[[Series], Histogram]


_SPANS: Final = (
    _Span("turn_seconds", "From a request to the end of its answer", lambda s: s.total),
    _Span("first_word_seconds", "From a request to the first word", lambda s: s.first),
    _Span("queue_seconds", "In the queue, of turns that had to wait", lambda s: s.queued),
)


State = TypeVar("State")


class _Level(NamedTuple, Generic[State]):
    name: str
    words: str
    of: Callable[[State], int]
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily]


_LEVELS: Final[tuple[_Level[GateState], ...]] = (
    _Level("gate_limit", "Answers at a time, 0: no limit", lambda g: g.limit, GaugeMetricFamily),
    _Level("in_flight", "Answers under way", lambda g: g.in_flight, GaugeMetricFamily),
    _Level("queue_depth", "Requests that wait", lambda g: g.waiting, GaugeMetricFamily),
    _Level("queued", "Requests that had to wait", lambda g: g.queued, CounterMetricFamily),
    _Level("queue_full", "Refused: full queue", lambda g: g.full, CounterMetricFamily),
    _Level("queue_timeouts", "Refused: waited too long", lambda g: g.late, CounterMetricFamily),
)


_USES: Final[tuple[_Level[QuotaState], ...]] = (
    _Level("in_flight", "Turns of a key under way", lambda k: k.in_flight, GaugeMetricFamily),
    _Level("requests", "Requests of the last minute", lambda k: k.requests, GaugeMetricFamily),
    _Level("tokens", "Tokens of the last minute", lambda k: k.tokens, GaugeMetricFamily),
    _Level("refused", "Requests beyond a key's limits", lambda k: k.refused, CounterMetricFamily),
)


class Metrics(Collector):
    """One application's metrics, in a registry of its own."""

    def __init__(self, statistics: Statistics, running: Running, lasting: Lasting) -> None:
        self._statistics = statistics
        self._running = running
        self._lasting = lasting
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self, accept: str) -> tuple[bytes, str]:
        """All of it in the format that a scraper accepts, and that format's content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def describe(self) -> list[Metric]:
        """Nothing beforehand; without it, the registry would collect all of it once."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("sfbridge", "This program", value={"version": __version__})
        yield GaugeMetricFamily(
            "sfbridge_uptime_seconds", "Since the start", value=self._statistics.uptime
        )
        yield GaugeMetricFamily(
            "sfbridge_running_turns", "Turns under way", value=len(self._running)
        )
        series = sorted(self._statistics.series.items())
        yield from _totals(series)
        yield from _spans(series)
        gates = {gate.name: gate.state() for gate in self._lasting.gates.all()}
        yield from _levels("", "upstream", _LEVELS, gates)
        yield from _levels("key_", "key", _USES, self._lasting.quotas.states())
        yield from self._words()

    def _words(self) -> Iterator[Metric]:
        refusals = CounterMetricFamily(
            "sfbridge_refusals",
            "Requests that failed before they were a turn",
            labels=("wire", "kind"),
        )
        for pair, number in sorted(self._statistics.refusals.items()):
            refusals.add_metric(pair, number)
        yield refusals
        findings = CounterMetricFamily(
            "sfbridge_findings", "Corrections and findings by name", labels=("name",)
        )
        for name, number in self._lasting.counters.snapshot().items():
            findings.add_metric((name,), number)
        yield findings


def _levels(
    prefix: str, label: str, levels: tuple[_Level[State], ...], states: Mapping[str, State]
) -> Iterator[Metric]:
    for level in levels:
        family = level.kind(f"sfbridge_{prefix}{level.name}", level.words, labels=(label,))
        for name, state in states.items():
            family.add_metric((name,), level.of(state))
        yield family


def _totals(series: list[tuple[Labels, Series]]) -> Iterator[Metric]:
    for total in _TOTALS:
        family = CounterMetricFamily(f"sfbridge_{total.name}", total.words, labels=Labels._fields)
        for labels, found in series:
            family.add_metric(labels, total.of(found))
        yield family


def _spans(series: list[tuple[Labels, Series]]) -> Iterator[Metric]:
    for span in _SPANS:
        family = HistogramMetricFamily(f"sfbridge_{span.name}", span.words, labels=Labels._fields)
        for labels, found in series:
            histogram = span.of(found)
            buckets = list(zip(_BOUNDS, accumulate(histogram.counts), strict=True))
            family.add_metric(labels, buckets, histogram.sum)
        yield family
