"""Which values of a configuration are secret: hidden in the log, and shown by no command."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from .config import Config, clients

# Ending of keys that name a file with the value of the key without it.
FILE: Final = "_file"
_SECRET_WORDS: Final = ("secret", "key", "token", "password", "client_id", "secret_hash")
# Tables whose names are somebody else's, so that nobody here knows which of their values are secret.
_FOREIGN: Final = ("environment", "headers")
# Lists of names of variables that a child process gets.
_PASSED: Final = ("pass_environment", "environment")
_LOGIN: Final = re.compile(r"(?<=://)[^/\s]+(?=@)")
_RANDOM: Final = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[\w+/=.~-]{20,}")
_LEAST_WORD: Final = 10
_HIDDEN: Final = "[hidden]"


def secrets_of(config: Config, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Every secret of the configuration, those in files included where they can be read, and those that it passes on
    to a child process."""
    for key in clients(config).values():
        yield from filter(None, (key.secret, key.secret_hash))
    yield from _secret_values(config.upstream, environ)


def _secret_values(table: dict[str, Any], environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict):
            if name in _FOREIGN:
                yield from (str(one) for at, one in value.items() if _may_be_secret(at, str(one)))
            else:
                yield from _secret_values(value, environ)
        elif isinstance(value, list | tuple):
            if name in _PASSED:
                passed = {str(one): environ.get(str(one), "") for one in value}
                yield from (one for at, one in passed.items() if _may_be_secret(at, one))
        elif isinstance(value, str) and value:
            yield from _secrets_in(name, value)


def _may_be_secret(name: str, value: str) -> bool:
    """Of a variable that somebody else named: by that name, or because nobody would type such a value."""
    return is_secret(name) or bool(_RANDOM.fullmatch(value))


def _secrets_in(name: str, value: str) -> Iterator[str]:
    if is_secret(name):
        # a server that wants any key gets a word, which stands in names of models as well
        if not (value.replace("-", "").isalpha() and len(value) < _LEAST_WORD):
            yield value
    elif is_secret(name.removesuffix(FILE)):
        with suppress(OSError, UnicodeDecodeError, RuntimeError):
            yield Path(value).expanduser().read_text(encoding="utf-8").strip()
    elif login := _LOGIN.search(value):
        yield login[0]
        yield login[0].partition(":")[2] or login[0]


def is_secret(key: str) -> bool:
    """Whether the value of a key of that name is to be shown to nobody; `…_file` only names a place."""
    return key.lower().endswith(_SECRET_WORDS)


def shown(name: str, value: Any) -> Any:
    """A value as it may be shown: secrets hidden, within tables and lists too, and logins within addresses."""
    if isinstance(value, dict):
        if name in _FOREIGN:
            return dict.fromkeys(value, _HIDDEN)
        return {inner: shown(inner, one) for inner, one in value.items()}
    if isinstance(value, list | tuple):
        return [shown(name, one) for one in value]
    if is_secret(name) and value:
        return _HIDDEN
    return without_login(value) if isinstance(value, str) else value


def without_login(address: str) -> str:
    """An address without the user and password in it."""
    return _LOGIN.sub(_HIDDEN, address)
