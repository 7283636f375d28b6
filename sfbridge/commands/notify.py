"""What a service tells systemd: datagrams to the socket that NOTIFY_SOCKET names, nothing where it names none."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping


class Notify:
    """Readiness, reloads, stops and signs of life. See sd_notify(3)."""

    def __init__(self, address: str = "") -> None:
        # a leading @ stands for the zero byte of an abstract socket
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Notify:
        return cls(environ.get("NOTIFY_SOCKET", ""))

    def ready(self) -> None:
        self._tell("READY=1")

    def reloading(self) -> None:
        micros = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={micros}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # a supervisor that does not listen must not stop the server
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.setblocking(False)
            way.sendto(state.encode(), self._address)


def watchdog_seconds(environ: Mapping[str, str], pid: int) -> float | None:
    """How often systemd wants a sign of life from this process; None where it wants none."""
    micros, whom = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not micros.isdecimal() or (whom and whom != str(pid)):
        return None
    return int(micros) / 1_000_000 or None
