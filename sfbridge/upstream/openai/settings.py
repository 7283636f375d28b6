"""The `[upstream.<name>]` table of an OpenAI-compatible server, and what can be wrong with it."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from msgspec import Struct
from yarl import URL

from sfbridge.upstream.secret import Secret, SettingsError, given

_VERSION: Final = "/v1"


class ModelRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of one model beforehand; goes before what the server says.

    name        the server's own name of it
    id          the name clients use; empty: the same
    window      tokens of prompt and answer together
    max_output  most output tokens
    images      whether it takes pictures
    tools       as `Settings.tools`, for this model; empty: as for all
    """

    name: str
    id: str = ""
    label: str = ""
    kind: Literal["chat", "embeddings"] = "chat"
    aliases: tuple[str, ...] = ()
    window: int | None = None
    max_output: int | None = None
    images: bool | None = None
    tools: Literal["", "native", "emulated", "none"] = ""


class Settings(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True
):
    """One server and how to speak with it. Times are seconds.

    base_url               "http://127.0.0.1:8080", with or without /v1
    api_key                sent as a bearer token; api_key_file reads it from a file; empty: none is sent
    profile                the family of the server; "auto" asks the server
    window                 tokens of every model's window; 0: ask the server
    default_window         the window of a model of which nobody says it
    max_output             most output tokens of every model; 0: no limit of ours
    tools                  "native" uses the server's own tool calls, "emulated" asks for them in the prompt,
                           "none" leaves tools out of requests
    images                 whether pictures may be sent; absent: what the server says, else no
    attribution            "neutralise" drops the line of Claude Code's system prompt that differs in every
                           request and would make the server read everything anew; "keep" sends it
    connect_retry_seconds  how long a request waits for a server that is restarting; 0: not at all
    connect_timeout        for a connection
    stream_idle_timeout    between two reads of a stream; local servers are silent while they read the prompt
    read_timeout           until an answer begins, and between two reads of a whole one
    embedding_batch        most texts of one embeddings call; refused calls are tried in halves
    models                 facts about models, as tables
    """

    base_url: str = ""
    api_key: str = ""
    api_key_file: str = ""
    profile: Literal["auto", "llamacpp", "vllm", "ollama", "lmstudio", "generic"] = "auto"
    window: int = 0
    default_window: int = 8192
    max_output: int = 0
    tools: Literal["native", "emulated", "none"] = "native"
    images: bool | None = None
    attribution: Literal["neutralise", "keep"] = "neutralise"
    connect_retry_seconds: float = 60.0
    connect_timeout: float = 10.0
    stream_idle_timeout: float = 300.0
    read_timeout: float = 600.0
    embedding_batch: int = 64
    models: tuple[ModelRow, ...] = ()

    def __repr__(self) -> str:
        return f"Settings(base_url={self.base_url!r}, profile={self.profile!r}, ...)"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("base_url", self.base_url), ("profile", self.profile)]


class Address(NamedTuple):
    """Where a server is: its root, under which families keep routes of their own, and its key.

    host  what to call it in the log and on the status page
    """

    root: URL
    chat: URL
    embeddings: URL
    models: URL
    host: str
    key: Secret


def check(settings: Settings, name: str) -> Address:
    """The server that the settings of upstream `name` describe. Raises SettingsError with the faulty key."""
    for key in ("connect_timeout", "stream_idle_timeout", "read_timeout"):
        if getattr(settings, key) <= 0:
            raise SettingsError(key, "must be more than 0 seconds")
    for key in ("connect_retry_seconds", "window", "max_output"):
        if getattr(settings, key) < 0:
            raise SettingsError(key, "must not be negative")
    for key in ("default_window", "embedding_batch"):
        if getattr(settings, key) < 1:
            raise SettingsError(key, "must be at least 1")
    for index, row in enumerate(settings.models):
        if not row.name.strip():
            raise SettingsError(f"models[{index}].name", "must not be empty")
    base = _base(settings.base_url, name)
    path = base.path.rstrip("/").removesuffix(_VERSION)
    root = base.with_path(path or "/")
    api = f"{path}{_VERSION}"
    host = root.host or ""
    return Address(
        root=root,
        chat=root.with_path(f"{api}/chat/completions"),
        embeddings=root.with_path(f"{api}/embeddings"),
        models=root.with_path(f"{api}/models"),
        host=f"{host}:{root.explicit_port}" if root.explicit_port else host,
        key=given(settings.api_key, settings.api_key_file, "api_key"),
    )


def _base(value: str, name: str) -> URL:
    if not value:
        raise SettingsError(
            "base_url",
            f'is missing; set it under [upstream.{name}], as in "http://127.0.0.1:8080"',
        )
    try:
        url = URL(value if "://" in value else f"http://{value}")
    except ValueError:
        raise SettingsError("base_url", "is not an address") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError("base_url", "must begin with http:// or https:// and name a host")
    if url.user or url.password or url.query_string or url.fragment:
        raise SettingsError(
            "base_url",
            "must not hold a user, a query or a fragment; a key goes into api_key",
        )
    return url
