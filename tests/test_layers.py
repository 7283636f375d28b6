"""The laws of the house, checked from the source itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "sfbridge"
FILES = sorted(HOUSE.rglob("*.py"))

# Who may import whom; a room may always import itself.
ALLOWED = {
    "core": set(),
    "formats": set(),
    "tables": set(),
    "config": {"tables"},
    "hiding": set(),
    "log": {"hiding", "policy"},
    "secrecy": {"config"},
    "wire": {"core", "formats"},
    "emulation": {"core"},
    "policy": {"core", "config"},
    "state": {"core"},
    "upstream": {"core", "formats", "config"},
    "exchange": {"core", "emulation", "policy", "state", "upstream"},
    "roster": {"core", "policy", "state", "upstream"},
    "planning": {"core", "emulation", "exchange", "policy", "roster", "state", "upstream"},
    "tap": {"core", "exchange", "policy"},
    "threads": {"core", "exchange", "policy", "state", "upstream"},
    "asking": {"core", "exchange", "policy", "state", "upstream"},
    "correcting": {"asking", "core", "emulation", "exchange", "state", "upstream"},
    "gateway": {
        "asking", "core", "correcting", "exchange", "planning", "policy", "state", "tap", "threads", "upstream",
    },
    "embedding": {"asking", "core", "exchange", "planning", "policy", "state", "upstream"},
    "sandbox": {"core", "formats"},
    "server": {
        "core", "formats", "config", "log", "wire", "emulation", "policy", "state", "upstream",
        "asking", "embedding", "exchange", "gateway", "hiding", "planning", "roster", "sandbox", "secrecy",
    },
    "client": {"config", "formats"},
    # a command opens a server where none runs, and looks behind its doors: to the house it is one more front
    "commands": {
        "client", "config", "core", "formats", "gateway", "hiding", "log", "policy", "sandbox", "secrecy", "server",
        "state", "tables", "upstream",
    },
    "cli": {"client", "commands", "config", "core"},
    "__main__": {"cli"},
    "__init__": set(),
}  # fmt: skip
# keys of every [upstream.<name>], whatever its kind
EVERY_UPSTREAM = (
    "native_calls", "prune", "supplement", "require_tools", "in_flight", "queue", "queue_seconds",
)  # fmt: skip
PURE = {"core", "formats", "wire", "emulation", "policy"}
IMPURE = {"asyncio", "aiohttp", "time", "random", "uuid", "os", "socket", "threading"}
WITH_WEB = {"server", "sandbox", "commands"}


def room(path: Path) -> str:
    first = path.relative_to(HOUSE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, absolute."""
    package = ["sfbridge", *path.relative_to(HOUSE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, node.module] if node.module else base)
            yield stem
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def test_rooms_look_down_only() -> None:
    """No room imports a sibling or a room above it."""
    for path in FILES:
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "sfbridge" or len(parts) < 2 or parts[1] in ("__version__", room(path)):
                continue
            if not (HOUSE / parts[1]).exists() and not (HOUSE / f"{parts[1]}.py").exists():
                continue
            assert parts[1] in ALLOWED[room(path)], f"{path.name} imports {name}"


def test_adapters_do_not_know_each_other() -> None:
    """An upstream's folder imports no other upstream's folder."""
    kinds = {p.name for p in (HOUSE / "upstream").iterdir() if p.is_dir()}
    for path in (HOUSE / "upstream").rglob("*/*.py"):
        others = kinds - {path.parent.name, "__pycache__"}
        for name in imports(path):
            assert not any(f"sfbridge.upstream.{kind}" in name for kind in others), path


def test_pure_rooms_stay_pure() -> None:
    """What thinks does no I/O, knows no time and throws no dice."""
    for path in FILES:
        if room(path) in PURE:
            found = {name.split(".")[0] for name in imports(path)} & IMPURE
            assert not found, f"{path} imports {found}"


def test_only_the_front_imports_aiohttp_web() -> None:
    """The web server stays in the rooms at the front."""
    for path in FILES:
        if room(path) not in WITH_WEB:
            assert not any(n.startswith("aiohttp.web") for n in imports(path)), path


def test_files_and_functions_are_short() -> None:
    """No file over 400 lines, no function over 60, nine of ten functions under 35."""
    sizes: list[int] = []
    for path in FILES:
        text = path.read_text()
        assert text.count("\n") <= 400, f"{path} is too long"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                assert size <= 60, f"{path}:{node.lineno} {node.name} has {size} lines"
                sizes.append(size)
    assert sorted(sizes)[len(sizes) * 9 // 10] < 35


def test_everything_is_caught_in_two_places_only() -> None:
    """`except Exception` stands in the hall and in the keeper, nowhere else."""
    found = sorted(
        path.relative_to(HOUSE).as_posix()
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
    )
    assert found == ["server/hall.py", "state/keeper.py"]


def test_no_state_at_module_level() -> None:
    """Modules hold constants, types, functions and registries; nothing is rebound."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.Global), f"{path} rebinds a global"


def test_every_key_of_the_shipped_configuration_is_known() -> None:
    """Each key of config.toml, also the commented ones, is one that the program reads."""
    from sfbridge.config import Config, section

    text = (ROOT / "config.toml").read_text()
    shown = re.sub(r"^# ?(?=(\[{1,2}[\w.]+\]{1,2}|\"?[\w-]+\"? = ))", "", text, flags=re.MULTILINE)
    import tomllib

    config = section(tomllib.loads(shown), Config, "")
    from sfbridge.sandbox import SandboxSettings
    from sfbridge.upstream import kind_of

    table = dict(config.upstream["salesforce"])
    for key in EVERY_UPSTREAM:
        table.pop(key)  # of every upstream; the application reads them
    section(table, kind_of(table.pop("kind")).settings, "upstream.salesforce")
    local = dict(config.upstream["local"])
    section(local, kind_of(local.pop("kind")).settings, "upstream.local")
    claude = dict(config.upstream["claude"])
    section(claude, kind_of(claude.pop("kind")).settings, "upstream.claude")
    lingma = dict(config.upstream["lingma"])
    lingma.pop("in_flight")
    section(lingma, kind_of(lingma.pop("kind")).settings, "upstream.lingma")
    sandbox = {k: v for k, v in config.sandbox.items() if k not in ("enabled", "port")}
    section(sandbox, SandboxSettings, "sandbox")
