"""Scripted turns from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sfbridge.sandbox import SandboxSettings, ScenarioError, create_org
from sfbridge.sandbox.conversation import Call, Conversation, Offered, Said, Turn
from sfbridge.sandbox.scenario import player_of

PYTHON = """
from __future__ import annotations
from dataclasses import dataclass, field

@dataclass
class Turn:
    text: str = ""
    calls: list[tuple[str, dict]] = field(default_factory=list)

def turn(prompt_text, done):
    if "go" in prompt_text and done == 0:
        return Turn("First.", [("Write", {"content": "a\\n"}), ("Bash", {})])
    return Turn(f"done {done}")
"""
TOML = """
[[turn]]
match = "weather in (\\\\w+)"
done = 0
text = "Looking."
[[turn.call]]
name = "get_weather"
arguments = {city = "Oslo"}
[[turn]]
match = "weather"
text = "It rains."
"""


def talk(*texts: str, tools: tuple[Offered, ...] = (Offered("Write"),)) -> Conversation:
    said = tuple(
        Said(role="assistant" if place % 2 else "user", text=text)
        for place, text in enumerate(texts)
    )
    return Conversation(said=said, everything="\n".join(texts), tools=tools)


def test_python(tmp_path: Path) -> None:
    """A Python file gets all text and the number of assistant turns; its turns are used unchanged."""
    path = tmp_path / "script.py"
    path.write_text(PYTHON)
    play = player_of(str(path))
    calls = (Call("Write", {"content": "a\n"}), Call("Bash", {}))
    assert play(talk("go")) == Turn("First.", calls)
    assert play(talk("go", "x", "y")) == Turn("done 1")
    assert play(talk("go", tools=())) == Turn('{"title": "Sandbox"}')


def test_toml(tmp_path: Path) -> None:
    """The first turn of a TOML file that matches is said; without one the rules answer."""
    path = tmp_path / "script.toml"
    path.write_text(TOML)
    play = player_of(str(path))
    assert play(talk("weather in Oslo")) == Turn(
        "Looking.", (Call("get_weather", {"city": "Oslo"}),)
    )
    assert play(talk("weather in Oslo", "Looking.", "and?")) == Turn("It rains.")
    assert play(talk("hi")) == Turn("Echo: hi")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", "turn = 1"),
        ("a.toml", "[[turn]]\nsay = 'x'"),
        ("a.toml", "[[turn]]\nmatch = '('"),
        ("a.toml", "not toml"),
        ("a.py", "x = 1"),
        ("a.py", "def ("),
        ("a.py", "import no_such_module_anywhere"),
    ],
)
def test_unusable(tmp_path: Path, name: str, text: str) -> None:
    """A scenario that cannot be used is refused at the start, with its path."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ScenarioError, match=name):
        create_org(SandboxSettings(scenario=str(path)))


def test_missing() -> None:
    """A scenario that is not there is refused too."""
    with pytest.raises(ScenarioError, match="no such"):
        player_of("/nowhere/script.toml")


async def test_through_the_org(open_org: Any, tmp_path: Path) -> None:
    """An org plays its scenario on every surface."""
    path = tmp_path / "script.toml"
    path.write_text("[[turn]]\ntext = 'Scripted.'")
    desk = await open_org(scenario=str(path))
    assert await desk.says("anything") == "Scripted."
