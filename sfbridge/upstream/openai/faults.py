"""An error answer of an OpenAI-compatible server -> GatewayError: one table of known texts, then the status.

Texts go before statuses here, because these servers answer an overflow with 400, 413, 500 or inside a 200. Those of
llama.cpp and llama-cpp-python stand in their sources (0.3.36); llama.cpp's overflow and refusals of tools were seen
to be so by tests/live. Those of vLLM, SGLang, text-generation-inference, Ollama and LM Studio are as people quote
them in public issues and in programs that match them; no such server was asked. What is not in the table is told by
its status, in the server's own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from sfbridge.core.errors import ErrorKind, GatewayError
from sfbridge.formats.openai_answer import ErrorBody, ErrorEnvelope
from sfbridge.upstream.http import retry_after
from sfbridge.upstream.words import code_word, one_line

# What clients are told of as the one who failed.
WHO: Final = "The model server"
# Codes that the adapter acts on.
ROLES: Final = "upstream_template_roles"
LOADING: Final = "upstream_loading"
NO_MODEL: Final = "model_not_found"

_envelope = msgspec.json.Decoder(ErrorEnvelope)


class Asked(Struct, frozen=True, kw_only=True):
    """What an error message may say about the request that failed.

    stream  whether its answer was asked for as a stream
    size    bytes of its body
    output  tokens that its answer may have; 0: it does not say
    window  tokens, as far as anybody knows; `sure` when somebody said so
    """

    model: str
    stream: bool = False
    size: int = 0
    output: int = 0
    window: int | None = None
    sure: bool = False


class Refusal(NamedTuple):
    """An error body in one form. `numbers` are llama.cpp's (prompt tokens, window)."""

    words: str
    word: str
    status: int
    numbers: tuple[int, int] | None


# ---- overflow

# n: tokens of the prompt (with `more` on top, where the answer was counted too), m: the window
_OVERFLOWS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # llama.cpp
        r"request \(?(?P<n>\d+) tokens\)? exceeds the available context size \(?(?P<m>\d+)",
        # vLLM: the limit on the answer does not fit beside the prompt
        r"max_(?:completion_)?tokens'? is too large: (?P<more>\d+).{0,80}?context length is (?P<m>\d+) tokens"
        r" and your request has (?P<n>\d+) input tokens",
        # OpenAI, vLLM, llama-cpp-python
        r"maximum context length is (?P<m>\d+) tokens.{0,120}?(?:requested(?: a total of)?|resulted in"
        r"|request has|prompt contains at least|prompt has|contains) (?P<n>\d+)",
        r"decoder prompt \(length (?P<n>\d+)\) is longer than the maximum model length of (?P<m>\d+)",
        r"input tokens exceed the configured limit of (?P<m>\d+) tokens.{0,80}?resulted in (?P<n>\d+)",
        r"requested tokens \((?P<n>\d+)\) exceed context window of (?P<m>\d+)",
        # SGLang, text-generation-inference
        r"input \(?(?P<n>\d+) tokens\)? is longer than the model'?s context length \(?(?P<m>\d+)",
        r"requested token count exceeds.{0,60}?context length of (?P<m>\d+) tokens.{0,60}?total of (?P<n>\d+)",
        r"must be <= (?P<m>\d+)\. Given: (?P<n>\d+) `inputs` tokens and (?P<more>\d+)",
        # LM Studio
        r"keep the first (?P<n>\d+) tokens.{0,120}?context length of only (?P<m>\d+)",
    )
)
_LIMIT_ALONE: Final = re.compile(
    r"(?:context (?:length|size|window) of|context length is|reached context length of) (?P<m>\d+)",
    re.IGNORECASE,
)
_OVERFLOW_WORDS: Final = re.compile(
    r"exceed(?:s|ed)? (?:the )?(?:available |maximum |model'?s )*context (?:size|length|window)"
    r"|context size has been exceeded|context[ _]length[ _]exceeded|exceed_context_size"
    r"|(?:input|prompt) (?:is )?too long|input length exceeds"
    r"|tokens to keep from the initial prompt is greater than the context"
    r"|reached context length of|maximum context length|context window of this model",
    re.IGNORECASE,
)


# ---- everything else that is known


class _Known(NamedTuple):
    """A text that servers are known to answer, and what to make of it.

    kind, code  of our error; `says` is told before the server's own words, `do` after them
    retriable   None leaves it to the kind
    """

    text: re.Pattern[str]
    kind: ErrorKind
    code: str
    says: str
    do: str = ""
    retriable: bool | None = False
    wait: float | None = None


def _known(
    text: str,
    kind: ErrorKind,
    code: str,
    says: str,
    do: str = "",
    *,
    again: bool = False,
    wait: float | None = None,
) -> _Known:
    pattern = re.compile(text, re.IGNORECASE | re.DOTALL)
    return _Known(pattern, kind, code, says, do, None if again else False, wait)


# First match counts.
_KNOWN: Final = (
    # not now
    _known(
        r"loading model|model is (?:still |currently )?(?:being )?load(?:ed|ing)",
        "overloaded", LOADING, "The model server is loading the model", again=True, wait=2.0,
    ),
    _known(
        r"server busy|maximum pending requests|currently overloaded|no slot available|queue is full",
        "overloaded", "upstream_busy", "The model server is busy", again=True, wait=1.0,
    ),
    _known(
        r"insufficient_quota|exceeded your current quota",
        "rate_limited", "insufficient_quota", "The account's quota is used up",
    ),
    # the model is not there
    _known(
        r"model .{0,200}not found|model .{0,200}does not exist|no such model|no models? (?:is |are )?loaded"
        r"|model_not_found|failed to load model|invalid model (?:name|identifier)",
        "not_found", NO_MODEL, "The model server does not offer the model {model}",
        "See its model list, or load the model there.",
    ),
    # templates
    _known(
        r"roles must alternate|after the optional system message",
        "invalid_request", ROLES, "The model's chat template refuses the order of the messages",
        "Models with such templates cannot follow every conversation.",
    ),
    _known(
        r"does not support tools|requires --jinja|requires --enable-auto-tool-choice|tool-call-parser"
        r"|does not support tool (?:calls|use|calling)",
        "unsupported", "upstream_no_tools", "The model server cannot call tools with this model",
        'Set tools = "emulated" for this upstream.',
    ),
    _known(
        r"invalid tool_choice",
        "unsupported", "upstream_tool_choice", "The model server does not know this tool choice",
        "Set profile to the family of the server.",
    ),
    _known(
        r"json schema conversion failed|failed to (?:parse|initialize) (?:grammar|samplers)"
        r"|pattern must start with|grammar is not valid|unsupported json schema|guided_json",
        "invalid_request", "upstream_schema", "The model server cannot use the schema of a tool or answer",
        'Simplify the schema, or set tools = "emulated" for this upstream.',
    ),
    _known(
        r"jinja|chat template|raise_exception|value is not callable|template is not supported|minja",
        "invalid_request", "upstream_template", "The model's chat template failed",
        "Another template can be given to the model server (llama.cpp: --jinja --chat-template-file).",
    ),
    # the answer could not be read by the server itself
    _known(
        r"(?:error|failed to|fail(?:ure|ed) (?:in|while)) pars(?:e|ing) (?:a |the )?(?:tool|function) ?calls?"
        r"|failed to parse (?:input at pos|messages)|invalid tool call"
        r"|output that does not match the expected .{1,40} format",
        "upstream_failed", "upstream_tool_parse",
        "The model wrote a tool call that its server could not read",
        'Ask again; if it happens often, set tools = "emulated" for this upstream.', again=True,
    ),
    # content
    _known(
        r"image input is not supported|not a multimodal model|at most 0 image|missing data required for image"
        r"|does not support (?:image|vision)|mmproj|image_url is only supported",
        "unsupported", "unsupported_content", "The model takes no images",
        "Leave the picture out, or choose a model that takes images.",
    ),
    _known(
        r"does not support thinking",
        "unsupported", "upstream_no_thinking", "The model cannot think on demand",
        "Leave reasoning_effort out.",
    ),
    # the machine
    _known(
        r"requires more system memory|out of memory|cudamalloc|failed to allocate",
        "upstream_failed", "upstream_memory", "The model server has too little memory for this",
    ),
    _known(
        r"runner process has terminated|model has crashed|model unloaded|enginedead|enginecore encountered"
        r"|llama runner|unexpected eof",
        "upstream_failed", "upstream_crashed", "The model broke down on its server", again=True,
    ),
)  # fmt: skip

_LOGIN: Final = "The model server refuses the key. Set api_key or api_key_file of this upstream"
_STATUSES: Final[Mapping[int, tuple[ErrorKind, str]]] = {
    400: ("invalid_request", "The model server refused the request"),
    403: ("upstream_refused", "The model server does not allow this"),
    404: ("not_found", "The model server has no such route; see base_url of this upstream"),
    408: ("timeout", "The model server did not finish in time"),
    413: ("too_large", "The request is larger than the model server takes"),
    422: ("invalid_request", "The model server refused the request"),
    429: ("rate_limited", "The model server's rate limit is reached"),
    501: ("unsupported", "The model server cannot do this"),
    503: ("overloaded", "The model server is not ready"),
    504: ("timeout", "The model server did not get an answer from the model in time"),
    529: ("overloaded", "The model server is busy"),
}
_FINAL: Final = frozenset((400, 403, 404, 413, 422, 501))
_BY_WORD: Final[Mapping[str, int]] = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthorized": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "notfounderror": 404,
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "rate_limit_exceeded": 429,
    "unavailable_error": 503,
    "not_supported_error": 501,
    "overloaded_error": 529,
}


def fault(
    status: int, headers: Mapping[str, str], body: bytes, asked: Asked, wall: float
) -> GatewayError:
    """The failure behind an answer with an error status."""
    return _fault(status, refusal_of(body), asked, retry_after(headers, wall))


def fault_in_stream(body: bytes, asked: Asked) -> GatewayError:
    """The failure behind an error object where an answer, or a piece of one, should be."""
    refusal = refusal_of(body)
    return _fault(refusal.status or _BY_WORD.get(refusal.word.lower(), 500), refusal, asked, None)


def silent_overflow(asked: Asked) -> GatewayError | None:
    """The overflow behind a stream of nothing, where the prompt (by its bytes, which are all that is known of it)
    and the answer that it asks for outgrow a window that somebody told; None where the numbers do not say so."""
    prompt = asked.size // 4
    told = asked.window if asked.sure else None
    return _unsaid(prompt, told) if told and prompt + asked.output > told else None


def empty_overflow(asked: Asked, prompt: int) -> GatewayError | None:
    """The overflow behind a whole answer of no words, as LM Studio gives it (lmstudio-bug-tracker, issue 2339); None
    where the prompt fits. `prompt` is the server's own count, 0 when it told none."""
    told = asked.window if asked.sure else None
    count = prompt or asked.size // 4
    return _unsaid(count, told) if told and count >= told else None


def _unsaid(prompt: int, window: int) -> GatewayError:
    return GatewayError(
        "context_overflow",
        "The prompt is too long for the model: its server answered with nothing.",
        code="context_length_exceeded",
        tokens=(max(prompt, window + 1), window),
        retriable=False,
    )


def refusal_of(body: bytes) -> Refusal:
    """An error body of any of the known forms; a text that is no JSON is taken as the message."""
    try:
        envelope = _envelope.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        text = body[:2000].decode("utf-8", "replace").strip()
        return Refusal("" if text[:1] == "<" else text, "", 0, None)
    error = envelope.error
    if not isinstance(error, ErrorBody):
        flat = error or envelope.message or _told(envelope.detail)
        error = ErrorBody(message=flat, type=envelope.type, code=envelope.code)
    code = error.code
    status = code if isinstance(code, int) and 400 <= code < 600 else 0
    numbers = None
    if error.n_prompt_tokens and error.n_ctx:
        numbers = (error.n_prompt_tokens, error.n_ctx)
    word = code if isinstance(code, str) and code else error.type or ""
    return Refusal(error.message or "", word, status, numbers)


def _told(detail: object) -> str:
    """FastAPI's `detail`: a text, or a list of faults."""
    if isinstance(detail, str) or detail is None:
        return detail or ""
    return msgspec.json.encode(detail).decode()[:500]


def _fault(status: int, refusal: Refusal, asked: Asked, wait: float | None) -> GatewayError:
    detail = f"HTTP {status} {code_word(refusal.word)}".rstrip()
    words = one_line(refusal.words)
    searched = f"{refusal.words} {refusal.word}"[:4000]
    if status not in (401, 403, 429) and (overflow := _overflow(searched, refusal, asked, detail)):
        return overflow
    for known in _KNOWN:
        if status not in (401, 403) and known.text.search(searched):
            return GatewayError(
                known.kind,
                f"{known.says.format(model=asked.model)}.",
                said=words,
                remedy=known.do,
                code=known.code,
                param="model" if known.code == NO_MODEL else None,
                retriable=known.retriable,
                retry_after=wait if wait is not None else known.wait,
                detail=detail,
            )
    if status == 401:
        return GatewayError(
            "upstream_login",
            f"{_LOGIN}.",
            said=words,
            code="upstream_unauthorised",
            retriable=False,
            detail=detail,
        )
    kind, says = _STATUSES.get(status, ("upstream_failed", "The model server failed to answer"))
    return GatewayError(
        kind,
        f"{says}.",
        said=words,
        code=f"upstream_{status}",
        retriable=False if status in _FINAL else None,
        retry_after=wait,
        detail=detail,
    )


def _overflow(searched: str, refusal: Refusal, asked: Asked, detail: str) -> GatewayError | None:
    """The overflow that a text tells of, with the numbers it gives; else with what is known of them."""
    text = searched.replace(",", "")
    tokens = refusal.numbers
    for pattern in () if tokens else _OVERFLOWS:
        if found := pattern.search(text):
            numbers = {name: int(value) for name, value in found.groupdict().items()}
            tokens = (numbers["n"] + numbers.get("more", 0), numbers["m"])
            break
    counted = tokens is not None
    if tokens is None:
        if not _OVERFLOW_WORDS.search(text):
            return None
        stated = _LIMIT_ALONE.search(text)
        limit = int(stated["m"]) if stated else asked.window
        # the bytes of the body are all that is known of the prompt here
        tokens = (max(asked.size // 4, limit + 1), limit) if limit else None
    return GatewayError(
        "context_overflow",
        "The prompt is too long for the model.",
        said=one_line(refusal.words),
        code="context_length_exceeded",
        tokens=tokens,
        counted=counted,
        retriable=False,
        detail=detail,
    )
