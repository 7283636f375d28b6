"""What is kept of a turn after it ended: what was asked, done, changed, and what it came to."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Contents(Struct, frozen=True, kw_only=True):
    """What was said, kept only where the configuration allows it; cut to some thousand characters each."""

    asked: str = ""
    answered: str = ""
    calls: tuple[str, ...] = ()


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn. Times are milliseconds since it began, None where a step was not reached.

    verdict    "whole", "failed", or "left" when the client went away
    emulated   what the upstream could not do: "tools", "shape", "stop", "stream"
    notes      corrections and findings by the names of `emulation`, history repairs among them
    prefix_broke  where the prompt no longer begins as the conversation's last one did
    attempts   upstream calls that were begun; `rounds` of them because an answer was faulty
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
    auth_refreshes: int = 0
    notes: dict[str, int] = {}
    prefix_broke: str = ""
    faults: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    prompt_estimate: int = 0
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    estimated: bool = False
    prepared_ms: int | None = None
    accepted_ms: int | None = None
    first_ms: int | None = None
    total_ms: int
    upstream_ids: tuple[str, ...] = ()
    contents: Contents | None = None
