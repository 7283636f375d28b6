"""What `GET /v1/sfbridge/stats` answers: the shape of the numbers, apart from how they are gathered."""

from __future__ import annotations

from msgspec import Struct

from .receipt import Glimpse


class Spread(Struct, frozen=True, kw_only=True):
    """Percentiles of the recent whole turns, in milliseconds; None while there are none. `n`: how many turns."""

    n: int = 0
    p50: int | None = None
    p90: int | None = None
    p99: int | None = None


class Minute(Struct, frozen=True, kw_only=True):
    """The turns that ended in one minute, and percentiles of its whole ones.

    ago     0: the minute that is not over yet
    errors  the failed ones by the kind of their error
    """

    ago: int
    whole: int = 0
    failed: int = 0
    left: int = 0
    errors: dict[str, int] = {}
    first: Spread = Spread()
    total: Spread = Spread()


class Share(Struct, frozen=True, kw_only=True):
    """What became of the turns of one wire, upstream, model or key since the start.

    outcomes    turns by "whole", "left" (the client went away), or the kind of their error
    attempts    upstream calls that were begun; `retries` of them after a refusal that could pass
    rounds      times that a model was shown its faulty answer and asked again
    repairs     lossless corrections of calls and JSON; by name in `Stats.counters`
    downgrades  finished answers replayed as a stream, or streams forced into JSON
    heartbeats  signs of life sent into silent streams
    input       prompt tokens beside `cache_read`; reported, or estimated (in `estimated` turns)
    first, total, queued  recent milliseconds to the first word, to the end, and in the queue
    """

    turns: int = 0
    outcomes: dict[str, int] = {}
    attempts: int = 0
    retries: int = 0
    rounds: int = 0
    repairs: int = 0
    downgrades: int = 0
    heartbeats: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    estimated: int = 0
    first: Spread = Spread()
    total: Spread = Spread()
    queued: Spread = Spread()


class GateState(Struct, frozen=True, kw_only=True):
    """An upstream's gate now: limits (0: none), who is inside and waiting, and totals since the start."""

    limit: int
    queue: int
    queue_seconds: float
    in_flight: int
    waiting: int
    peak: int
    queued: int
    full: int
    late: int


class QuotaState(Struct, frozen=True, kw_only=True):
    """What an API key uses: its limits (0: none), turns under way, requests and tokens of the last minute (those of
    running turns estimated), and requests refused since the start."""

    in_flight_limit: int
    requests_per_minute: int
    tokens_per_minute: int
    in_flight: int
    requests: int
    tokens: int
    refused: int


class Stats(Struct, frozen=True, kw_only=True):
    """The whole answer. Names of models that no upstream lists are counted as "other".

    at        seconds since the epoch
    running   turns that are under way, the oldest first
    refusals  requests that never became a turn, by the kind of their error (such as "authentication")
    counters  corrections and findings by name; `json_repair_total` is the sum of the repairs
    minutes   the last 15 minutes, the oldest first; one in which no turn ended is left out
    """

    version: str
    at: float
    uptime_seconds: int
    running: tuple[Glimpse, ...]
    overall: Share
    wires: dict[str, Share]
    upstreams: dict[str, Share]
    models: dict[str, Share]
    keys: dict[str, Share]
    gates: dict[str, GateState]
    quotas: dict[str, QuotaState]
    refusals: dict[str, int]
    counters: dict[str, int]
    minutes: tuple[Minute, ...]
