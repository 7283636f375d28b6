"""An error answer of the Models API -> GatewayError. Status first, body second, text patterns last.

E30036 is looked for before any other overflow, because its text also says "token limit". Sources: the
published OpenAPI file for the envelope and the statuses, captured bodies for the codes and texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from sfbridge.core.errors import ErrorKind, GatewayError
from sfbridge.formats.salesforce import Envelope
from sfbridge.upstream.http import retry_after
from sfbridge.upstream.words import code_word, one_line

# What clients are told of as the one who failed.
WHO: Final = "Salesforce"
MASKING_CAP: Final = 65536
_MASKING_CODE: Final = "E30036"

_envelope = msgspec.json.Decoder(Envelope)

# (prompt, limit) in the words of Anthropic, OpenAI and Google; the group names say which number is which.
_OVERFLOWS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        r"prompt is too long:\s*(?P<n>[\d,]+)\s*tokens\s*>\s*(?P<m>[\d,]+)",
        r"exceed context limit:\s*(?P<n>[\d,]+)\s*\+\s*(?P<more>[\d,]+)\s*>\s*(?P<m>[\d,]+)",
        r"maximum context length is\s*(?P<m>[\d,]+)\s*tokens.{0,80}?(?P<n>\d[\d,]*)\s*tokens",
        r"input token count \(?(?P<n>[\d,]+)\)? exceeds the maximum.{0,60}?(?P<m>\d[\d,]+)",
    )
)
_OVERFLOW_WORDS: Final = re.compile(
    r"prompt is too long|input is too long|context[ _]length[ _]exceeded|maximum context length"
    r"|exceeds? the (?:model'?s )?context window",
    re.IGNORECASE,
)
_BETA: Final = "It is a beta model, which an admin must enable first."
_TOO_MANY_BYTES: Final = "The request is larger than Salesforce takes."

_REDIRECTS: Final = "Salesforce answers with a redirect, which is not followed; see api_url"
_FAILED: Final = dict.fromkeys((301, 302, 303, 307, 308), _REDIRECTS)

# What a body says when the status says nothing (a 200, or a frame in mid-stream).
_BY_CODE: Final[Mapping[str, int]] = {
    "LIMIT_EXCEEDED": 429,
    "BAD_ARGUMENT": 400,
    "REQUIRED_FIELD_MISSING": 400,
    "INVALID_AUTH": 401,
    "NOT_FOUND": 404,
    "INTERNAL_ERROR": 500,
    # Anthropic's error types, and Bedrock's exceptions in any spelling
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 503,
    "timeout_error": 504,
    "validationexception": 400,
    "accessdeniedexception": 403,
    "resourcenotfoundexception": 404,
    "throttlingexception": 429,
    "servicequotaexceededexception": 429,
    "modelnotreadyexception": 503,
    "serviceunavailableexception": 503,
    "modeltimeoutexception": 504,
    "internalserverexception": 500,
    "modelstreamerrorexception": 500,
}


class Asked(Struct, frozen=True, kw_only=True):
    """What an error message may say about the request that failed.

    size    bytes of its body
    proven  whether this API has answered since the start, so that a 404 is about the model
    status  the model's, as our table has it
    """

    model: str
    size: int = 0
    proven: bool = False
    window: int | None = None
    status: str = ""


class Unauthorised(GatewayError):
    """HTTP 401: the adapter renews the token and repeats once; if that fails too, this is what is told."""

    def __init__(self, words: str, detail: str) -> None:
        super().__init__(
            "upstream_login",
            "Salesforce refuses the token that it issued, also a new one. See that the External Client App "
            "has the scopes api and sfap_api.",
            said=words,
            code="salesforce_unauthorised",
            retriable=False,
            detail=detail,
        )


def fault(
    status: int, headers: Mapping[str, str], body: bytes, asked: Asked, wall: float
) -> GatewayError:
    """The failure behind an answer with an error status, or with an error body under a 200."""
    envelope = envelope_of(body)
    detail = " ".join(
        word
        for word in (f"HTTP {status}", code_word(envelope.code), code_word(envelope.detail_code))
        if word
    )
    if status < 300:
        status = _BY_CODE.get(envelope.code, 0)
    return _fault(status, envelope, asked, retry_after(headers, wall), detail)


def fault_in_stream(word: str, body: bytes, asked: Asked) -> GatewayError:
    """The failure behind an error frame; `word` is its type where the frame has one beside the body."""
    envelope = envelope_of(body)
    status = _BY_CODE.get(word) or _BY_CODE.get(word.lower()) or _BY_CODE.get(envelope.code, 0)
    detail = f"in the stream: {code_word(word)} {code_word(envelope.code)}".rstrip()
    return _fault(status, envelope, asked, None, detail)


def envelope_of(body: bytes) -> Envelope:
    """The error envelope of a body; one with the text alone where it is not JSON of that kind."""
    try:
        return _envelope.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        text = body[:2000].decode("utf-8", "replace").strip()
        if not text or text[:1] == "<":
            return Envelope()
        return Envelope(message=text)


def traces(headers: Mapping[str, str]) -> list[str]:
    """The ids that Salesforce's support asks for."""
    return [
        f"{name}={one_line(value, 80)}"
        for name in ("x-request-id", "x-b3-traceid")
        if (value := headers.get(name, ""))
    ]


def _fault(
    status: int, envelope: Envelope, asked: Asked, wait: float | None, detail: str
) -> GatewayError:
    words = one_line(envelope.words)
    if envelope.detail_code == _MASKING_CODE:
        return _masked(asked, detail)
    if status in (400, 413, 422) and (overflow := _overflow(envelope.words, asked, detail)):
        return overflow
    match status:
        case 401:
            return Unauthorised(words, detail)
        case 403:
            return _refused(words, asked, detail)
        case 404:
            return _not_found(words, asked, detail)
        case 413:
            return GatewayError(
                "too_large", _TOO_MANY_BYTES, said=words, retriable=False, detail=detail
            )
        case 400 | 422:
            return GatewayError(
                "invalid_request",
                "Salesforce refused the request.",
                said=words,
                code="upstream_invalid_request",
                retriable=False,
                detail=detail,
            )
        case _:
            return _passing(status, words, wait, detail)


def _passing(status: int, words: str, wait: float | None, detail: str) -> GatewayError:
    """Failures that are not the request's fault."""
    kind: ErrorKind
    if status == 429:
        kind, message = "rate_limited", "The rate limit of the Salesforce org is reached"
    elif status in (423, 503, 529):
        kind, message = "overloaded", "Salesforce is busy"
    elif status in (408, 504):
        kind, message = "timeout", "Salesforce did not get an answer from the model in time"
    else:
        kind, message = "upstream_failed", _FAILED.get(status, "Salesforce failed to answer")
    code = f"upstream_{status}" if status else "upstream_error"
    return GatewayError(kind, f"{message}.", said=words, retry_after=wait, code=code, detail=detail)


def _masked(asked: Asked, detail: str) -> GatewayError:
    guess = max(asked.size // 4, MASKING_CAP + 1)
    return GatewayError(
        "context_overflow",
        "The prompt is too long for an org with data masking on, which Salesforce documents to be "
        f"{MASKING_CAP} tokens for prompt and answer of every model. Both numbers are estimates: Salesforce "
        "gives none. An admin can turn data masking off in the Einstein Trust Layer settings.",
        code="salesforce_masking_cap",
        tokens=(guess, MASKING_CAP),
        retriable=False,
        detail=detail,
    )


def _overflow(words: str, asked: Asked, detail: str) -> GatewayError | None:
    tokens: tuple[int, int] | None = None
    for pattern in _OVERFLOWS:
        if found := pattern.search(words):
            numbers = {k: int(v.replace(",", "") or 0) for k, v in found.groupdict().items()}
            tokens = (numbers["n"] + numbers.get("more", 0), numbers["m"])
            break
    else:
        if not _OVERFLOW_WORDS.search(words):
            return None
        if asked.window is not None:
            tokens = (max(asked.size // 4, asked.window + 1), asked.window)
    return GatewayError(
        "context_overflow",
        "The prompt is too long for the model.",
        said=one_line(words),
        code="context_length_exceeded",
        tokens=tokens,
        retriable=False,
        detail=detail,
    )


def _refused(words: str, asked: Asked, detail: str) -> GatewayError:
    hint = (
        _BETA
        if asked.status == "beta"
        else "The Run As user may lack the permission, or the model may be switched off in the org."
    )
    return GatewayError(
        "upstream_refused",
        f"Salesforce does not let this org use the model {asked.model}.",
        said=words,
        remedy=hint,
        code="upstream_forbidden",
        retriable=False,
        detail=detail,
    )


def _not_found(words: str, asked: Asked, detail: str) -> GatewayError:
    """404 may be about the model, the token or the org; what has worked before tells them apart."""
    if asked.proven:
        return GatewayError(
            "not_found",
            f"This org does not offer the model {asked.model}.",
            said=words,
            remedy=_BETA if asked.status == "beta" else "",
            code="model_not_found",
            param="model",
            retriable=False,
            detail=detail,
        )
    return GatewayError(
        "not_found",
        "Salesforce answered 404.",
        said=words,
        remedy=f"With this API that has one of several causes: the model name {asked.model} is unknown in the org; the "
        "External Client App lacks the scope sfap_api; the org is not entitled to the Models API; or api_url is wrong. "
        "Try another model first, then look at the app.",
        code="upstream_not_found",
        retriable=False,
        detail=detail,
    )
