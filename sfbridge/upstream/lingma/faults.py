"""Every way in which an ask can fail, in words for the client. The vendor's own texts may be Chinese, and may hold
addresses and tokens: decisions are made by code, and what is shown is cleaned and short."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from sfbridge.core.errors import ErrorKind, GatewayError
from sfbridge.formats.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, Fault
from sfbridge.upstream.words import one_line

LOGIN_REQUIRED: Final = "lingma_login_required"
UNAVAILABLE: Final = "lingma_unavailable"
DISCONNECTED: Final = "upstream_disconnected"
UNKNOWN_SESSION: Final = -32001

_MOST_SHOWN: Final = 300
_ADDRESS: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_PAIR: Final = re.compile(
    r"(?i)([\w-]*(?:token|secret|password|api[_-]?key|access[_-]?key|ticket|cookie)[\"']?)\s*[=:]\s*[\"']?[^\s\"',;}]+"
)
_OPAQUE: Final = re.compile(r"(?<![\w-])(?=[\w-]*\d)[\w-]{24,}")


class Lost(Exception):
    """The connection to the process ended, or the process did."""


class Refused(Exception):
    """The process answered a request with an error."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault

    @property
    def unknown_method(self) -> bool:
        return self.fault.code == METHOD_NOT_FOUND


class _Meaning(NamedTuple):
    kind: ErrorKind
    words: str
    code: str


_CODES: Final[Mapping[int, _Meaning]] = {
    400: _Meaning("invalid_request", "Lingma calls the request a bad one", "lingma_bad_request"),
    403: _Meaning("permission", "Lingma does not allow this request", "lingma_forbidden"),
    408: _Meaning("timeout", "Lingma's own service took too long", "lingma_timeout"),
    429: _Meaning("rate_limited", "Lingma's limits for this account are reached", "lingma_limit"),
    80408: _Meaning("timeout", "Lingma's own service took too long", "lingma_timeout"),
}
FILTERED: Final = frozenset((406, 601))
LOGIN_CODES: Final = frozenset((401, 403))
TIMEOUTS: Final = frozenset((408, 80408))
# A vendor's limit is told without a time; soon enough to be of use, late enough not to add to it.
_LIMIT_SECONDS: Final = 60.0


def ended(code: int, reason: str) -> GatewayError:
    """What a finish with a code other than success means."""
    meaning = _CODES.get(code)
    said = clean(reason)
    if meaning is None:
        words = f"Lingma ended the answer with its code {code}."
        return GatewayError("upstream_failed", words, said=said, code="lingma_failed")
    retry_after = _LIMIT_SECONDS if meaning.kind == "rate_limited" else None
    return GatewayError(
        meaning.kind, f"{meaning.words}.", said=said, code=meaning.code, retry_after=retry_after
    )


def refused(fault: Fault) -> GatewayError:
    """What a refused ask means."""
    return GatewayError(
        "upstream_failed",
        "Lingma did not take the question.",
        said=clean(fault.message) or "no reason given",
        code="lingma_refused",
        detail=f"code {fault.code}",
    )


def busy(fault: Fault) -> bool:
    """Whether another question is in the way, so that it is worth waiting a moment."""
    words = fault.message.lower()
    return fault.code in (0, INVALID_PARAMS) and ("in progress" in words or "busy" in words)


def login_required(why: str) -> GatewayError:
    """503 rather than 401, which clients would take for their own key's fault."""
    return GatewayError(
        "overloaded",
        f"No Lingma instance can answer: {why}. Log in with the vendor's own IDE or plugin on this machine, "
        "then restart sfbridge, or wait a minute if the instance is attached.",
        code=LOGIN_REQUIRED,
        retriable=False,
    )


def unavailable(why: str) -> GatewayError:
    return GatewayError(
        "upstream_failed", f"No Lingma instance can answer: {why}.", code=UNAVAILABLE
    )


def disconnected() -> GatewayError:
    return GatewayError(
        "upstream_failed",
        "The Lingma process ended, or closed its connection, before the answer was whole.",
        code=DISCONNECTED,
    )


def cancelled() -> GatewayError:
    return GatewayError(
        "upstream_failed",
        "The answer was cancelled on Lingma's side, though nobody here asked for it.",
        code="lingma_cancelled",
    )


def too_slow(what: str, seconds: float, key: str) -> GatewayError:
    return GatewayError(
        "timeout", f"Lingma {what} for {seconds:g} s ({key}).", code="lingma_timeout"
    )


def clean(text: str) -> str:
    """A vendor's words without addresses and without anything that looks like a secret."""
    text = _ADDRESS.sub("[address]", text[: _MOST_SHOWN * 4])
    text = _PAIR.sub(r"\1=[hidden]", text)
    return one_line(_OPAQUE.sub("[hidden]", text), _MOST_SHOWN).rstrip(".")
