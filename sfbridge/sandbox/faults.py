"""Misbehaviour by model name, to be tried from any client by hand.

A name that ends in `sandbox-<fault>` is answered by a model with that fault. What stands before it decides
the family, and so the dialect on surface B: `sfdc_ai__Defaultsandbox-429` and `sandbox-429` are OpenAI's,
`sfdc_ai__DefaultBedrockAnthropic-sandbox-cut` is Anthropic's, `sfdc_ai__DefaultVertexAI-sandbox-cut` Google's.
`…-once` faults strike every first of two requests.

    echo                 none; answers as the others do
    slow-first           waits `slow_seconds` before the first byte; `slow-<seconds>` that long
    stall                sends half of the answer, then nothing, and keeps the connection
    cut                  sends half of the answer, then half a frame, and closes the connection
    bad-json             a frame (or the body) is not JSON
    error-mid            an error event or exception frame in mid-stream; a whole body is a 200 error
    200-json-error       200 with an error envelope as JSON, also where a stream was asked for
    html                 502 with an HTML page
    empty                a well-formed answer that says nothing
    429 429-ra 429-once  rate limit; `ra` adds `Retry-After: 1`
    423 500 503          also `500-once` and `503-once`
    401-once             revokes the token that was used: 401 until another one comes
    403 overflow masking forbidden; prompt beyond the window; prompt beyond the masking cap
    chunks-<n>           an answer of n small deltas
    length               the output limit ends the text in its middle
    toxic                the toxicity scan reports the text
    split-tool           calls whose arguments come character by character, frames split anywhere
    cut-call             the output limit ends the answer inside a call
    bad-call             the first call breaks the tool's schema; asked again, the model corrects it
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from .refusal import Refusal

_NAME: Final = re.compile(r"sandbox-([a-z0-9][a-z0-9.-]*)$")
_AMOUNT: Final = re.compile(r"(slow|chunks)-(\d+(?:\.\d+)?)")
_KINDS: Final = frozenset((
    "echo", "slow-first", "stall", "cut", "bad-json", "error-mid", "200-json-error", "html",
    "empty", "401-once", "length", "toxic", "split-tool", "cut-call", "bad-call",
))  # fmt: skip
_STATUSES: Final = {
    "403": (403, "NOT_FOUND", "The user may not use this resource."),
    "423": (423, "NOT_FOUND", "The server is busy."),
    "429": (429, "LIMIT_EXCEEDED", "The rate limit of the org was exceeded."),
    "500": (500, "INTERNAL_ERROR", "An internal error occurred."),
    "503": (503, "INTERNAL_ERROR", "The service is unavailable."),
    "overflow": (400, "BAD_ARGUMENT", "prompt is too long: 208310 tokens > 200000 maximum"),
    "masking": (400, "BAD_ARGUMENT", ""),
}
MASKING_MESSAGE: Final = "Prompt size exceeds the token limit for when PII is enabled."
_HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>\n"


class Fault(Struct, frozen=True):
    """What is wrong with a model. `amount` belongs to `slow` (seconds) and `chunks` (deltas)."""

    kind: str = "echo"
    amount: float = 0.0
    once: bool = False


NONE: Final = Fault()


def fault_of(model: str) -> Fault | None:
    """The fault that a model name asks for; None when it asks for none that exists."""
    found = _NAME.search(model)
    if found is None:
        return None
    word = found.group(1)
    if word in _KINDS:
        return Fault(word, once=word.endswith("-once"))
    if sized := _AMOUNT.fullmatch(word):
        return Fault(sized.group(1), float(sized.group(2)))
    once = word.endswith("-once")
    status = word.removesuffix("-once").removesuffix("-ra")
    return Fault(word.removesuffix("-once"), once=once) if status in _STATUSES else None


def refusal_of(fault: Fault) -> Refusal | None:
    """The answer of a fault that is nothing but an error answer."""
    if fault.kind == "html":
        return Refusal(502, "", "Bad Gateway", body=_HTML, content_type="text/html")
    if fault.kind == "masking":
        return Refusal(400, "BAD_ARGUMENT", MASKING_MESSAGE, message_code="E30036")
    kind = fault.kind.removesuffix("-ra")
    if kind not in _STATUSES:
        return None
    status, code, message = _STATUSES[kind]
    return Refusal(status, code, message, retry_after=1 if kind != fault.kind else None)
