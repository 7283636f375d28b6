"""What systemd is told, over a real datagram socket."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from sfbridge.commands.notify import Notify, watchdog_seconds


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_every_state_is_one_datagram(tmp_path: Path, kind: str) -> None:
    """Readiness, reload, life and stop arrive in systemd's words, at a path or an abstract address."""
    address = str(tmp_path / "notify") if kind == "path" else f"@sfbridge-{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(address.replace("@", "\0", 1) if kind == "abstract" else address)
        notify = Notify.from_environ({"NOTIFY_SOCKET": address})
        notify.ready()
        notify.alive()
        notify.stopping()
        notify.reloading()
        found = [supervisor.recv(200).decode() for _ in range(4)]
    assert found[:3] == ["READY=1", "WATCHDOG=1", "STOPPING=1"]
    state, stamp = found[3].split("\n")
    assert state == "RELOADING=1"
    micros = int(stamp.removeprefix("MONOTONIC_USEC="))
    assert 0 <= time.monotonic() * 1_000_000 - micros < 60_000_000


def test_nobody_listening_is_no_fault(tmp_path: Path) -> None:
    """Without a socket, and with one that is gone, nothing happens."""
    Notify.from_environ({}).ready()
    Notify(str(tmp_path / "gone")).ready()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_where_it_was_set(
    environ: dict[str, str], seconds: float | None
) -> None:
    """Its time counts only for the process that it was set for."""
    assert watchdog_seconds(environ, 7) == seconds
