"""The `[upstream.<name>]` table of the `claude` command, and what can be wrong with it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from sfbridge.upstream.secret import Secret, SettingsError, given

_NUMBERS: Final = ("max_children", "max_output")
_SECONDS: Final = ("wait_timeout", "start_timeout", "stream_idle_timeout", "stop_timeout")
_NAME: Final = re.compile(r"[A-Za-z_]\w*")
# A tool, or a rule for one: "Read", "Bash(git log *)".
_TOOL: Final = re.compile(r"([A-Za-z_]\w*)(?:\([^()]*\))?")


class ModelRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model.

    name    what the CLI calls it: an alias ("sonnet") or a full id
    id      the name clients use; empty: the same
    window  tokens of prompt and answer together; 0: what the CLI reports
    """

    name: str
    id: str = ""
    label: str = ""
    aliases: tuple[str, ...] = ()
    window: int = 0


class Settings(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True
):
    """How the CLI is run. Times are seconds.

    command              the executable, a path or a name on the PATH
    billing              who pays: "login" the CLI's own login, "api_key" the key given here, "environment" what
                         `environment` sets up (Bedrock, Vertex); a run that says otherwise is ended
    api_key              with billing "api_key"; api_key_file reads it from a file
    base_url             another address of the Anthropic API; empty: the CLI's own
    directory            where it runs, made if absent; its sessions belong to it. Empty: one of the user's state
    pass_environment     variables that it inherits besides the usual ones (PATH, HOME, language, proxy, ...)
    environment          variables that it gets
    tools                its own tools, none by default; a rule such as "Bash(git log *)" permits only that
    persist              whether it keeps transcripts, as it does for its owner; without them a conversation goes
                         on in the same process or from the history
    max_output           tokens of an answer, where the client sets no limit; 0: the CLI's own limit
    max_children         processes at a time, about 220 MB each, those that wait included
    wait_timeout         how long a request waits for a place among them
    start_timeout        until the first line
    stream_idle_timeout  between two lines
    stop_timeout         from TERM to KILL
    keep_seconds         how long a process waits for the conversation to go on; 0: not at all
    hold_seconds         how long it waits for the result of a tool call
    models               the models, as tables; without any: sonnet, opus and haiku
    """

    command: str = "claude"
    billing: Literal["login", "api_key", "environment"] = "login"
    api_key: str = ""
    api_key_file: str = ""
    base_url: str = ""
    directory: str = ""
    pass_environment: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    tools: tuple[str, ...] = ()
    persist: bool = True
    max_output: int = 0
    max_children: int = 4
    wait_timeout: float = 60.0
    start_timeout: float = 30.0
    stream_idle_timeout: float = 300.0
    stop_timeout: float = 3.0
    keep_seconds: float = 60.0
    hold_seconds: float = 600.0
    models: tuple[ModelRow, ...] = ()

    def __repr__(self) -> str:
        return f"Settings(command={self.command!r}, billing={self.billing!r}, ...)"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("command", self.command), ("billing", self.billing)]


class Checked(Struct, frozen=True, kw_only=True):
    """Settings that can work, and what was made of them; a path to the command holds from every directory."""

    settings: Settings
    command: str
    key: Secret
    directory: Path


def check(settings: Settings, name: str) -> Checked:
    """What the settings of upstream `name` mean. Raises SettingsError with the faulty key."""
    for key in _NUMBERS:
        if getattr(settings, key) < (1 if key == "max_children" else 0):
            raise SettingsError(key, f"must be at least {1 if key == 'max_children' else 0}")
    for key in _SECONDS:
        if getattr(settings, key) <= 0:
            raise SettingsError(key, "must be more than 0 seconds")
    for key in ("keep_seconds", "hold_seconds"):
        if getattr(settings, key) < 0:
            raise SettingsError(key, "must not be negative")
    if not settings.command:
        raise SettingsError("command", "must not be empty")
    for tool in settings.tools:
        if not _TOOL.fullmatch(tool):
            raise SettingsError("tools", f"{tool!r} is not the name of a tool, or a rule for one")
    for variable in (*settings.pass_environment, *settings.environment):
        if not _NAME.fullmatch(variable):
            raise SettingsError("environment", f"{variable!r} is not the name of a variable")
    for index, row in enumerate(settings.models):
        if not is_model(row.name):
            raise SettingsError(f"models[{index}].name", "is not the name of a model")
    command = settings.command
    return Checked(
        settings=settings,
        command=str(Path(command).expanduser().absolute()) if os.sep in command else command,
        key=_key(settings),
        directory=_directory(settings, name),
    )


def is_model(name: str) -> bool:
    """Whether a name may stand in the argument list: it must not look like an option."""
    return re.fullmatch(r"[A-Za-z0-9][\w.:/@\[\]-]{0,200}", name) is not None


def tool_names(settings: Settings) -> tuple[str, ...]:
    """The CLI's own tools without their rules, each once."""
    return tuple(dict.fromkeys(tool.partition("(")[0] for tool in settings.tools))


def _directory(settings: Settings, name: str) -> Path:
    if settings.directory:
        return Path(settings.directory).expanduser().absolute()
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser().absolute() / "sfbridge" / re.sub(r"\W", "_", name)


def _key(settings: Settings) -> Secret:
    if settings.billing != "api_key":
        if settings.api_key or settings.api_key_file:
            raise SettingsError("api_key", 'is used with billing = "api_key" only')
        return Secret("")
    key = given(settings.api_key, settings.api_key_file, "api_key")
    if not key:
        raise SettingsError("api_key", 'is missing; billing = "api_key" needs it')
    return key
