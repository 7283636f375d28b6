"""The manual tells the truth: doors, faults, commands and links of README.md and VERIFY.md exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sfbridge.cli import COMMANDS
from sfbridge.config import Config, Key, Route
from sfbridge.policy.pruning import Pruning
from sfbridge.sandbox import SandboxSettings, create_org
from sfbridge.sandbox.faults import fault_of
from sfbridge.server.app import create_app
from sfbridge.upstream.claude_cli import Settings as ClaudeSettings
from sfbridge.upstream.lingma import Settings as LingmaSettings
from sfbridge.upstream.openai import Settings as OpenAiSettings
from sfbridge.upstream.salesforce import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "VERIFY.md")
_CONFIG = Config()
# sections of config.toml that have commented keys, and where those keys' defaults are
TABLES = {
    **{
        name: getattr(_CONFIG, name)
        for name in (
            "server",
            "stream",
            "http",
            "models",
            "tools",
            "output",
            "journal",
            "sessions",
            "log",
        )
    },
    "pruning": Pruning(),
    "keys.n8n": Key(),
    "upstream.salesforce": Settings(),
    "upstream.local": OpenAiSettings(),
    "upstream.claude": ClaudeSettings(),
    "upstream.lingma": LingmaSettings(),
    "sandbox": SandboxSettings(),
}


def part(heading: str) -> str:
    """The text under one heading of the README, up to the next of its level."""
    found = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def doors() -> set[tuple[str, str]]:
    """(method, path) of every route of the application; HEAD comes with GET and is not counted."""
    routes = create_app(Config()).router.routes()
    return {
        (route.method, re.sub(r"\{\w+(:[^}]*)?\}", "{id}", route.resource.canonical))
        for route in routes
        if route.resource is not None and route.method != "HEAD"
    }


def test_every_route_is_in_the_manual() -> None:
    """Each door of the application is named in the README, by itself or as one of /anthropic."""
    named = {
        (method, re.sub(r"\{\w+\}", "{id}", path))
        for method, path in re.findall(r"`([A-Z]+) (/[^`\s]*)`", part("Doors"))
    }
    assert "`/anthropic/…`" in part("Doors")
    missing = []
    for method, path in doors():
        shorter = path.removeprefix("/anthropic") or "/"
        # a door of the Anthropic prefix repeats one that is named without it
        if (method, path) not in named and (shorter == path or (method, shorter) not in named):
            missing.append(f"{method} {path}")
    assert sorted(missing) == []


def test_every_named_route_exists() -> None:
    """The README names no door that is not there."""
    named = {
        (method, re.sub(r"\{\w+\}", "{id}", path))
        for method, path in re.findall(r"`([A-Z]+) (/[^`\s]*)`", part("Doors"))
    }
    assert named - doors() == set()


def test_every_command_is_in_the_manual() -> None:
    """Each command of the program has its row, and the manual names no other."""
    rows = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", part("Commands"), re.MULTILINE)
    named = {name.split()[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named == {command.__name__.rpartition(".")[2].replace("_", "-") for command in COMMANDS}


def test_every_symptom_is_one_that_the_program_shows() -> None:
    """What the table of troubles quotes is said so somewhere in the program."""
    said = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sfbridge").rglob("*.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", said)  # literals that go on in the next line
    rows = re.findall(r"^\| (.+?) \|", part("When something is wrong"), re.MULTILINE)
    quoted = [quote for row in rows for quote in re.findall(r"`([^`]+)`", row)]
    assert len(quoted) >= 8
    assert [quote for quote in quoted if quote not in said] == []


def test_every_named_fault_exists() -> None:
    """A sandbox model that the README names misbehaves as it says, rather than being unknown."""
    names = re.findall(r"`[^`\s]*(sandbox-[a-z0-9.-]+)`", part("The sandbox org"))
    assert len(names) >= 4
    assert [name for name in names if fault_of(name) is None] == []


@pytest.mark.parametrize("command", ["start command", "test command"])
def test_each_command_stands_once(command: str) -> None:
    """The start and the test command are marked once, and a shell block follows each mark."""
    marks = list(re.finditer(rf"^<!-- {command} -->\n```sh\n([^\n]+)\n```$", README, re.MULTILINE))
    assert len(marks) == README.count(f"<!-- {command} -->") == 1


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    """Each relative link of the manual names a file of the repository, each anchor a heading of its page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = ROOT / (name or page)
        if not file.exists() or (
            anchor and anchor not in anchors(file.read_text(encoding="utf-8"))
        ):
            broken.append(target)
    assert broken == []


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings make."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def test_every_named_file_exists() -> None:
    """Files and folders of the repository that the README names in code marks are there."""
    for name in re.findall(r"`((?:sfbridge|tests)/[\w./-]*)`", README):
        assert (ROOT / name).exists(), name


def settings_file() -> dict[str, dict[str, str]]:
    """The keys of config.toml by section, commented out or not, with their values as written."""
    keys: dict[str, dict[str, str]] = {}
    section = ""
    for line in (ROOT / "config.toml").read_text(encoding="utf-8").splitlines():
        if head := re.match(r"^(?:# )?\[+([\w.]+)\]+", line):
            section = head[1]
        elif found := re.match(r"^(?:# )?(\w+) = (.+?)(?:\s{2,}#.*)?$", line):
            keys.setdefault(section, {})[found[1]] = found[2]
    return keys


def test_defaults_in_the_configuration_file_are_the_defaults() -> None:
    """Every key of config.toml exists and has its default there, but for those that point at the sandbox org."""
    own = {
        "upstream.salesforce": {
            "kind",
            "my_domain",
            "native_calls",
            "prune",
            "supplement",
            "require_tools",
            "in_flight",
            "queue",
            "queue_seconds",
        },
        "upstream.local": {"kind", "base_url", "images"},
        "upstream.claude": {"kind"},
        "upstream.lingma": {"kind", "source", "instances", "in_flight"},
        "sandbox": {"enabled", "port"},
        "keys.n8n": {"secret_hash"},
    }
    wrong, seen = [], 0
    for section, table in TABLES.items():
        for key, written in settings_file()[section].items():
            if key in own.get(section, ()):
                continue
            seen += 1
            value, default = tomllib.loads(f"x = {written}")["x"], getattr(table, key)
            if value != (list(default) if isinstance(default, tuple) else default):
                wrong.append(f"{section}.{key} = {written}, but the default is {default!r}")
    assert wrong == []
    assert seen > 25


def test_every_setting_is_in_the_configuration_file() -> None:
    """No key has to be guessed; those of the sandbox org that only tests need are left out."""
    absent = {  # tables of their own there
        "models": {"aliases"},
        "upstream.salesforce": {"models"},
        "upstream.local": {"models"},
        "upstream.claude": {"models"},
        "keys.n8n": {"secret"},
    }
    missing = [
        f"{section}.{key}"
        for section, table in TABLES.items()
        if section != "sandbox"
        for key in table.__struct_fields__
        if key not in settings_file()[section] and key not in absent.get(section, ())
    ]
    assert missing == []


def test_the_table_of_settings_has_every_key() -> None:
    """Each section of the configuration has its row in the manual, with exactly the keys that the program reads."""
    own: dict[str, type[Any]] = {"keys": Key, "pruning": Pruning, "route": Route}
    raw = ("upstream", "sandbox")  # their keys belong to others
    rows = re.findall(r"^\| `\[+(\w+)[^`]*` \| (.+?) \|", part("Settings"), re.MULTILINE)
    shown = {name: re.findall(r"`(\w+)`", keys) for name, keys in rows if name not in raw}
    assert shown == {
        name: list((own.get(name) or type(getattr(_CONFIG, name))).__struct_fields__)
        for name in Config.__struct_fields__
        if name not in raw
    }


def test_the_scenario_of_the_manual_plays(tmp_path: Path) -> None:
    """The scripted turns that the README shows are a scenario that the sandbox org takes."""
    found = re.search(r"^```toml\n(# turns\.toml.+?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found
    scenario = tmp_path / "turns.toml"
    scenario.write_text(found[1], encoding="utf-8")
    assert create_org(SandboxSettings(scenario=str(scenario)))
    assert re.search(tomllib.loads(found[1])["turn"][0]["match"], "the weather in Oslo")
