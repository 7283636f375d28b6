"""A workdir as the vendor's plugin leaves it, with the simulator in place of the vendor's binary. Not a command of the
real one: `python -m tests.fakes.lingma_sim install FOLDER`."""

from __future__ import annotations

import base64
import json
import platform
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent.parent
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def install(folder: Path, *, logged_in: bool = True, **scenario: Any) -> Path:
    """Make the workdir; whoever starts the executable in it gets the scenario."""
    machine = platform.machine().lower()
    system = "darwin" if sys.platform == "darwin" else "linux"
    place = folder / "bin" / "2.11.1" / f"{_MACHINES.get(machine, machine)}_{system}"
    place.mkdir(parents=True)
    (folder / "bin" / "config.json").write_text('{"cosy.core.version":"2.11.1"}')
    shim = place / "Lingma"
    start = f'exec "{sys.executable}" -m tests.fakes.lingma_sim "$@"'
    shim.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" {start}\n')
    shim.chmod(0o755)
    cache = folder / "cache"
    cache.mkdir()
    (cache / "id").write_text("sim-account-1")
    if logged_in:
        (cache / "user").write_bytes(base64.b64encode(b"SIM-SECRET sim-account-1"))
    (folder / "sim.json").write_text(json.dumps(scenario))
    return folder
