"""Secrets at rest: salted scrypt in the PHC string format, `$scrypt$ln=14,r=8,p=1$<salt>$<hash>` (base64 without
padding), so that whoever reads the configuration cannot use its keys."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import scrypt
from hmac import compare_digest
from typing import Final

from msgspec import Struct

SALT_BYTES: Final = 16
_FORM: Final = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})"
)
# 2**14 blocks of 8 * 128 bytes: 16 MB and some 40 ms per guess, the interactive figures of the scrypt paper.
_LOG_N: Final = 14
_R: Final = 8
_P: Final = 1
# What a hash in the configuration may demand of this machine.
_MOST_MEMORY: Final = 256 * 1024 * 1024


class Hash(Struct, frozen=True, gc=False):
    """A hashed secret, ready for comparing."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    def matches(self, secret: str) -> bool:
        """Takes tens of milliseconds, on purpose."""
        return compare_digest(self.digest, _digest(secret, self, len(self.digest)))


def parse(text: str) -> Hash:
    """Raises ValueError for what is no such hash, and for one that no machine should compute."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(
            "it is not a hash as `python -m sfbridge hash-key` prints it ($scrypt$ln=…)"
        )
    log_n, r, p = (int(found[place]) for place in (1, 2, 3))
    if not (1 <= log_n <= 24 and r and p) or 128 * r * 2**log_n * p > _MOST_MEMORY:
        raise ValueError("its cost (ln, r, p) is beyond what is computed here")
    return Hash(2**log_n, r, p, _bytes(found[4]), _bytes(found[5]))


def hashed(secret: str, salt: bytes) -> str:
    """The text that goes into the configuration. `salt`: SALT_BYTES random bytes."""
    wanted = Hash(2**_LOG_N, _R, _P, salt, b"")
    parts = (_text(salt), _text(_digest(secret, wanted, 32)))
    return f"$scrypt$ln={_LOG_N},r={_R},p={_P}${parts[0]}${parts[1]}"


def _digest(secret: str, how: Hash, length: int) -> bytes:
    # headers may hold bytes that are not UTF-8, which arrive as lone surrogates
    raw = secret.encode("utf-8", "surrogatepass")
    room = 128 * how.r * (how.n + how.p + 2) + 1024 * 1024
    return scrypt(raw, salt=how.salt, n=how.n, r=how.r, p=how.p, dklen=length, maxmem=room)


def _bytes(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4))


def _text(raw: bytes) -> str:
    return b64encode(raw).rstrip(b"=").decode()
