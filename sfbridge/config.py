"""config.toml as frozen Structs, under one precedence: command line, then environment, then file, then default.

`[upstream.<name>]` and `[sandbox]` stay raw tables: whoever owns them converts them with `section`, so that
this module never learns a vendor's words.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from .tables import ConfigError as ConfigError  # what every reader of a configuration raises
from .tables import beside, overlays, put, read_tables

T = TypeVar("T")

_UNKNOWN: Final = re.compile(r"unknown field `([^`]+)`(?: - at `\$\.?([^`]*)`)?")
_WRONG: Final = re.compile(r"^(.*?)(?: - at `\$\.?([^`]*)`)?$", re.DOTALL)


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the doors are and who may knock.

    max_body        bytes of a request body (the Anthropic API allows 32 MB)
    shutdown_grace  seconds that open answers get to finish when the server is told to stop
    keys_file       further keys, as under [keys]; a file that only its owner can read
    open_metrics    /metrics answers without a key, for scrapers that have none
    """

    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ("host.docker.internal",)
    allowed_origins: tuple[str, ...] = ()
    max_body: int = 32 * 1024 * 1024
    shutdown_grace: float = 10.0
    keys_file: str = ""
    open_metrics: bool = False


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One client's key, and what it may do; written as plain text it is only the secret.

    secret_hash  instead of `secret`, as `python -m sfbridge hash-key` prints it
    models       names that it may ask for, with * and ?; none: every model
    in_flight, requests_per_minute, tokens_per_minute   0: no limit
    """

    secret: str = ""
    secret_hash: str = ""
    models: tuple[str, ...] = ()
    in_flight: int = 0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0


class Stream(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How event streams are kept alive, in seconds.

    patience    how long a stream may stay without status, so that an early failure keeps its own
    keep_alive  silence after which `:ka` is sent
    hold_after  silence after which events without content replace `:ka` on the Anthropic and the Responses wire:
                Claude Code gives up after 300 s (2.1.197) or 600 s (2.1.329) of comments alone, Codex after 300 s
    force_json  User-Agent prefixes or key names of clients that ask for a stream they cannot read
    pad_after   after that a JSON answer gets its status, and spaces every `keep_alive` until it is there
    pad_clients User-Agent prefixes or key names of clients that are padded for: n8n's chat model (openai-node)
                gives up after 60 s without headers (1.105.4)
    """

    patience: float = 5.0
    keep_alive: float = 15.0
    hold_after: float = 240.0
    force_json: tuple[str, ...] = ()
    pad_after: float = 45.0
    pad_clients: tuple[str, ...] = ("OpenAI/JS",)


class Http(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The one connection pool towards all upstreams; sized for a laptop."""

    connections: int = 20
    connections_per_host: int = 10
    idle_seconds: float = 60.0


class Models(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the names of models mean.

    default  answers names that people know and nobody serves: `claude-*` and the shipped ones
    strict   nothing is answered by the default: such names are not found
    aliases  further names: each leads to a model, or to a list of which the first answers and the others stand in
             when it cannot; a name with `*` is a family, for names that no model has
    """

    default: str = "claude-sonnet-4-6"
    strict: bool = False
    aliases: dict[str, str | tuple[str, ...]] = {}


class Tools(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`repair_rounds`: how often a model is shown a faulty tool call and asked again, within one turn."""

    repair_rounds: int = 2


class Output(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much an answer may take of a window that sfbridge watches.

    reserve  part of the window that stays free for the next turn
    floor    tokens that an answer gets at least, also when the client asks for less; for models that think first
    """

    reserve: float = 0.15
    floor: int = 0


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which models are asked instead of `model` when it cannot answer, before its first word."""

    model: str
    fallbacks: tuple[str, ...]


class Journal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The receipts of the last `keep` turns, in memory only; what was said, only if `contents` allows it."""

    keep: int = 200
    contents: bool = False


class Sessions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conversations that clients name with X-Session-ID, kept in one SQLite file.

    path           the file; empty: sfbridge/sessions.db under the user's state directory
    life_hours     from a session's last use to its end
    wait           seconds that a request waits for another one of its session
    most_sessions  of one key; those not used for longest go first
    most_messages  of one session, and
    most_bytes     of one session; beyond either it takes no further turn
    """

    path: str = ""
    life_hours: float = 24.0
    wait: float = 30.0
    most_sessions: int = 1000
    most_messages: int = 2000
    most_bytes: int = 32 * 1024 * 1024

    def file(self, environ: Mapping[str, str] = os.environ) -> Path:
        """Where the conversations are."""
        return _expanded(self.path) if self.path else state_file("sessions.db", environ)


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`format`: "text" for people, "json" for programs; "auto" is text on a terminal and JSON lines elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


def state_file(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where a file is that outlives the server, by the XDG Base Directory Specification."""
    given = environ.get("XDG_STATE_HOME", "")
    state = given if given.startswith("/") else "~/.local/state"
    return _expanded(f"{state}/sfbridge/{name}")


def _expanded(path: str) -> Path:
    """A path that may begin at home; in the working directory for a user without one (as in containers)."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(Path(path).name)


def _sandbox_upstream() -> dict[str, dict[str, Any]]:
    return {"salesforce": {"kind": "salesforce", "my_domain": "sandbox"}}


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration. `keys` maps a name to a secret or a Key; none means open, on loopback only."""

    server: Server = Server()
    stream: Stream = Stream()
    http: Http = Http()
    models: Models = Models()
    tools: Tools = Tools()
    output: Output = Output()
    journal: Journal = Journal()
    sessions: Sessions = Sessions()
    log: Log = Log()
    keys: dict[str, str | Key] = {}
    upstream: dict[str, dict[str, Any]] = field(default_factory=_sandbox_upstream)
    sandbox: dict[str, Any] = {}
    pruning: dict[str, Any] = {}
    route: tuple[Route, ...] = ()


def load(
    path: Path | None, *, environ: Mapping[str, str] = os.environ, sets: Iterable[str] = ()
) -> Config:
    """The configuration of a file (None: defaults), overlaid by the environment and by `section.key=value`s."""
    tables = beside(read_tables(path), path.parent) if path else {}
    tables.setdefault("upstream", _sandbox_upstream())
    for keys, value, origin in overlays(environ, sets):
        put(tables, keys, value, origin)
    _add_keys(tables)
    _check_names(tables)
    config = section(tables, Config, "")
    _check(config)
    return config


def _check_names(tables: dict[str, Any]) -> None:
    """Convert what stands under names that users choose one by one: the decoder's own path would not have the name."""
    for path, kind in (("keys", str | Key), ("upstream", dict[str, Any])):
        for name, value in _table(tables.get(path)).items():
            _converted(value, kind, f"{path}.{name}")
    models = _table(tables.get("models"))
    for name, value in _table(models.get("aliases")).items():
        _converted(value, str | tuple[str, ...], f"models.aliases.{name}")


def _table(value: Any) -> dict[str, Any]:
    """A table, or none where something else stands in its place, which is told when the whole is converted."""
    return value if isinstance(value, dict) else {}


def section(table: Mapping[str, Any], kind: type[T], path: str) -> T:
    """A raw table as its owner's Struct. Raises ConfigError with the path of the faulty key."""
    found: T = _converted(table, kind, path)
    return found


def _converted(table: Any, kind: Any, path: str) -> Any:
    try:
        return msgspec.convert(table, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), path)) from None


def _explain(message: str, path: str) -> str:
    if found := _UNKNOWN.search(message):
        return f"{_join(path, found.group(2), found.group(1))}: there is no such key"
    found = _WRONG.match(message)
    assert found is not None
    return f"{_join(path, found.group(2)) or 'configuration'}: {found.group(1)}"


def _join(*parts: str | None) -> str:
    return ".".join(part for part in parts if part)


def _add_keys(tables: dict[str, Any]) -> None:
    """Put the keys of server.keys_file beside those of [keys]."""
    server, keys = tables.get("server", {}), tables.setdefault("keys", {})
    name = server.get("keys_file", "") if isinstance(server, dict) else ""
    if not isinstance(name, str) or not name or not isinstance(keys, dict):
        return  # a wrong type is told when the whole is converted
    try:
        path = Path(name).expanduser()
        found = read_tables(path)
    except (RuntimeError, ConfigError) as error:
        raise ConfigError(f"server.keys_file: {error}") from None
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise ConfigError(
            f"server.keys_file: others than its owner can read {path}; close it with chmod 600"
        )
    for twice in found.keys() & keys.keys():
        raise ConfigError(f"keys.{twice}: it is in {path} and in the configuration; remove one")
    keys |= found


# The least that each number may be; all must be finite.
_LEAST: Final = {
    "server.port": 0,
    "server.max_body": 1024,
    "server.shutdown_grace": 0,
    "stream.patience": 0,
    "stream.keep_alive": 0.01,
    "stream.hold_after": 0,
    "stream.pad_after": 0,
    "http.connections": 1,
    "http.connections_per_host": 1,
    "http.idle_seconds": 0,
    "tools.repair_rounds": 0,
    "journal.keep": 0,
    "sessions.life_hours": 0,
    "sessions.wait": 0,
    "sessions.most_sessions": 1,
    "sessions.most_messages": 1,
    "sessions.most_bytes": 1,
    "output.reserve": 0,
    "output.floor": 0,
}
MOST_PORT: Final = 65535
# characters of an API key
LEAST_SECRET: Final = 8


def _check(config: Config) -> None:
    for path, least in _LEAST.items():
        name, key = path.split(".")
        value = getattr(getattr(config, name), key)
        if not math.isfinite(value) or value < least:
            raise ConfigError(f"{path}: {value} is not possible; it must be at least {least:g}")
    if config.server.port > MOST_PORT:
        raise ConfigError(f"server.port: {config.server.port} is not a port number")
    if not _is_host(config.server.host):
        raise ConfigError(f"server.host: {config.server.host!r} is neither an address nor a name")
    if not config.keys and not is_loopback(config.server.host):
        raise ConfigError(
            f"server.host: {config.server.host} can be reached from other machines, so at least one key "
            "is needed: add one under [keys], or bind to 127.0.0.1"
        )
    if config.output.reserve >= 1:
        raise ConfigError("output.reserve: it is a part of the window, so less than 1")
    if not config.upstream:
        raise ConfigError("upstream: at least one [upstream.<name>] section is needed")
    for name, client in clients(config).items():
        _check_key(name, client)


def clients(config: Config) -> dict[str, Key]:
    """Every key by the name of its client."""
    return {
        name: Key(secret=key) if isinstance(key, str) else key for name, key in config.keys.items()
    }


def _check_key(name: str, key: Key) -> None:
    if bool(key.secret) == bool(key.secret_hash):
        raise ConfigError(f"keys.{name}: it needs a secret or a secret_hash, and not both")
    if key.secret and len(key.secret) < LEAST_SECRET:
        raise ConfigError(f"keys.{name}: a key needs at least {LEAST_SECRET} characters")
    for limit in ("in_flight", "requests_per_minute", "tokens_per_minute"):
        if getattr(key, limit) < 0:
            raise ConfigError(f"keys.{name}.{limit}: it must be at least 0")


def _is_host(host: str) -> bool:
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`. A name that merely looks like an address is not
    trusted: it may lead anywhere."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
