"""Errors in each client's words: statuses, types, codes, and the wordings that clients act upon."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from responses_stream import read_response
from wire_streams import REPLY, records

from sfbridge.core.errors import ErrorKind, GatewayError
from sfbridge.wire import WIRES
from sfbridge.wire.anthropic import anthropic
from sfbridge.wire.base import Wire
from sfbridge.wire.openai_chat import openai_chat
from sfbridge.wire.openai_responses import openai_responses

KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)
WIRE = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)

TABLE = {
    # kind: (status, OpenAI type, OpenAI code, Anthropic status, Anthropic type)
    "invalid_request": (400, "invalid_request_error", None, 400, "invalid_request_error"),
    "unsupported": (400, "invalid_request_error", None, 400, "invalid_request_error"),
    "context_overflow": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        400,
        "invalid_request_error",
    ),
    "authentication": (
        401,
        "invalid_request_error",
        "invalid_api_key",
        401,
        "authentication_error",
    ),
    "permission": (403, "permission_error", None, 403, "permission_error"),
    "not_found": (404, "invalid_request_error", None, 404, "not_found_error"),
    "method_not_allowed": (405, "invalid_request_error", None, 405, "invalid_request_error"),
    "unsupported_media": (415, "invalid_request_error", None, 415, "invalid_request_error"),
    "too_large": (413, "invalid_request_error", None, 413, "request_too_large"),
    "conflict": (409, "invalid_request_error", None, 409, "invalid_request_error"),
    "rate_limited": (429, "rate_limit_error", "rate_limit_exceeded", 429, "rate_limit_error"),
    "overloaded": (503, "server_error", None, 529, "overloaded_error"),
    "timeout": (504, "server_error", None, 504, "timeout_error"),
    "upstream_failed": (502, "server_error", None, 502, "api_error"),
    "upstream_refused": (403, "permission_error", None, 403, "permission_error"),
    "upstream_login": (401, "invalid_request_error", "upstream_login", 403, "permission_error"),
    "internal": (500, "server_error", None, 500, "api_error"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_status_and_words(kind: ErrorKind) -> None:
    """The two vendors' words for one fault, side by side."""
    status, openai_type, code, anthropic_status, anthropic_type = TABLE[kind]
    error = GatewayError(kind, "What is wrong.", param="a.b")
    found, body = openai_chat.fault(error, "req_1")
    shown = json.loads(body)["error"]
    assert (found, shown["type"], shown["code"], shown["param"]) == (
        status,
        openai_type,
        code,
        "a.b",
    )
    found, body = anthropic.fault(error, "req_1")
    envelope = json.loads(body)
    assert (envelope["type"], envelope["request_id"]) == ("error", "req_1")
    assert (found, envelope["error"]["type"]) == (anthropic_status, anthropic_type)
    if kind != "context_overflow":
        assert shown["message"] == envelope["error"]["message"] == "What is wrong."


def test_codes_are_the_errors_own_where_it_has_one() -> None:
    """A stable word that the error brings is shown to programs."""
    error = GatewayError("not_found", "No such model.", code="model_not_found")
    assert json.loads(openai_chat.fault(error, "")[1])["error"]["code"] == "model_not_found"
    error = GatewayError("rate_limited", "Quota.", code="insufficient_quota")
    assert json.loads(openai_chat.fault(error, "")[1])["error"]["code"] == "insufficient_quota"


@pytest.mark.parametrize(
    ("wire", "message", "text"),
    [
        (anthropic, "", "prompt is too long: 250000 tokens > 200000 maximum"),
        (anthropic, "Shorten.", "prompt is too long: 250000 tokens > 200000 maximum (Shorten.)"),
        (
            openai_chat,
            "",
            "This model's maximum context length is 200000 tokens. "
            "However, your messages resulted in 250000 tokens.",
        ),
        (
            openai_chat,
            "Shorten.",
            "This model's maximum context length is 200000 tokens. "
            "However, your messages resulted in 250000 tokens. Shorten.",
        ),
    ],
)
def test_overflow_has_the_wording_that_starts_compaction(
    wire: Wire, message: str, text: str
) -> None:
    """Clients shorten the conversation only when they read these very words."""
    error = GatewayError("context_overflow", message, tokens=(250_000, 200_000), code="other")
    shown = json.loads(wire.fault(error, "r")[1])["error"]
    assert shown["message"] == text
    assert shown.get("code", "context_length_exceeded") == "context_length_exceeded"


@pytest.mark.parametrize(
    ("wire", "head"),
    [
        (anthropic, "prompt is too long: Too much."),
        (openai_chat, "This model's maximum context length was exceeded. Too much."),
    ],
)
def test_overflow_without_numbers_keeps_the_head(wire: Wire, head: str) -> None:
    """The recognised words stand in front even when nobody knows the numbers."""
    error = GatewayError("context_overflow", "Too much.")
    assert json.loads(wire.fault(error, "r")[1])["error"]["message"] == head


@WIRE
def test_a_failing_stream_ends_visibly_unfinished(wire: Wire) -> None:
    """The last record holds the envelope and nothing that a client takes for an end follows."""
    error = GatewayError("upstream_failed", "Line one.\n\ndata: [DONE]\n\n")
    if wire is openai_responses:
        response = read_response(records(wire.encoder(REPLY).failure(error)))
        assert response["error"] == {"code": "server_error", "message": error.message}
        return
    ((event, data),) = records(wire.encoder(REPLY).failure(error))
    assert event == ("error" if wire is anthropic else "")
    assert json.loads(data) == json.loads(wire.fault(error, "req_1")[1])


@WIRE
def test_any_message_can_be_told(wire: Wire) -> None:
    """Quoted garbage in a message never breaks the envelope."""
    error = GatewayError("invalid_request", "half \ud83d pair \x00", param="x\udc00")
    shown: Any = json.loads(wire.fault(error, "req_1")[1])["error"]
    assert shown["message"] == "half ? pair \x00"


def test_the_registry_names_each_protocol_once() -> None:
    """Names and routes are unique, so that a path has one protocol."""
    routes = [route for wire in WIRES for route in wire.routes]
    assert len(set(routes)) == len(routes)
    assert [wire.name for wire in WIRES] == [
        "openai_chat",
        "openai_responses",
        "openai_completions",
        "anthropic",
    ]
