"""What the token endpoint refuses, and what the user is told to do."""

from __future__ import annotations

import json

import pytest

from sfbridge.upstream.salesforce.token_faults import token_fault

CAPTURED = [
    ("invalid_client_id", "client identifier invalid", "consumer key"),
    ("invalid_client", "invalid client credentials", "client_secret is wrong"),
    ("invalid_grant", "no client credentials user enabled", "Run As"),
    ("invalid_grant", "request not supported on this domain", "My Domain"),
    ("invalid_grant", "authentication failure", "IP restrictions"),
    ("invalid_grant", "user hasn't approved this consumer", "Pre-authorise"),
    ("invalid_grant", "something new", "policies"),
    ("invalid_app_access", "user is not admin approved to access this app", "admin-approved"),
    ("unsupported_grant_type", "grant type not supported", "client credentials flow is off"),
    ("invalid_grant", "client credentials flow not enabled", "client credentials flow is off"),
    ("", "client credentials flow not enabled", "client credentials flow is off"),
    ("brand_new", "never seen", "not one we know"),
]


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(("error", "says", "advice"), CAPTURED)
def test_every_captured_refusal_says_what_to_fix(
    status: int, error: str, says: str, advice: str
) -> None:
    """Each known refusal is a configuration fault with its own advice, under any of its statuses."""
    fault = token_fault(status, json.dumps({"error": error, "error_description": says}).encode())
    assert (fault.kind, fault.retriable) == ("upstream_login", False)
    assert advice in fault.told
    assert says in fault.told


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            400,
            b'{"error":"unknown_error","error_description":"retry your request"}',
            "upstream_failed",
        ),
        (500, b"<html>oops</html>", "upstream_failed"),
        (503, b"", "upstream_failed"),
        (429, b"{}", "rate_limited"),
    ],
)
def test_passing_failures_may_be_repeated(status: int, body: bytes, kind: str) -> None:
    """Failures of the moment are not called a fault of the configuration."""
    fault = token_fault(status, body)
    assert fault.kind == kind
    assert fault.retriable is not False


@pytest.mark.parametrize(("status", "advice"), [(302, "redirect"), (404, "Check the address"), (200, "Check the address")])  # fmt: skip
def test_what_is_no_token_endpoint_is_named(status: int, advice: str) -> None:
    """A wrong address is a configuration fault, whatever page stands there."""
    fault = token_fault(status, b"<html>login</html>")
    assert fault.kind == "upstream_login"
    assert advice in fault.told
