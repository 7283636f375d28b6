"""What the token endpoint refuses, and what to do about it. Nothing here is worth a second try unless it says so."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from sfbridge.core.errors import ErrorKind, GatewayError
from sfbridge.formats.salesforce import TokenRefusal
from sfbridge.upstream.words import code_word, one_line

_refusal = msgspec.json.Decoder(TokenRefusal)


class _Known(NamedTuple):
    """A refusal as it was captured."""

    error: str
    says: str
    cause: str


# First match counts; an empty word fits everything. Source: captured answers of the endpoint, one row per cause.
_KNOWN: Final = (
    _Known(
        "",
        "client credentials flow not enabled",
        "the client credentials flow is off. Enable it in the app's settings and again in its policies",
    ),
    _Known(
        "invalid_client_id",
        "",
        "the client_id is not known to this org. Compare it with the app's consumer key, and my_domain with "
        "the org; a new app takes some minutes until it works",
    ),
    _Known("invalid_client", "", "the client_secret is wrong. Copy it again from the app"),
    _Known(
        "invalid_grant",
        "no client credentials user",
        "the app has no Run As user. Choose one in the app's policies, and see that the user has the "
        "licence and permission set that the Models API needs",
    ),
    _Known(
        "invalid_grant",
        "not supported on this domain",
        "my_domain is not the org's My Domain. Use the address under Setup, My Domain",
    ),
    _Known(
        "invalid_grant",
        "authentication failure",
        "the Run As user cannot log in. The user may be inactive, or IP restrictions may exclude this machine",
    ),
    _Known(
        "invalid_grant",
        "approved this consumer",
        "the Run As user has not approved the app. Pre-authorise the user in the app's policies",
    ),
    _Known(
        "invalid_grant",
        "",
        "the org does not grant a token. Check the Run As user and the policies of the app",
    ),
    _Known(
        "invalid_app_access",
        "",
        "the app is for admin-approved users only, and the Run As user is not one. Add a permission set or "
        "profile to the app",
    ),
    _Known(
        "unsupported_grant_type",
        "",
        "the client credentials flow is off. Enable it in the app's settings and again in its policies",
    ),
)

OPAQUE: Final = (
    "The org issued an opaque token, which the Models API does not take. In the External Client App, turn on "
    "the issuing of JWT-based access tokens for named users; a change takes some minutes until it works."
)


def token_fault(status: int, body: bytes) -> GatewayError:
    """The failure behind an answer of the token endpoint that holds no token."""
    try:
        told = _refusal.decode(body)
    except msgspec.MsgspecError:
        told = TokenRefusal()
    if told.error == "unknown_error" or status >= 500 or status == 408:
        return _passing("upstream_failed", status, told)
    if status == 429:
        return _passing("rate_limited", status, told)
    if 300 <= status < 400:
        return _login(
            "my_domain answers with a redirect. Use the org's current My Domain address", told
        )
    says = told.error_description.lower()
    for known in _KNOWN:
        if known.error in ("", told.error) and known.says in says:
            return _login(known.cause, told)
    if not told.error:
        return _login(
            f"my_domain does not answer like a token endpoint (HTTP {status}). Check the address",
            told,
        )
    return _login("the reason is not one we know", told)


def _login(cause: str, told: TokenRefusal) -> GatewayError:
    return GatewayError(
        "upstream_login",
        f"Salesforce refused the login: {cause}.",
        said=one_line(
            ": ".join(word for word in (told.error, told.error_description) if word), 200
        ),
        detail=code_word(told.error),
        code="salesforce_login",
        retriable=False,
    )


def _passing(kind: ErrorKind, status: int, told: TokenRefusal) -> GatewayError:
    """No token, so no model was asked: the code is that of an upstream which was not reached."""
    return GatewayError(
        kind,
        f"Salesforce could not issue a token just now (HTTP {status}).",
        code="upstream_unreachable",
        said=one_line(f"{told.error} {told.error_description}", 200),
        detail=code_word(told.error),
    )
