"""The `[upstream.<name>]` table of a Salesforce org, and what can be wrong with it before anything is sent."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from msgspec import Struct
from yarl import URL

from sfbridge.config import is_loopback
from sfbridge.upstream.secret import Secret, SettingsError, given

from .models import ModelRow

SANDBOX: Final = "sandbox"
SANDBOX_ID: Final = "sandbox-client"
SANDBOX_SECRET: Final = "sandbox-secret"  # not a secret: the manual prints it
DEFAULT_API_URL: Final = "https://api.salesforce.com"
_SHARED_LOGINS: Final = frozenset(("login.salesforce.com", "test.salesforce.com"))


class Settings(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True
):
    """One Salesforce org and how to speak with it. Times are seconds.

    my_domain            the org's My Domain, "https://mycompany.my.salesforce.com"; or "sandbox" for the
                         built-in sandbox org, whose id and secret are then the defaults
    client_id            consumer key of the External Client App; client_id_file reads it from a file
    client_secret        its secret; client_secret_file reads it from a file
    surface              which API to use: "gateway" streams and calls tools, "platform" is the documented
                         one without either, "auto" asks the org once at start
    api_url              base address of the API; empty: what the token says, else https://api.salesforce.com
    default_max_output   output tokens to ask for when the client names no limit
    thinking             "strip" drops requests to think, which many routes answer with 502; "adaptive"
                         passes them on to Anthropic models
    connect_timeout      for a connection, TLS included
    stream_idle_timeout  between two reads of a stream
    read_timeout         until an answer begins, and between two reads of a whole one
    token_timeout        for a whole request to the token endpoint
    app_context          value of the header x-sfdc-app-context
    feature_id           value of the header x-client-feature-id
    locale               "en_US" and the like: tells data masking the language; empty: not sent
    embedding_batch      most texts of one embeddings call; refused calls are tried in halves
    models               further models, or other facts about known ones, as tables
    """

    my_domain: str = ""
    client_id: str = ""
    client_id_file: str = ""
    client_secret: str = ""
    client_secret_file: str = ""
    surface: Literal["auto", "gateway", "platform"] = "auto"
    api_url: str = ""
    default_max_output: int = 16384
    thinking: Literal["strip", "adaptive"] = "strip"
    connect_timeout: float = 10.0
    stream_idle_timeout: float = 60.0
    read_timeout: float = 300.0
    token_timeout: float = 15.0
    app_context: str = "EinsteinGPT"
    feature_id: str = "ai-platform-models-connected-app"
    locale: str = ""
    embedding_batch: int = 32
    models: tuple[ModelRow, ...] = ()

    def __repr__(self) -> str:
        return f"Settings(my_domain={self.my_domain!r}, surface={self.surface!r}, ...)"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("my_domain", self.my_domain), ("surface", self.surface)]


class Org(NamedTuple):
    """An org that can be reached: settings checked, files read, defaults filled in.

    host     what to call it in the log and on the status page
    api_url  the forced base address, empty where the token decides
    """

    token_url: URL
    host: str
    client_id: Secret
    client_secret: Secret
    api_url: str
    sandbox: bool


def check(settings: Settings, name: str, sandbox_url: str) -> Org:
    """The org that the settings of upstream `name` describe. Raises SettingsError with the faulty key."""
    for key in ("connect_timeout", "stream_idle_timeout", "read_timeout", "token_timeout"):
        if getattr(settings, key) <= 0:
            raise SettingsError(key, "must be more than 0 seconds")
    for key in ("default_max_output", "embedding_batch"):
        if getattr(settings, key) < 1:
            raise SettingsError(key, "must be at least 1")
    _check_models(settings)
    if settings.my_domain == SANDBOX:
        return _sandbox_org(settings, sandbox_url)
    base = _address(settings.my_domain, "my_domain", name)
    return Org(
        token_url=base.with_path("/services/oauth2/token"),
        host=base.host or "",
        client_id=_credential(settings.client_id, settings.client_id_file, "client_id", name),
        client_secret=_credential(
            settings.client_secret, settings.client_secret_file, "client_secret", name
        ),
        api_url=str(_address(settings.api_url, "api_url", name)).rstrip("/")
        if settings.api_url
        else "",
        sandbox=False,
    )


def safe_base(address: str) -> str:
    """The base of an address that a token may be sent to, without a slash at its end; empty for others."""
    try:
        url = URL(address)
    except ValueError:
        return ""
    host = url.host or ""
    if (
        not host
        or url.user
        or not (url.scheme == "https" or (url.scheme == "http" and is_loopback(host)))
    ):
        return ""
    return str(url.origin())


def _sandbox_org(settings: Settings, sandbox_url: str) -> Org:
    if not sandbox_url:
        raise SettingsError(
            "my_domain",
            'is "sandbox", but the sandbox org does not run: set sandbox.enabled = true, or name your org',
        )
    base = URL(sandbox_url)
    return Org(
        token_url=base.with_path("/services/oauth2/token"),
        host=SANDBOX,
        client_id=Secret(settings.client_id or SANDBOX_ID),
        client_secret=Secret(settings.client_secret or SANDBOX_SECRET),
        api_url=str(base.origin()),
        sandbox=True,
    )


def _address(value: str, key: str, name: str) -> URL:
    """A base address that may be sent secrets: https, or http on this machine."""
    if not value:
        raise SettingsError(key, f'is missing; {_where(key, name)}, or use "sandbox"')
    try:
        url = URL(value if "://" in value else f"https://{value}")
    except ValueError:
        raise SettingsError(key, "is not an address") from None
    host = (url.host or "").lower()
    if not host or url.user or url.query_string or url.fragment or url.path not in ("", "/"):
        raise SettingsError(
            key,
            'must be a scheme and a host and nothing else, as in "https://mycompany.my.salesforce.com"',
        )
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(host)):
        raise SettingsError(key, "must begin with https://, because a secret is sent there")
    if host in _SHARED_LOGINS:
        raise SettingsError(
            key,
            f"{host} does not issue tokens for the client credentials flow; use your org's My Domain "
            "(Setup, My Domain), as in https://mycompany.my.salesforce.com",
        )
    if host.endswith(".lightning.force.com"):
        raise SettingsError(
            key, f"{host} is the address of the user interface; its API is at .my.salesforce.com"
        )
    return url


def _credential(value: str, file: str, key: str, name: str) -> Secret:
    secret = given(value, file, key)
    if not secret:
        raise SettingsError(key, f"is missing; {_where(key, name)}, or name a file in {key}_file")
    return secret


def _where(key: str, name: str) -> str:
    variable = f"SFBRIDGE_UPSTREAM__{name}__{key}".upper()
    return (
        f"set {key} under [upstream.{name}] in config.toml, or the environment variable {variable}"
    )


def _check_models(settings: Settings) -> None:
    for index, row in enumerate(settings.models):
        if not row.api_name.strip():
            raise SettingsError(f"models[{index}].api_name", "must not be empty")
