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

    def check(self, *candidates: str) -> str:
        """The name of the first candidate that is a key. Raises GatewayError `authentication`.

        Every key is compared, in constant time, so that the time taken tells nothing about any of them.
        """
        for candidate in candidates:
            digest = _digest(candidate)
            found: str | None = None
            for name, known in self._keys:
                if compare_digest(known, digest):
                    found = name
            if found is not None:
                return found
        raise _refusal(sent=any(candidates))


def presented(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The keys a client sent, as `Authorization: Bearer` and as `x-api-key`: Claude Code sends both, when both of its
    variables are set, and they may differ.

    The names are looked up in lower case, so `headers` has lower-case names or ignores case.
    """
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    sent = (
        token.strip() if scheme.lower() == "bearer" else "",
        headers.get("x-api-key", "").strip(),
    )
    return tuple(key for key in sent if key)


def _digest(secret: str) -> bytes:
    # Headers may hold bytes that are not UTF-8, which arrive as lone surrogates.
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _refusal(*, sent: bool) -> GatewayError:
    if sent:
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
