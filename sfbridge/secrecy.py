"""Which values of a configuration are secret: hidden in the log, and shown by no command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from .config import Config, clients

# Ending of keys that name a file with the value of the key without it.
FILE: Final = "_file"
_SECRET_WORDS: Final = ("secret", "key", "token", "password", "client_id", "secret_hash")


def secrets_of(config: Config) -> Iterator[str]:
    """Every secret of the configuration, those in files included where they can be read."""
    for key in clients(config).values():
        yield from filter(None, (key.secret, key.secret_hash))
    yield from _secret_values(config.upstream)


def _secret_values(table: dict[str, Any]) -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _secret_values(value)
        elif isinstance(value, str) and is_secret(name):
            yield value
        elif isinstance(value, str) and is_secret(name.removesuffix(FILE)) and value:
            with suppress(OSError, UnicodeDecodeError):
                yield Path(value).expanduser().read_text(encoding="utf-8").strip()


def is_secret(key: str) -> bool:
    """Whether the value of a key of that name is to be shown to nobody; `…_file` only names a place."""
    return key.lower().endswith(_SECRET_WORDS)
