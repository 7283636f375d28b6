"""Who may ask: the keys of this server, and where a client puts its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from hmac import compare_digest

from sfbridge.core.errors import GatewayError


class KeyRing:
    """The keys that open this server, as (name, secret). Only digests of the secrets are kept.

    Raises ValueError, with the names and never the secrets, for an empty secret and for one that has two
    names. A ring without keys refuses everybody.
    """

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        self._keys: list[tuple[str, bytes]] = []
        names: dict[bytes, str] = {}
        for name, secret in keys:
            if not secret:
                raise ValueError(f"the key {name!r} is empty")
            digest = _digest(secret)
            if digest in names:
                raise ValueError(f"the keys {names[digest]!r} and {name!r} are the same")
            names[digest] = name
            self._keys.append((name, digest))

    def __len__(self) -> int:
        return len(self._keys)

    def check(self, presented: str) -> str:
        """The name of the key. Raises GatewayError `authentication`.

        Every key is compared, in constant time, so that the time taken tells nothing about any of them.
        """
        digest = _digest(presented)
        found: str | None = None
        for name, known in self._keys:
            if compare_digest(known, digest):
                found = name
        if found is None:
            raise _refusal(presented)
        return found


def bearer(headers: Mapping[str, str]) -> str:
    """The key a client sent: `Authorization: Bearer` first, else `x-api-key`; empty when there is none.

    The names are looked up in lower case, so `headers` has lower-case names or ignores case.
    """
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and (token := token.strip()):
        return token
    return headers.get("x-api-key", "").strip()


def _digest(secret: str) -> bytes:
    # Headers may hold bytes that are not UTF-8, which arrive as lone surrogates.
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _refusal(presented: str) -> GatewayError:
    if presented:
        return GatewayError(
            "authentication",
            "The API key is not known to this server. The keys it accepts are in its configuration.",
            code="invalid_api_key",
            retriable=False,
        )
    return GatewayError(
        "authentication",
        "No API key was sent. Send one as 'Authorization: Bearer <key>' or as 'x-api-key: <key>'.",
        code="missing_api_key",
        retriable=False,
    )
