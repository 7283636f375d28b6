"""The token endpoint's business: who may have a token, what a token is, what a bearer is worth.

Client ids that begin with `sandbox-client-` choose an error or a kind of token, with the usual secret:

    unknown-client      invalid_client_id          no-run-as      invalid_grant, no user is set
    wrong-secret        invalid_client             wrong-domain   invalid_grant, not the My Domain
    authentication      invalid_grant              not-approved   invalid_grant, user has not approved
    not-admin-approved  invalid_app_access         flow-off       unsupported_grant_type
    flow-not-enabled    invalid_request            retry          unknown_error, for ever
    retry-once          unknown_error, then a token
    unavailable         503                        html           502 with an HTML page
    opaque              a session token, not a JWT
    expires-in          a JWT, and `expires_in` in the response
    short               a JWT that lives 2 s       no-scope       a JWT without the scope sfap_api
    revoked             a JWT that is revoked before its first use
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any, Final

import msgspec
from msgspec import Struct

from .refusal import Refusal
from .settings import CLIENT_ID, CLIENT_SECRET, SandboxSettings

ORG_ID: Final = "00DSB000000SbXORG2"
_USER_ID: Final = "005SB000000SbXUSR2"
_KEY: Final = b"sandbox signing key"
_SCOPES: Final = "sfap_api api"
_DENIED: Final = {
    "unknown-client": ("invalid_client_id", "client identifier invalid"),
    "wrong-secret": ("invalid_client", "invalid client credentials"),
    "no-run-as": ("invalid_grant", "no client credentials user enabled"),
    "wrong-domain": ("invalid_grant", "request not supported on this domain"),
    "authentication": ("invalid_grant", "authentication failure"),
    "not-approved": ("invalid_grant", "user hasn't approved this consumer"),
    "not-admin-approved": ("invalid_app_access", "user is not admin approved to access this app"),
    "flow-off": ("unsupported_grant_type", "grant type not supported"),
    "flow-not-enabled": ("invalid_request", "client credentials flow not enabled"),
    "retry": ("unknown_error", "retry your request"),
}
_KINDS: Final = frozenset(("opaque", "expires-in", "short", "no-scope", "revoked"))
_SHORT_LIFE: Final = 2.0


class _Claims(Struct, frozen=True):
    exp: float
    scp: str = ""


_claims = msgspec.json.Decoder(_Claims)


class Tokens:
    """The tokens that one org issued and revoked. Holds no clock: callers say what time it is."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self.minted = 0
        self._asked: dict[str, int] = {}
        self._uses: dict[str, int] = {}
        self._revoked: set[str] = set()

    def grant(self, form: dict[str, str], basic: str, base_url: str, now: float) -> dict[str, Any]:
        """The body of a token response. Raises Refusal with the OAuth error body."""
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        if basic:
            client, secret = _credentials(basic)
        if form.get("grant_type") != "client_credentials":
            raise _denied("unsupported_grant_type", "grant type not supported")
        kind = client.removeprefix(f"{CLIENT_ID}-") if client != CLIENT_ID else ""
        self._asked[kind] = self._asked.get(kind, 0) + 1
        self._refuse(kind, secret)
        return self._response(kind, base_url, now)

    def revoke(self, token: str) -> None:
        self._revoked.add(token)

    def check(self, authorization: str, now: float) -> str:
        """The token of a header that may pass. Raises Refusal: 404 for tokens that are no OrgJWT."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refusal(401, "INVALID_AUTH", "The bearer token is missing.")
        parts = token.split(".")
        if len(parts) != 3:
            raise Refusal(404, "NOT_FOUND", "The requested resource was not found.")
        claims = _verified(parts)
        if claims is None or claims.exp <= now or token in self._revoked:
            raise Refusal(401, "INVALID_AUTH", "Invalid token")
        if "sfap_api" not in claims.scp.split():
            raise Refusal(404, "NOT_FOUND", "The requested resource was not found.")
        self._used(token)
        return token

    def _used(self, token: str) -> None:
        if self._settings.token_uses:
            self._uses[token] = self._uses.get(token, 0) + 1
            if self._uses[token] >= self._settings.token_uses:
                del self._uses[token]
                self.revoke(token)

    def _refuse(self, kind: str, secret: str) -> None:
        if kind == "html":
            raise Refusal(
                502, "", "", body=b"<html><body>Bad Gateway</body></html>", content_type="text/html"
            )
        if kind == "unavailable":
            raise Refusal(503, "INTERNAL_ERROR", "The service is unavailable.")
        if kind == "retry-once":
            if self._asked[kind] == 1:
                raise _denied(*_DENIED["retry"])
        elif kind in _DENIED:
            raise _denied(*_DENIED[kind])
        elif kind and kind not in _KINDS:
            raise _denied(*_DENIED["unknown-client"])
        if secret != CLIENT_SECRET:
            raise _denied(*_DENIED["wrong-secret"])

    def _response(self, kind: str, base_url: str, now: float) -> dict[str, Any]:
        self.minted += 1
        life = _SHORT_LIFE if kind == "short" else self._settings.token_life_seconds
        opaque = kind == "opaque" or self._settings.token_opaque
        scope = "api" if kind == "no-scope" else _SCOPES
        token = f"{ORG_ID}!sandbox{self.minted}" if opaque else _jwt(self.minted, now, life, scope)
        if kind == "revoked":
            self.revoke(token)
        told: dict[str, Any] = {
            "access_token": token,
            "signature": base64.b64encode(hashlib.sha256(token.encode()).digest()).decode(),
            "token_format": "opaque" if opaque else "jwt",
            "scope": scope,
            "instance_url": base_url,
            "id": f"{base_url}/id/{ORG_ID}/{_USER_ID}",
            "token_type": "Bearer",
            "issued_at": str(int(now * 1000)),
            "api_instance_url": base_url,
        }
        if kind == "expires-in" or self._settings.token_expires_in:
            told["expires_in"] = int(life)
        return told


def _denied(error: str, description: str) -> Refusal:
    body = msgspec.json.encode({"error": error, "error_description": description})
    return Refusal(400, "", description, body=body)


def _credentials(basic: str) -> tuple[str, str]:
    try:
        client, _, secret = base64.b64decode(basic.partition(" ")[2]).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return client, secret


def _jwt(number: int, now: float, life: float, scope: str) -> str:
    header = {
        "tnk": f"core/sandbox/{ORG_ID}",
        "ver": "1.0",
        "kid": "SANDBOX",
        "typ": "JWT",
        "alg": "HS256",
    }
    claims = {
        "scp": scope,
        "sub": f"uid:{_USER_ID}",
        "iss": "https://sandbox.example",
        "jti": f"sandbox-{number}",
        "iat": int(now),
        "exp": int(now + life),
    }
    signed = ".".join(_part(msgspec.json.encode(part)) for part in (header, claims))
    return f"{signed}.{_part(_signature(signed))}"


def _signature(signed: str) -> bytes:
    return hmac.digest(_KEY, signed.encode(), "sha256")


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _verified(parts: list[str]) -> _Claims | None:
    """The claims of a token that this org signed; None for any other."""
    try:
        expected = _part(_signature(f"{parts[0]}.{parts[1]}"))
        if not hmac.compare_digest(expected.encode(), parts[2].encode()):
            return None
        return _claims.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, UnicodeEncodeError, msgspec.MsgspecError):
        return None
