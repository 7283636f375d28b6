"""What the workdir of a process tells: where it listens, and which executable is its own."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

FILES: Final = (".info.json", ".info")
_MOST: Final = 64 * 1024
_MOST_PORT: Final = 65535
_ARCHITECTURES: Final = {
    "amd64": "x86_64",
    "x86_64": "x86_64",
    "arm64": "aarch64",
    "aarch64": "aarch64",
}
_SYSTEMS: Final = {"linux": "linux", "darwin": "darwin", "win32": "windows"}


class Info(Struct, frozen=True):
    """Where a process listens, and which one it says it is."""

    port: int
    pid: int = 0
    written: float = 0.0


class _Json(Struct, frozen=True):
    websocketPort: int = 0  # noqa: N815  the process' own words
    webSocketPort: int = 0  # noqa: N815
    socketPort: int = 0  # noqa: N815
    port: int = 0
    pid: int = 0


class _Core(Struct, frozen=True):
    version: str = msgspec.field(default="", name="cosy.core.version")


_json: Final = msgspec.json.Decoder(_Json, strict=False)
_core: Final = msgspec.json.Decoder(_Core)


def read_info(workdir: Path) -> Info | None:
    """The newer discovery file, else the older one; None while there is none that makes sense, for it may be half
    written."""
    for name in FILES:
        path = workdir / name
        try:
            state = path.stat()
            if state.st_size > _MOST:
                continue
            data = path.read_bytes()
        except OSError:
            continue
        found = _of_json(data) if name.endswith("json") else _of_lines(data)
        if found is not None and 1 <= found.port <= _MOST_PORT:
            return msgspec.structs.replace(found, written=state.st_mtime)
    return None


def _of_json(data: bytes) -> Info | None:
    try:
        found = _json.decode(data)
    except msgspec.MsgspecError:
        return None
    port = found.websocketPort or found.webSocketPort or found.socketPort or found.port
    return Info(port, found.pid)


def _of_lines(data: bytes) -> Info | None:
    lines = data.decode("utf-8", "replace").split()
    if len(lines) < 2 or not (lines[0].isdecimal() and lines[1].isdecimal()):
        return None
    return Info(int(lines[0]), int(lines[1]))


def find_binary(given: str, folders: tuple[Path, ...]) -> Path | None:
    """The executable: the one given, else the one that a workdir's configuration names, else its newest."""
    if given:
        path = Path(given).expanduser()
        return path if path.is_file() else None
    for folder in folders:
        try:
            named = _core.decode((folder / "bin" / "config.json").read_bytes()).version
        except (OSError, msgspec.MsgspecError):
            named = ""
        versions = [path.name for path in (folder / "bin").glob("*/") if path.is_dir()]
        for version in ([named] if named else []) + sorted(versions, key=_number, reverse=True):
            path = folder / "bin" / version / _platform() / _executable()
            if path.is_file():
                return path
    return None


def _platform() -> str:
    machine = platform.machine().lower()
    return f"{_ARCHITECTURES.get(machine, 'i686')}_{_SYSTEMS.get(sys.platform, sys.platform)}"


def _executable() -> str:
    return "Lingma.exe" if sys.platform == "win32" else "Lingma"


def _number(version: str) -> tuple[int, ...]:
    """Versions in the order of their numbers: 2.10 comes after 2.9."""
    return tuple(int(part) if part.isdecimal() else -1 for part in version.split("."))
