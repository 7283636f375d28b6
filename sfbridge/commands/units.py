"""The files that make sfbridge a service of one's own account: a systemd user unit, a launchd agent. Pure text."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

LABEL: Final = "local.sfbridge"

# What needs no user namespace, which a user's own systemd cannot count on. Writable and executable memory stays
# allowed, and the home too: the claude CLI and Lingma are children of the server and need both.
_UNIT: Final = """\
# Written by `sfbridge service install`; that command writes it anew.
[Unit]
Description=sfbridge, answers OpenAI and Anthropic clients
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={folder}
# secrets, as SFBRIDGE_SECTION__KEY=value lines; readable by nobody else
EnvironmentFile=-%E/sfbridge/environment
Restart=on-failure
RestartSec=2
WatchdogSec=30
TimeoutStartSec=60
TimeoutStopSec={stop}
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native

[Install]
WantedBy=default.target
"""


def systemd_unit(command: Sequence[str], folder: Path, grace: float) -> str:
    """The unit of a server that is given `grace` seconds to end its open answers."""
    return _UNIT.format(
        command=" ".join(map(_quoted, command)),
        folder=str(folder).replace("%", "%%"),
        stop=int(grace) + 15,
    )


def launchd_agent(command: Sequence[str], folder: Path, log: Path) -> str:
    """The property list of an agent that runs while its owner is logged in."""
    agent = {
        "Label": LABEL,
        "ProgramArguments": list(command),
        "WorkingDirectory": str(folder),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ProcessType": "Background",
        "Umask": 0o077,
        "StandardOutPath": str(log),
        "StandardErrorPath": str(log),
    }
    return plistlib.dumps(agent, sort_keys=False).decode()


def _quoted(word: str) -> str:
    """One word of a command line as systemd reads it."""
    for letter, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        word = word.replace(letter, written)
    return f'"{word}"'
