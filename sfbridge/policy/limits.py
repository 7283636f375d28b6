"""Who may ask, and for which models: the keys of this server, and where a client puts its own."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

from sfbridge.config import Key
from sfbridge.core.errors import GatewayError

from .hashes import Hash, parse

# Wrong secrets that are remembered, so that a client that keeps sending one costs no slow comparison each time.
_MOST_WRONG: Final = 1024


class KeyRing:
    """The keys that open this server. Of their secrets only digests are kept, keyed with `pepper`, random bytes of
    this process.

    A hashed key is compared slowly once; its secret is then known like any other. Raises ValueError, with the
    names and never the secrets, for an empty secret, one that has two names, and a broken hash. A ring without
    keys refuses everybody.
    """

    def __init__(self, keys: Mapping[str, Key], pepper: bytes) -> None:
        self._pepper = pepper
        self._known: list[tuple[str, bytes]] = []
        self._hashed: list[tuple[str, Hash]] = []
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._size = len(keys)
        names: dict[bytes, str] = {}
        for name, key in keys.items():
            if key.secret_hash:
                self._hashed.append((name, _parsed(name, key.secret_hash)))
                continue
            if not key.secret:
                raise ValueError(f"the key {name!r} is empty")
            digest = self._digest(key.secret)
            if digest in names:
                raise ValueError(f"the keys {names[digest]!r} and {name!r} are the same")
            names[digest] = name
            self._known.append((name, digest))

    def __len__(self) -> int:
        return self._size

    def known(self, *candidates: str) -> str | None:
        """The name of the first candidate that is known to be a key; None when that takes a slow comparison.

        Every known key is compared, in constant time, so that the time taken tells nothing about any of them.
        Raises GatewayError `authentication` when no candidate is a key.
        """
        unsure = False
        for candidate in candidates:
            digest = self._digest(candidate)
            found: str | None = None
            for name, known in self._known:
                if compare_digest(known, digest):
                    found = name
            if found is not None:
                return found
            unsure = unsure or digest not in self._wrong
        if unsure and self._hashed:
            return None
        raise _refusal(sent=any(candidates))

    def compare(self, *candidates: str) -> tuple[str, str] | None:
        """(name, candidate) of the first that matches a hash. Takes long and changes nothing: for a thread."""
        for candidate in candidates:
            for name, hash in self._hashed:
                if hash.matches(candidate):
                    return name, candidate
        return None

    def learn(self, found: tuple[str, str] | None, *candidates: str) -> str:
        """Remember what `compare` found for these candidates; the name. Raises as `known`."""
        if found is None:
            for candidate in candidates:
                self._wrong[self._digest(candidate)] = None
                if len(self._wrong) > _MOST_WRONG:
                    self._wrong.popitem(last=False)
            raise _refusal(sent=any(candidates))
        name, candidate = found
        known = (name, self._digest(candidate))
        if known not in self._known:
            self._known.append(known)
        return name

    def _digest(self, secret: str) -> bytes:
        # headers may hold bytes that are not UTF-8, which arrive as lone surrogates
        raw = secret.encode("utf-8", "surrogatepass")
        return blake2b(raw, key=self._pepper, digest_size=32).digest()


def _parsed(name: str, text: str) -> Hash:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"the secret_hash of the key {name!r}: {error}") from None


class Permits:
    """Which models a key may ask for."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self._patterns = {name: _pattern(key.models) for name, key in keys.items() if key.models}

    def restricts(self, key: str) -> bool:
        return key in self._patterns

    def allows(self, key: str, names: Iterable[str]) -> bool:
        """Whether one of a model's names is on the key's list; a key without a list may use every model."""
        pattern = self._patterns.get(key)
        return pattern is None or any(pattern.fullmatch(name.lower()) for name in names)


def _pattern(models: Iterable[str]) -> re.Pattern[str]:
    """`*` is any text, `?` one character; capitals do not matter."""
    parts = [re.escape(model.lower()).replace(r"\*", ".*").replace(r"\?", ".") for model in models]
    return re.compile("|".join(parts), re.DOTALL)


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
