"""What one simulated process does, read from `sim.json` in its workdir."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

PLAIN = [{"step": "start_end"}, {"title": "Sim"}, {"answer": "echo: {{question}}"}, {"finish": 200}]


@dataclass
class Play:
    """The steps of one ask, and how slowly they come (seconds)."""

    steps: list[dict[str, Any]] = field(default_factory=lambda: list(PLAIN))
    first_delay: float = 0.0
    chunk_delay: float = 0.0


@dataclass
class Scenario:
    """Every key of `sim.json`. Unknown keys end the process, so that a test cannot misspell one."""

    seed: int = 1
    dialect: str = "classic"  # "acp", "both"
    name: str = "lingma"
    version: str = "2.11.1"
    start_delay: float = 0.0
    exit_at_start: int | None = None
    taken_ports: int = 0  # so many starts find their port taken
    detach: bool = (
        False  # the process goes on as another one, as the plugin's start on Windows does
    )
    no_info: bool = False
    legacy_info: bool = False
    torn_info: bool = False
    stdout_noise: int = 0
    ack_timeout: float = 2.0
    on_missing_ack: str = "close"  # "mute", "defer"
    chunking: str = "one"  # "split", "coalesce", "mixed"
    string_ids: bool = False
    strict: bool = True
    survive_term: bool = False
    registry: str = ""  # a folder that several processes share, to catch sessions of each other
    single_ask_per_connection: bool = False
    ignore_stop: bool = False
    late_answers: int = 0
    silent_ping: bool = False
    busy_times: int = 0  # so many asks are told that another chat is in progress
    forget_sessions: bool = False  # a known session is answered with -32001, once per session
    own_session_ids: bool = False  # the server's choice, whatever the client says
    auth: dict[str, Any] = field(default_factory=lambda: {"status": 2, "whitelist": 3})
    models: dict[str, Any] = field(
        default_factory=lambda: {
            "chat": [
                {"key": "auto", "displayName": "Auto"},
                {"key": "dashscope_qwen3_coder", "displayName": "Qwen3-Coder"},
            ],
            "inline": [],
        }
    )
    default: dict[str, Any] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)

    def play(self, last_line: str) -> Play:
        """The first rule that matches the last line of the question, else the default."""
        for rule in self.rules:
            if re.search(rule["match"], last_line):
                return Play(**{**self.default, **{k: v for k, v in rule.items() if k != "match"}})
        return Play(**self.default)


def load(workdir: Path) -> Scenario:
    path = Path(os.environ.get("LINGMA_SIM_SCENARIO") or workdir / "sim.json")
    table = json.loads(path.read_text()) if path.exists() else {}
    unknown = set(table) - {f.name for f in fields(Scenario)}
    if unknown:
        raise SystemExit(f"sim.json: unknown keys {sorted(unknown)}")
    return Scenario(**table)
