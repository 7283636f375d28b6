"""A home with a configuration, and in its PATH a systemctl and a launchctl that act like the real ones: they remember
what is loaded, refuse what those refuse, and write down what they are asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from program import ORG, configured

UNIT: Final = Path(".config/systemd/user/sfbridge.service")
AGENT: Final = Path("Library/LaunchAgents/local.sfbridge.plist")
FILES: Final = {"systemd": UNIT, "launchd": AGENT}

# `known` is what it read at its last daemon-reload; `no-bus` and `state` are put there by tests.
_SYSTEMCTL: Final = """\
#!/bin/sh
echo "systemctl $*" >> "$HOME/asked"
if [ -e "$HOME/no-bus" ]; then
  echo 'Failed to connect to bus: No medium found' >&2
  exit 1
fi
case "$*" in
  *daemon-reload) cp "$HOME/.config/systemd/user/sfbridge.service" "$HOME/known" 2> /dev/null || rm -f "$HOME/known" ;;
  *enable*) [ -e "$HOME/known" ] ;;
  *restart*)
    if [ -e "$HOME/state" ]; then
      echo 'Job for sfbridge.service failed because the control process exited with error code.' >&2
      exit 1
    fi ;;
  *reset-failed*) echo 'Unit sfbridge.service not loaded.' >&2; exit 1 ;;
  *show*) cat "$HOME/state" 2> /dev/null || printf 'ActiveState=active\\nSubState=running\\nResult=success\\nNRestarts=0\\n' ;;
  *status*) echo 'what systemd says of it' ;;
esac
"""
_JOURNALCTL: Final = """\
#!/bin/sh
echo 'sfbridge: server.port: the last words of the server'
"""
# An agent that was booted out is gone only after a while, as a server that ends its answers is: `ending` has a letter
# for each further look.
_LAUNCHCTL: Final = """\
#!/bin/sh
echo "launchctl $*" >> "$HOME/asked"
case "$1" in
  print)
    if [ -s "$HOME/ending" ]; then
      left=$(cat "$HOME/ending"); printf '%s' "${left#?}" > "$HOME/ending"
      printf '%s = {\\n\\tstate = SIGTERMed\\n}\\n' "$2"; exit
    fi
    if [ ! -e "$HOME/loaded" ]; then
      echo 'Bad request.' >&2
      echo 'Could not find service "local.sfbridge" in domain for user gui: 501' >&2
      exit 113
    fi
    printf '%s = {\\n\\tactive count = 1\\n\\tstate = running\\n\\tlast exit code = (never exited)\\n\\tdomain = {\\n\\t\\tstate = active\\n\\t}\\n}\\n' "$2" ;;
  bootout)
    if [ ! -e "$HOME/loaded" ]; then echo 'Boot-out failed: 3: No such process' >&2; exit 3; fi
    rm "$HOME/loaded"; printf 'xx' > "$HOME/ending"
    echo 'Boot-out failed: 36: Operation now in progress' >&2
    exit 36 ;;
  bootstrap)
    if [ -e "$HOME/loaded" ] || [ -s "$HOME/ending" ]; then
      echo 'Bootstrap failed: 5: Input/output error' >&2
      exit 5
    fi
    cp "$3" "$HOME/loaded" ;;
esac
"""


def desk(home: Path, text: str = ORG) -> dict[str, str]:
    """The environment of such a home."""
    configured(home, text)
    folder = home / "bin"
    folder.mkdir()
    fakes = {"systemctl": _SYSTEMCTL, "journalctl": _JOURNALCTL, "launchctl": _LAUNCHCTL}
    for name, script in fakes.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def asked(home: Path) -> list[str]:
    """What the two were told to do; what they were only asked is left out."""
    path = home / "asked"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if " print " not in line and " show " not in line]
