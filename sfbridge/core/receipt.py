"""What is kept of a turn after it ended: what was asked, done, changed, and what it came to."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Contents(Struct, frozen=True, kw_only=True):
    """What was said, kept only where the configuration allows it; cut to some thousand characters each. `error` is
    what the client was told of a failure, in the upstream's words."""

    asked: str = ""
    answered: str = ""
    calls: tuple[str, ...] = ()
    error: str = ""


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn. Times are milliseconds since it began, None where a step was not reached.

    verdict    "whole", "failed", or "left" when the client went away
    emulated   what the upstream could not do: "tools", "shape", "stop", "stream"
    notes      corrections and findings by the names of `emulation`, history repairs among them
    prefix_broke  where the prompt no longer begins as the conversation's last one did
    ran        what the upstream did by itself, such as tools that it ran
    attempts   upstream calls that were begun; `rounds` of them because an answer was faulty
    downgraded a finished answer was replayed as a stream, or a stream forced into JSON
    heartbeats signs of life that were sent into the silent stream
    prepared_ms  when it was decided what to ask whom; the queue comes after that
    connected_ms  when there was a way to the upstream; None also where a proxy may be in between
    retried_ms  when a call was begun again, the wait after its refusal being over
    asked_again_ms  when a faulty answer was shown to the model
    queued_ms  how long it waited for a place at its upstreams' gates
    tokens     as reported, `estimated` where we counted ourselves
    """

    id: str
    at: float
    wire: str
    client: str = ""
    key: str = ""
    model: str
    upstream: str = ""
    target: str = ""
    answered_by: str = ""
    stream: bool = False
    tools: int = 0
    emulated: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    verdict: Literal["whole", "failed", "left"]
    reason: str = ""
    error_kind: str = ""
    error: str = ""
    attempts: int = 0
    retries: int = 0
    rounds: int = 0
    queued_ms: int = 0
    downgraded: bool = False
    heartbeats: int = 0
    auth_refreshes: int = 0
    notes: dict[str, int] = {}
    prefix_broke: str = ""
    faults: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    ran: tuple[str, ...] = ()
    prompt_estimate: int = 0
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    estimated: bool = False
    prepared_ms: int | None = None
    connected_ms: int | None = None
    retried_ms: tuple[int, ...] = ()
    asked_again_ms: tuple[int, ...] = ()
    accepted_ms: int | None = None
    first_ms: int | None = None
    total_ms: int
    upstream_ids: tuple[str, ...] = ()
    contents: Contents | None = None


class Glimpse(Struct, frozen=True, kw_only=True):
    """A turn under way. `phase`: "planned" before anything was asked, "queued" at its upstream's gate, "asked",
    "accepted" by the upstream, "answering" from its first word on. `pieces` of the answer have left so far."""

    id: str
    at: float
    wire: str
    client: str
    key: str
    model: str
    upstream: str
    target: str
    stream: bool
    tools: int
    phase: Literal["planned", "queued", "asked", "accepted", "answering"]
    attempts: int
    retries: int
    rounds: int
    pieces: int
    queued_ms: int
    elapsed_ms: int
