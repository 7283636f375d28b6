"""What `check` finds on this machine: files that others may read, the conversations, the ports."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sfbridge.config import Config, ConfigError
from sfbridge.secrecy import FILE, is_secret
from sfbridge.state.database import inspect
from sfbridge.state.sessions import MIGRATIONS

from .findings import Finding
from .options import Origins
from .reach import unlistenable
from .supervisors import keeping_of


def files(origins: Origins, config: Config) -> Iterator[Finding]:
    """Who else may read the files that hold secrets, or what was said."""
    if origins.path is not None and _holds_secrets(origins):
        yield _private(origins.path, "it holds a secret")
    for name, table in config.upstream.items():
        for key, value in table.items():
            if key.endswith(FILE) and is_secret(key.removesuffix(FILE)) and value:
                yield _private(Path(str(value)), f"upstream.{name}.{key}")
    for path, why in (
        (_variables(), "the service's secrets stand there"),
        (config.sessions.file(), "conversations stand there"),
    ):
        if path is not None and path.exists():
            yield _private(path, why)


def _variables() -> Path | None:
    """The file of variables of this system's service, where it has one."""
    with suppress(ConfigError, RuntimeError):
        return keeping_of(None, os.environ).variables
    return None


def _holds_secrets(origins: Origins) -> bool:
    here = {at for at, origin in origins.of_keys().items() if origin == str(origins.path)}
    return any(at.startswith("keys.") or is_secret(at.rpartition(".")[2]) for at in here)


def _private(path: Path, why: str) -> Finding:
    try:
        path = path.expanduser()
        mode = stat.S_IMODE(path.stat().st_mode)
    except (OSError, RuntimeError) as error:
        told = f"cannot be read ({getattr(error, 'strerror', None) or error}); {why}"
        return Finding("fail", str(path), told, "see that it is there")
    if mode & 0o077:
        return Finding(
            "warning",
            str(path),
            f"others may read it (mode {mode:o}), and {why}",
            f"chmod 600 {path}",
        )
    return Finding("ok", str(path), f"only its owner may read it ({why})")


def database(config: Config) -> Finding:
    """Whether the file of conversations is whole, and can be written. Reads all of it."""
    path = config.sessions.file()
    if problem := inspect(path, len(MIGRATIONS)):
        return Finding("fail", "conversations", problem, "turns are answered, but not remembered")
    place = path if path.exists() else next(each for each in path.parents if each.exists())
    if not os.access(place, os.W_OK):
        told = f"{place} cannot be written, so no conversation can be kept"
        return Finding("warning", "conversations", told, "let sessions.path lead elsewhere")
    state = "is whole" if path.exists() else "is not there yet, and made when a session begins"
    return Finding("ok", "conversations", f"{path} {state}")


def ports(config: Config) -> Iterator[Finding]:
    """Whether the server, and the sandbox org where it is wanted, could listen where they are told to."""
    yield _port("server.port", config.server.host, config.server.port)
    from sfbridge.server.embedded import port_of

    if port := port_of(config):
        yield _port("sandbox.port", "127.0.0.1", port)


def _port(key: str, host: str, number: int) -> Finding:
    if error := unlistenable(host, number):
        told = f"{host}:{number} cannot be used ({error.strerror})"
        return Finding("fail", "port", told, f"stop what listens there, or choose another: {key}")
    return Finding("ok", "port", f"{host}:{number} is free ({key})")
