"""The files that make sfbridge a service of one's own account: a systemd user unit, a launchd agent. Pure text, written
and read."""

from __future__ import annotations

import plistlib
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from xml.parsers.expat import ExpatError

import msgspec
from msgspec import Struct

from sfbridge.config import ConfigError

LABEL: Final = "local.sfbridge"
# as it is called in systemd's journal
NAME: Final = "sfbridge"

# Only what takes effect in a user's own systemd without privileges and without user namespaces, which many systems
# forbid: a switch of the process, and filters of its system calls (systemd.exec(5)). What remounts folders, hides
# devices or drops capabilities (ProtectSystem=, PrivateTmp=, ProtectClock=, ProtectKernelTunables=, ...) is ignored
# there, or keeps the server from starting.
# The claude CLI and Lingma are children of the server, so these stay out too: MemoryDenyWriteExecute= (their JavaScript
# is compiled as it runs), RestrictNamespaces= (the CLI's own sandbox, bubblewrap, is made of namespaces), a list of
# allowed system calls (it would break with their next version); and their home stays writable. What is denied below
# only root could use, or nobody has used for decades.
# OOMPolicy: a child that took too much memory must not take the server along. LimitCORE: a watchdog ends a hung process
# with SIGABRT, and its memory, written to a file, would have the keys in it; PYTHONFAULTHANDLER shows where it hung.
# KillMode: the server ends its children itself, and only what is left after that is killed.
# A broken configuration ends with exit code 1, a crash too, so that it cannot be told apart here: StartLimit ends both.
# It is wide enough for a start that takes long before it fails.
_UNIT: Final = """\
# Written by `sfbridge service install`; that command writes it anew.
[Unit]
Description=sfbridge, answers OpenAI and Anthropic clients
StartLimitIntervalSec=120
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={folder}
Environment="PYTHONFAULTHANDLER=1"
{environ}# secrets, as SFBRIDGE_SECTION__KEY=value lines; readable by nobody else
EnvironmentFile=-{secrets}
SyslogIdentifier={name}
Restart=on-failure
RestartSec=2
WatchdogSec=30
TimeoutStartSec=60
TimeoutStopSec={stop}
KillMode=mixed
OOMPolicy=continue
LimitCORE=0
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
"""
# systemd itself refuses a program whose path has one of these in it; env(1) starts it all the same.
_UNSTARTABLE: Final = frozenset("\"'\\$")
_ENV: Final = "/usr/bin/env"
_WORD: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_OWN_VARIABLE: Final = "PYTHONFAULTHANDLER"


class Plan(NamedTuple):
    """What a service runs, in which folder, with which variables, and the seconds that it has to end open answers."""

    command: tuple[str, ...]
    folder: Path
    environ: Mapping[str, str]
    grace: float

    @property
    def stop(self) -> int:
        """Seconds after which it is killed."""
        return int(self.grace) + 15


class Found(NamedTuple):
    """What a file that was written once says of its plan."""

    command: tuple[str, ...]
    environ: dict[str, str]


class _Agent(Struct, frozen=True, rename="pascal"):
    program_arguments: tuple[str, ...]
    environment_variables: dict[str, str] = {}


def systemd_unit(plan: Plan, secrets: Path) -> str:
    """The unit; `secrets` is the file with further variables. Raises ConfigError for what no unit can hold."""
    words = plan.command
    if _UNSTARTABLE & set(words[0]):
        words = (_ENV, *words)
    return _UNIT.format(
        command=" ".join(_quoted(word).replace("$", "$$") for word in words),
        folder=_line(str(plan.folder)),
        environ="".join(
            f"Environment={_quoted(f'{name}={value}')}\n" for name, value in plan.environ.items()
        ),
        # a pattern to systemd, which may match several files
        secrets=_line(re.sub(r"([*?\[\\])", r"\\\1", str(secrets))),
        name=NAME,
        stop=plan.stop,
    )


def launchd_agent(plan: Plan, log: Path) -> str:
    """The property list of an agent that runs while its owner is logged in. Raises ConfigError likewise."""
    agent = {
        "Label": LABEL,
        "ProgramArguments": [_whole(word) for word in plan.command],
        "WorkingDirectory": _whole(str(plan.folder)),
        "EnvironmentVariables": {name: _whole(value) for name, value in plan.environ.items()},
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": plan.stop,
        "ProcessType": "Background",
        "Umask": 0o077,
        "StandardOutPath": _whole(str(log)),
        "StandardErrorPath": _whole(str(log)),
    }
    return plistlib.dumps(agent, sort_keys=False).decode()


def read_unit(text: str) -> Found | None:
    """What a unit runs, as far as it was written here; None where it runs nothing."""
    words = [_bare(word).replace("$$", "$") for word in _WORD.findall(_values(text, "ExecStart"))]
    if words[:1] == [_ENV]:
        del words[0]
    pairs = [_bare(word).partition("=") for word in _WORD.findall(_values(text, "Environment"))]
    environ = {name: value for name, _, value in pairs if name != _OWN_VARIABLE}
    return Found(tuple(words), environ) if words else None


def read_agent(text: str) -> Found | None:
    """What an agent runs; None where it cannot be read."""
    try:
        agent = msgspec.convert(plistlib.loads(text.encode()), _Agent)
    except (ValueError, ExpatError):
        return None
    words = agent.program_arguments
    return Found(words, agent.environment_variables) if words else None


def read_variables(text: str) -> dict[str, str]:
    """The variables of a unit's EnvironmentFile, but for what is rare there: values of several lines."""
    found = {}
    for line in map(str.strip, text.splitlines()):
        name, sign, value = line.partition("=")
        if not sign or line.startswith(("#", ";")):
            continue
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] == "'":
            value = value[1:-1]
        elif len(value) > 1 and value[0] == value[-1] == '"':
            value = re.sub(r'\\(["\\`$])', r"\1", value[1:-1])
        else:
            value = re.sub(r"\\(.)", r"\1", value)
        found[name.strip()] = value
    return found


def _values(text: str, key: str) -> str:
    return " ".join(re.findall(rf"^{key}=(.*)$", text, re.MULTILINE))


def _whole(word: str) -> str:
    """The word itself. Raises ConfigError where it would begin a new line, or is no text."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{word!r} is not UTF-8, which a service's file must be") from None
    if any(unicodedata.category(letter) == "Cc" for letter in word):
        raise ConfigError(f"{word!r} has a line break or another control character in it")
    return word


def _quoted(word: str) -> str:
    """One word of a list as systemd reads it (systemd.syntax(7), Quoting)."""
    for letter, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        word = word.replace(letter, written)
    return f'"{_whole(word)}"'


def _bare(written: str) -> str:
    """The word of which `_quoted` made this, without the quotes."""
    return re.sub(r"\\(.)", r"\1", written).replace("%%", "%")


def _line(path: str) -> str:
    """A path that is the rest of its line: without quotes, which would be part of it. Spaces at the end are dropped by
    systemd and a backslash there joins the next line, so that a slash, which changes nothing, must hide them."""
    written = _whole(path).replace("%", "%%")
    return f"{written}/" if written.endswith((" ", "\\")) else written
