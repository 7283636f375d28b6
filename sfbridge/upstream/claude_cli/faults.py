"""What the command says when it fails -> our words. Exit code 0 is not success; only a result line that says so is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sfbridge.core.errors import ErrorKind, GatewayError
from sfbridge.formats.claude_cli import Result
from sfbridge.upstream.words import code_word, one_line

NO_SESSION: Final = "cli_session_lost"
UNREACHABLE: Final = "upstream_unreachable"

_TOO_LONG: Final = re.compile(
    r"prompt is too long(?:.*?~?(?P<n>\d+) tokens.*?(?:limit|>) ?(?P<m>\d+))?", re.IGNORECASE
)
_LOST: Final = "No conversation found"
_LOGIN_WORDS: Final = re.compile(r"not logged in|/login|oauth token|invalid api key", re.IGNORECASE)
_SAID: Final = re.compile(r"^(?:API Error: (?:\d{3} )?)+")

# By status: kind, code, sentence, whether it may be tried again.
_STATUSES: Final[Mapping[int, tuple[ErrorKind, str, str, bool | None]]] = {
    400: ("invalid_request", "upstream_400", "Anthropic refused the request", False),
    402: ("upstream_login", "cli_billing", "The account behind the claude command cannot pay", False),
    403: ("upstream_refused", "upstream_403", "Anthropic does not allow this", False),
    404: ("not_found", "model_not_found", "The claude command has no such model", False),
    413: ("too_large", "upstream_413", "The request is larger than Anthropic takes", False),
    429: ("rate_limited", "upstream_429", "The rate limit behind the claude command is reached", None),
    503: ("overloaded", "upstream_503", "Anthropic is not ready", None),
    529: ("overloaded", "upstream_529", "Anthropic is overloaded", None),
}  # fmt: skip
# The words of `assistant.error`, for failures without a status.
_WORDS: Final[Mapping[str, int]] = {
    "authentication_failed": 401,
    "billing_error": 402,
    "rate_limit": 429,
    "invalid_request": 400,
    "model_not_found": 404,
    "overloaded": 529,
}
_LOGIN: Final = (
    "The claude command is not logged in, or its key is refused. "
    "Run `claude` once and log in, or set api_key of this upstream"
)


def fault_of(result: Result, word: str) -> GatewayError:
    """The failure that a result line tells of. `word` is what the line of the answer called it."""
    told = result.result or ""
    if result.errors:
        told = (
            "; ".join([told, *map(str, result.errors)])
            if told
            else "; ".join(map(str, result.errors))
        )
    words = one_line(_SAID.sub("", told))
    codes = (result.subtype, result.terminal_reason, str(result.status or ""), word)
    detail = " ".join(filter(None, (code_word(each or "") for each in codes)))
    if _LOST in told:
        return GatewayError("upstream_failed", "The session is gone.", code=NO_SESSION)
    overflow = _TOO_LONG.search(told.replace(",", ""))
    if overflow is not None:
        n, m = overflow["n"], overflow["m"]
        return GatewayError(
            "context_overflow",
            "The prompt is too long for the model.",
            said=words,
            code="context_length_exceeded",
            tokens=(int(n), int(m)) if n and m else None,
            counted=bool(n and m),
            retriable=False,
            detail=detail,
        )
    status = result.status or _WORDS.get(word, 0)
    if status == 401 or (not status and _LOGIN_WORDS.search(told)):
        return GatewayError(
            "upstream_login",
            f"{_LOGIN}.",
            said=words,
            code="cli_login",
            retriable=False,
            detail=detail,
        )
    kind, code, says, again = _STATUSES.get(
        status, ("upstream_failed", "cli_failed", "The claude command could not answer", None)
    )
    return GatewayError(
        kind,
        f"{says}.",
        said=words,
        code=code,
        param="model" if code == "model_not_found" else None,
        retriable=again,
        detail=detail,
    )


def denied(names: tuple[str, ...]) -> GatewayError:
    """A run that ended without a word because it was not permitted what it wanted to do."""
    shown = ", ".join(dict.fromkeys(names))
    return GatewayError(
        "upstream_refused",
        f"The claude command was not permitted to use {shown}, and said nothing else. "
        "Its own tools are permitted by `tools` of this upstream.",
        code="cli_denied",
        retriable=False,
    )


def wrong_billing(wanted: str, source: str) -> GatewayError:
    """The CLI would let somebody else pay than the configuration says."""
    return GatewayError(
        "upstream_login",
        f"The claude command takes its key from {one_line(source, 60)!r}, but this upstream is set to "
        f"billing = {wanted!r}. Nothing was asked.",
        code="cli_billing",
        retriable=False,
    )


def cut() -> GatewayError:
    """The answer broke off after its first words; the CLI would begin it anew."""
    return GatewayError(
        "upstream_failed",
        "The answer broke off behind the claude command; nothing more of it is to be had.",
        code="upstream_cut",
    )


def ended(code: int | None, said: str, *, begun: bool, reused: bool) -> GatewayError:
    """The process ended before its answer was whole. One that had waited for us may be replaced. What it `said` may quote
    the prompt, and tells of this machine, so it is shown to nobody here."""
    how = f"was ended by signal {-code}" if code and code < 0 else f"ended with exit code {code}"
    if reused and not begun:
        return GatewayError(
            "upstream_failed",
            "The waiting claude process was gone.",
            code=UNREACHABLE,
        )
    if not begun and _LOST in said:
        return GatewayError("upstream_failed", "The session is gone.", code=NO_SESSION)
    return GatewayError(
        "upstream_failed",
        f"The claude process {how} before its answer was complete.",
        code="upstream_truncated",
    )


def silent(seconds: float, *, begun: bool) -> GatewayError:
    says = "fell silent in the middle of its answer" if begun else "did not begin to answer"
    return GatewayError(
        "timeout",
        f"The claude process {says}; it was ended after {seconds:g} s.",
        code="upstream_silent",
    )


def garbled(what: str) -> GatewayError:
    return GatewayError(
        "upstream_failed",
        "The claude command printed something that is not its protocol.",
        code="upstream_garbled",
        detail=what,
    )
