"""The files that make sfbridge a service of one's own account: a systemd user unit, a launchd agent. Pure text."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

LABEL: Final = "local.sfbridge"

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
# secrets, as SFBRIDGE_SECTION__KEY=value lines; readable by nobody else
EnvironmentFile=-%E/sfbridge/environment
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
