"""Error answers of the Models API, told in our words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from sfbridge.core.errors import GatewayError
from sfbridge.upstream.salesforce.faults import Asked, Unauthorised, fault, fault_in_stream, traces
from sfbridge.upstream.words import one_line

WALL = 1_700_000_000.0
ASKED = Asked(model="sfdc_ai__DefaultX", size=400_000, window=128_000)


def body(code: str, message: str, message_code: str = "E00001") -> bytes:
    return json.dumps({"messageCode": message_code, "errorCode": code, "message": message}).encode()


def told(status: int, data: bytes, asked: Asked = ASKED, **headers: str) -> GatewayError:
    return fault(status, {k.replace("_", "-"): v for k, v in headers.items()}, data, asked, WALL)


@pytest.mark.parametrize(
    ("status", "code", "kind", "name"),
    [
        (400, "REQUIRED_FIELD_MISSING", "invalid_request", "upstream_invalid_request"),
        (401, "INVALID_AUTH", "upstream_login", "salesforce_unauthorised"),
        (403, "NOT_FOUND", "upstream_refused", "upstream_forbidden"),
        (404, "NOT_FOUND", "not_found", "upstream_not_found"),
        (413, "", "too_large", None),
        (423, "NOT_FOUND", "overloaded", "upstream_423"),
        (429, "LIMIT_EXCEEDED", "rate_limited", "upstream_429"),
        (500, "INTERNAL_ERROR", "upstream_failed", "upstream_500"),
        (502, "", "upstream_failed", "upstream_502"),
        (503, "INTERNAL_ERROR", "overloaded", "upstream_503"),
        (504, "", "timeout", "upstream_504"),
        (302, "", "upstream_failed", "upstream_302"),
    ],
)
def test_every_status_has_its_kind(status: int, code: str, kind: str, name: str | None) -> None:
    """The status decides, never the pair of status and code, which the specification itself mixes up."""
    error = told(status, body(code, "Because."))
    assert (error.kind, error.code) == (kind, name)


@pytest.mark.parametrize("data", [b"", b"<html><body>Bad Gateway</body></html>", b"upstream gone", b"[1]", b'{"message":7}', b"\xff\xfe"])  # fmt: skip
def test_bodies_that_are_no_json_survive(data: bytes) -> None:
    """A proxy's page in front of the API is a failure of the upstream, without its markup."""
    error = told(502, data)
    assert error.kind == "upstream_failed"
    assert "<" not in error.told


OVERFLOWS: list[tuple[bytes, tuple[int, int]]] = [
    (body("BAD_ARGUMENT", "prompt is too long: 1000123 tokens > 1000000 maximum"), (1000123, 1000000)),
    (body("BAD_ARGUMENT", "prompt is too long: 1,000,123 tokens > 1,000,000 maximum"), (1000123, 1000000)),
    (body("BAD_ARGUMENT", "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 tokens."), (130001, 128000)),
    (body("BAD_ARGUMENT", "This model's maximum context length is 8191 tokens, however you requested 9000 tokens (9000 in your prompt)."), (9000, 8191)),
    (body("BAD_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."), (1200000, 1048576)),
    (body("BAD_ARGUMENT", "input length and `max_tokens` exceed context limit: 190000 + 21333 > 200000"), (211333, 200000)),
    (body("BAD_ARGUMENT", "Input is too long for requested model."), (128_001, 128_000)),
    (b'{"error":{"type":"invalid_request_error","code":"x","message":"prompt is too long: 9 tokens > 8 maximum"}}', (9, 8)),
]  # fmt: skip


@pytest.mark.parametrize(("data", "tokens"), OVERFLOWS)
def test_overflows_keep_the_providers_numbers(data: bytes, tokens: tuple[int, int]) -> None:
    """Every provider's words for a prompt that is too long are recognised, numbers included."""
    error = told(400, data)
    assert error.kind == "context_overflow"
    assert error.tokens == tokens


def test_the_masking_cap_is_told_apart() -> None:
    """E30036 is an overflow with estimated numbers that says so and names data masking."""
    error = told(400, body("BAD_ARGUMENT", "Prompt size exceeds the token limit for when PII is enabled.", "E30036"))  # fmt: skip
    assert (error.kind, error.tokens) == ("context_overflow", (100_000, 65536))
    assert "estimates" in error.told
    assert "data masking" in error.told


def test_an_ordinary_400_is_no_overflow() -> None:
    """A refusal that merely mentions tokens stays an invalid request, in the provider's words."""
    error = told(400, body("BAD_ARGUMENT", "max_tokens must be\n\npositive"))
    assert error.kind == "invalid_request"
    assert "max_tokens must be positive" in error.told


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("999999", 3600.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str, seconds: float | None) -> None:
    """Seconds and HTTP dates are both understood; nonsense is not."""
    assert told(429, b"", Retry_After=value).retry_after == seconds


def test_ids_for_support_are_noted() -> None:
    """Salesforce's own ids are kept, fit to be shown, and never told to the client."""
    headers = CIMultiDict({"x-request-id": "abc-1\x1b[31m", "x-b3-traceid": "f00d"})
    assert traces(headers) == ["x-request-id=abc-1 [31m", "x-b3-traceid=f00d"]
    error = told(500, b"{}", x_request_id="abc-1", x_b3_traceid="f00d")
    assert "abc-1" not in error.told


def test_what_salesforce_says_is_for_the_client_alone() -> None:
    """Our own words of a failure quote nothing of what Salesforce says, which may quote the prompt."""
    for status in (400, 401, 403, 404, 413, 422, 423, 429, 500, 503, 504):
        for asked in (Asked(model="m"), Asked(model="m", proven=True)):
            error = told(status, body("canary-code of mine", "canary words"), asked)
            assert "canary" not in error.message + error.detail
            assert "canary words" in error.told


def test_404_depends_on_what_has_worked() -> None:
    """Before the API has answered, a 404 is explained; afterwards it is about the model."""
    first = told(404, body("NOT_FOUND", "nope"))
    assert first.code == "upstream_not_found"
    for cause in ("sfap_api", "entitled", "api_url", "sfdc_ai__DefaultX"):
        assert cause in first.told
    later = told(404, b"", Asked(model="m", proven=True))
    assert (later.kind, later.code, later.param) == ("not_found", "model_not_found", "model")


def test_a_beta_model_is_explained() -> None:
    """A refusal of a beta model says that an admin must enable it."""
    assert "beta" in told(403, b"", Asked(model="m", status="beta")).told


def test_401_is_its_own_class() -> None:
    """The adapter can tell a refused token from every other failure."""
    assert isinstance(told(401, b""), Unauthorised)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("LIMIT_EXCEEDED", "rate_limited"), ("INTERNAL_ERROR", "upstream_failed"), ("BAD_ARGUMENT", "invalid_request"), ("", "upstream_failed")],
)  # fmt: skip
def test_an_error_under_a_200_goes_by_its_code(code: str, kind: str) -> None:
    """Under load the gateway answers 200 with an error body; it is told as what it is."""
    assert told(200, body(code, "no")).kind == kind


@pytest.mark.parametrize(
    ("word", "data", "kind"),
    [
        ("throttlingException", b'{"message":"slow down"}', "rate_limited"),
        ("ThrottlingException", b"{}", "rate_limited"),
        ("serviceUnavailableException", b"{}", "overloaded"),
        ("modelTimeoutException", b"{}", "timeout"),
        ("modelStreamErrorException", b"not json", "upstream_failed"),
        ("validationException", b'{"message":"prompt is too long: 9 tokens > 8 maximum"}', "context_overflow"),
        ("overloaded_error", b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', "overloaded"),
        ("", b'{"error_code":"LIMIT_EXCEEDED","message_code":"E1","message":"x"}', "rate_limited"),
        ("unheardOf", b"", "upstream_failed"),
    ],
)  # fmt: skip
def test_frames_of_failure(word: str, data: bytes, kind: str) -> None:
    """Exceptions and error events in the middle of a stream have kinds, too."""
    assert fault_in_stream(word, data, ASKED).kind == kind


@pytest.mark.parametrize(
    "secret",
    [
        "Bearer abcdefgh12345",
        "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2ln",
        "00D5g00000abcde!AQ0AQK.fake.session",
        "client_secret=hunter2hunter2",
        '"access_token": "zzzzzzzz"',
    ],
)
def test_secrets_in_an_upstreams_words_are_hidden(secret: str) -> None:
    """Nothing that looks like a credential reaches a message or a log."""
    error = told(400, body("BAD_ARGUMENT", f"bad thing {secret} in it"))
    value = secret.split("=")[-1].split(" ")[-1].strip('"')
    assert value not in error.told + error.detail


@given(st.text(max_size=600), st.integers(4, 100))
@settings(max_examples=80, deadline=None)
def test_shown_words_are_one_bounded_line(text: str, most: int) -> None:
    """Whatever an upstream writes is shown as one line of bounded length."""
    line = one_line(text, most)
    assert len(line) <= most
    assert not any(c in line for c in "\r\n\t\x00")


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "error", "errorCode", "messageCode", "type"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(JSON, st.integers(200, 599))
@settings(max_examples=100, deadline=None)
def test_any_json_is_an_answer(value: object, status: int) -> None:
    """No error body, however odd, breaks the reading of errors."""
    assert told(status, json.dumps(value).encode()).told
