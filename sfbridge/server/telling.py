"""What is told of a request when it has ended: its receipt for the journal, its numbers, and one line for the log."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Final

from aiohttp import hdrs, web
from msgspec import Struct
from msgspec.structs import replace

from sfbridge.core.receipt import Receipt
from sfbridge.core.stream import Usage
from sfbridge.emulation import REPAIRS
from sfbridge.exchange import Exchange
from sfbridge.policy.quoting import contents_of, ends, without_quotes

from .keys import (
    ASKED,
    BODY,
    EXCHANGE,
    GENERATION,
    GENERATIONS,
    JOURNAL,
    KEY_ID,
    RUNNING,
    STATISTICS,
    WIRE,
)
from .paths import DASHBOARD, door_of

_log = logging.getLogger("sfbridge.server")

_MOST_WORD: Final = 80
_SPELT: Final = re.compile(r"\\u([0-9a-fA-F]{4})")


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request. Times are milliseconds; `status` is absent where the client left before there was one.

    Quotes nothing that was said: errors are told without it.
    """

    id: str
    method: str
    path: str
    status: int | None = None
    client: str = ""
    key: str = ""
    model: str = ""
    upstream: str = ""
    target: str = ""
    input: int | None = None
    output: int | None = None
    estimated: bool = False
    attempts: int = 0
    rounds: int = 0
    accepted_ms: int | None = None
    first_ms: int | None = None
    total_ms: int
    verdict: str = ""
    error_kind: str = ""
    error: str = ""
    detail: str = ""
    upstream_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(filter(None, self._words()))

    def _words(self) -> Iterator[str]:
        yield f"{self.id} {self.method} {self.path} {self.status or 'client left'}"
        if self.model:
            yield self.model if self.target in ("", self.model) else f"{self.model} ({self.target})"
            yield f"at {self.upstream}," if self.upstream else ""
        if self.output is not None:
            about = "about " if self.estimated else ""
            yield f"{about}{self.input or 0} in {self.output} out,"
        yield f"{self.total_ms} ms"
        if self.first_ms is not None:
            yield f"(first words {self.first_ms} ms)"
        if self.attempts > 1:
            yield f"{self.attempts} attempts"
        yield f"for {self.client}" if self.client else ""
        yield f"[{self.key}]" if self.key else ""
        if self.error_kind:
            yield f"- {self.error_kind}: {self.error} {self.detail}".rstrip()
            yield " ".join(self.upstream_ids)


def told(request: web.Request, *, status: int | None) -> None:
    """Count the request, keep its receipt if a turn was asked for, and write the line."""
    app, exchange = request.app, request[EXCHANGE]
    receipt = _receipt(request, left=status is None)
    if receipt is not None:
        _count(request, receipt)
        app[JOURNAL].add(receipt)
        app[RUNNING].end(exchange.id)
    elif exchange.error is not None and not door_of(request).startswith(DASHBOARD):
        # the dashboard asks whether it may look; that is nobody's request refused
        app[STATISTICS].refuse(request[WIRE].name, exchange.error.kind)
    failure = exchange.error
    faulty = failure is not None and (
        failure.kind.startswith("upstream") or failure.kind == "internal"
    )
    level = logging.WARNING if faulty else logging.INFO
    if _log.isEnabledFor(level):
        _log.log(level, _line(request, status, receipt))


def _count(request: web.Request, receipt: Receipt) -> None:
    """Under names that the configuration knows; a client's own names would make any number of series."""
    routes = request[GENERATION].gateway.planner.routes
    if receipt.upstream:
        upstream, model = receipt.upstream, routes.label(receipt.upstream, receipt.target)
    else:
        upstream, model = routes.labels(receipt.model)
    repairs = sum([n for name, n in receipt.notes.items() if name in REPAIRS])
    request.app[STATISTICS].add(receipt, upstream=upstream, model=model, repairs=repairs)


def said(request: web.Request) -> Iterator[str]:
    """Every text of the request's conversation that is known so far, for those who must not repeat it."""
    exchange, asked = request[EXCHANGE], request.get(ASKED)
    if asked is None:
        body = ends(request.get(BODY, b"").decode("utf-8", "replace"))
        yield body
        # as our own words would quote what JSON spells out
        yield _SPELT.sub(lambda found: chr(int(found[1], 16)), body)
        return
    yield from contents_of(asked)
    yield "".join(exchange.answered)
    yield from (fault.raw for fault in exchange.faults)
    yield from (call.arguments for call in exchange.calls)


def _receipt(request: web.Request, *, left: bool) -> Receipt | None:
    asked = request.get(ASKED)
    if asked is None:
        return None
    # a reload may have turned it off while the turn was under way
    now = request.app[GENERATIONS].now.config.journal.contents
    contents = now and request[GENERATION].config.journal.contents
    receipt = request[EXCHANGE].receipt(request[WIRE].name, asked, left=left, contents=contents)
    if not (receipt.error or receipt.faults):
        return receipt
    secret = tuple(said(request))
    return replace(
        receipt,
        error=without_quotes(receipt.error, secret),
        faults=tuple(without_quotes(fault, secret) for fault in receipt.faults),
    )


def _line(request: web.Request, status: int | None, receipt: Receipt | None) -> Line:
    exchange = request[EXCHANGE]
    kind, error, detail = _failure(request, exchange)
    if receipt is None:
        return Line(
            id=exchange.id,
            method=request.method,
            path=_word(request.path),
            status=status,
            client=_word(request.headers.get(hdrs.USER_AGENT, "")),
            key=request.get(KEY_ID, ""),
            total_ms=exchange.elapsed_ms,
            error_kind=kind,
            error=error,
            detail=detail,
        )
    tokens = _tokens(exchange, receipt)
    return Line(
        id=exchange.id,
        method=request.method,
        path=_word(request.path),
        status=status,
        client=_word(receipt.client),
        key=receipt.key,
        model=_word(receipt.model),
        upstream=receipt.upstream,
        target=_word(receipt.answered_by or receipt.target),
        input=tokens.input,
        output=tokens.output,
        estimated=tokens.estimated,
        attempts=receipt.attempts,
        rounds=receipt.rounds,
        accepted_ms=receipt.accepted_ms,
        first_ms=receipt.first_ms,
        total_ms=receipt.total_ms,
        verdict=receipt.verdict,
        error_kind=kind,
        error=error,
        detail=detail,
        upstream_ids=receipt.upstream_ids if kind else (),
    )


def _tokens(exchange: Exchange, receipt: Receipt) -> Usage:
    """What the turn came to: as it was reported, or where it ended too early for that, what it must have come to."""
    if receipt.output is not None or not exchange.tokens:
        return Usage(input=receipt.input, output=receipt.output, estimated=receipt.estimated)
    sent = receipt.prompt_estimate * (receipt.rounds + 1)
    return Usage(input=sent, output=max(0, exchange.tokens - sent), estimated=True)


def _failure(request: web.Request, exchange: Exchange) -> tuple[str, str, str]:
    failure = exchange.error
    if failure is None:
        return "", "", ""
    secret = tuple(said(request))
    message = without_quotes(failure.message, secret)
    return failure.kind, message, without_quotes(failure.detail, secret)


def _word(text: str) -> str:
    """A client's own word as part of a line: short, and without line breaks or control characters."""
    if len(text) > _MOST_WORD:
        text = text[:_MOST_WORD] + "…"
    # bytes that are no UTF-8 count as unprintable, too
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
