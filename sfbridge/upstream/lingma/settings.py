"""The `[upstream.<name>]` table of a Lingma installation, and what can be wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

MOST_INSTANCES: Final = 16
MOST_AT_ONCE: Final = 8

_SECONDS: Final = (
    "affinity_wait", "queue_timeout", "start_timeout", "rpc_timeout", "accept_timeout", "first_event_timeout",
    "answer_idle_timeout", "silent_timeout", "ask_timeout", "tool_wait", "ping_interval", "ping_timeout",
    "login_interval", "stop_timeout", "restart_delay",
)  # fmt: skip


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One logged-in installation and how to speak with it. Times are seconds.

    source        the workdir of the operator's own logged-in installation ("~/.lingma"); instances are copied from it
    sources       one such workdir per instance, where each has a login of its own; goes before `source`
    reseed        replace an instance's login at start where the source holds a newer one
    binary        the executable; empty: the one that the workdir names
    data_dir      where the instances' workdirs are; empty: ~/.local/share/sfbridge/<name of the upstream>
    instances     how many processes; they share one account and its limits
    attach        use the process that an IDE runs already, through the discovery file in `source`; nothing is started
    port          with `attach`: the port of that process; 0: as the discovery file says
    dialect       "auto" asks the process
    mode          "agent" lets Lingma ask for tools that change files; every such request is refused all the same
    endpoint      service endpoint of a dedicated deployment
    environment   names of variables that the process may see beside PATH, HOME and the language
    language      preferred language of the vendor's own texts, such as "en"
    models        model keys that are known beforehand, for starts at which no instance is ready
    fallback_model  asked where the wanted one does not exist; empty: that is an error
    tools         "emulated" asks for the client's tools in the prompt, "none" leaves them out
    tool_events   what becomes of tools that Lingma ran by itself: "hidden", "journal" (receipts), "mirror" (clients)
    hide_tool_events_from  key names or User-Agent prefixes of clients that mirrored calls would confuse
    thoughts      whether reasoning is shown: to clients that ask for it, to all, to none
    partial_on_timeout  end an answer that the vendor timed out as one cut at its length
    enforce_max_output  cut answers at the client's limit, by our own estimate
    most_prompt   characters of a question
    most_answer   characters of an answer
    max_in_flight  questions that one instance answers at once
    most_waiting  questions that wait for an instance
    affinity_wait  how long a conversation waits for its own instance before it starts anew on another
    delete_sessions  what becomes of conversations in Lingma's history: "never" deleted, when "unused", or "always"
    session_idle  seconds after which a conversation counts as unused
    """

    source: str = ""
    sources: tuple[str, ...] = ()
    reseed: bool = False
    binary: str = ""
    data_dir: str = ""
    instances: int = 1
    attach: bool = False
    port: int = 0
    dialect: Literal["auto", "classic", "acp"] = "auto"
    mode: Literal["chat", "normal", "agent"] = "chat"
    endpoint: str = ""
    environment: tuple[str, ...] = ()
    language: str = ""
    models: tuple[str, ...] = ()
    fallback_model: str = ""
    tools: Literal["emulated", "none"] = "emulated"
    tool_events: Literal["hidden", "journal", "mirror"] = "mirror"
    hide_tool_events_from: tuple[str, ...] = ()
    thoughts: Literal["asked", "always", "never"] = "asked"
    partial_on_timeout: bool = False
    enforce_max_output: bool = False
    most_prompt: int = 200_000
    most_answer: int = 8 * 1024 * 1024
    max_in_flight: int = 1
    most_waiting: int = 256
    affinity_wait: float = 2.0
    queue_timeout: float = 30.0
    start_timeout: float = 30.0
    rpc_timeout: float = 10.0
    accept_timeout: float = 30.0
    first_event_timeout: float = 120.0
    answer_idle_timeout: float = 30.0
    silent_timeout: float = 180.0
    ask_timeout: float = 600.0
    tool_wait: float = 120.0
    ping_interval: float = 20.0
    ping_timeout: float = 5.0
    login_interval: float = 60.0
    stop_timeout: float = 5.0
    restart_delay: float = 1.0
    delete_sessions: Literal["never", "unused", "always"] = "never"
    session_idle: float = 1800.0


def check(settings: Settings) -> None:
    """Raises ValueError that begins with the faulty key."""
    for key in (*_SECONDS, "session_idle"):
        if getattr(settings, key) <= 0:
            raise ValueError(f"{key}: must be more than 0 seconds")
    if not 1 <= settings.instances <= MOST_INSTANCES:
        raise ValueError(f"instances: must be from 1 to {MOST_INSTANCES}")
    if not 1 <= settings.max_in_flight <= MOST_AT_ONCE:
        raise ValueError(f"max_in_flight: must be from 1 to {MOST_AT_ONCE}")
    for key in ("most_prompt", "most_answer", "most_waiting"):
        if getattr(settings, key) < 1:
            raise ValueError(f"{key}: must be at least 1")
    if not 0 <= settings.port <= 65535:
        raise ValueError(f"port: {settings.port} is not a port number")
    if settings.attach:
        if settings.instances != 1:
            raise ValueError("instances: only 1 can be attached to")
        if not settings.port and not settings.source:
            raise ValueError(
                "port: is missing; or name the workdir of the running process in source"
            )
        return
    if settings.port:
        raise ValueError("port: is for attach = true; instances find ports of their own")
    if not settings.source and not settings.sources:
        raise ValueError(
            'source: is missing; name the workdir of your own logged-in Lingma installation, as in "~/.lingma"'
        )
    if settings.sources and len(settings.sources) != settings.instances:
        raise ValueError("sources: needs one workdir for each of the instances")


def source_of(settings: Settings, index: int) -> Path:
    """The installation that an instance is copied from."""
    given = settings.sources[index] if settings.sources else settings.source
    return Path(given).expanduser()


def workdir_of(settings: Settings, name: str, index: int) -> Path:
    """The instance's own workdir."""
    base = settings.data_dir or f"~/.local/share/sfbridge/{name}"
    return Path(base).expanduser().absolute() / f"instance-{index}"
