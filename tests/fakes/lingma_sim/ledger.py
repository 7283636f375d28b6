"""What a simulated process remembers in its workdir: sessions, and counts for the tests to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(path: Path, text: str) -> None:
    """Replace a file at once, so that no reader sees half of it."""
    half = path.with_name(path.name + ".half")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


class Ledger:
    """Counts in `sim-stats.json`, sessions in `cache/sim-sessions.json`."""

    def __init__(self, workdir: Path, registry: str) -> None:
        self._workdir = workdir
        self._stats_path = workdir / "sim-stats.json"
        self._sessions_path = workdir / "cache" / "sim-sessions.json"
        self._registry = Path(registry) if registry else None
        self.stats: dict[str, Any] = {"starts": 0, "unacknowledged": 0, "slowest_ack": 0.0}
        if self._stats_path.exists():
            self.stats |= json.loads(self._stats_path.read_text())
        self.sessions: dict[str, list[str]] = {}
        if self._sessions_path.exists():
            self.sessions = json.loads(self._sessions_path.read_text())
        self.count("starts")

    def count(self, what: str, by: int = 1) -> None:
        self.stats[what] = self.stats.get(what, 0) + by
        self.save()

    def most(self, what: str, value: float) -> None:
        if value > self.stats.get(what, 0):
            self.stats[what] = value

    def note(self, what: str, value: Any) -> None:
        self.stats.setdefault(what, []).append(value)
        self.save()

    def save(self) -> None:
        write(self._stats_path, json.dumps(self.stats))

    def belongs(self, session: str) -> bool:
        """Whether this process may go on with a session; the first one to hear of it owns it."""
        if self._registry is None:
            return True
        self._registry.mkdir(parents=True, exist_ok=True)
        claim = self._registry / session
        try:
            with claim.open("x") as file:
                file.write(str(self._workdir))
        except FileExistsError:
            return claim.read_text() == str(self._workdir)
        return True

    def heard(self, session: str, question: str) -> None:
        self.sessions.setdefault(session, []).append(question)
        self._sessions_path.parent.mkdir(parents=True, exist_ok=True)
        write(self._sessions_path, json.dumps(self.sessions))

    def forget(self, session: str) -> bool:
        known = self.sessions.pop(session, None) is not None
        write(self._sessions_path, json.dumps(self.sessions))
        return known
