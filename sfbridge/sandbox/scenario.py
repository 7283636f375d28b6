"""Scripted turns: a TOML file of turns, or a Python file that offers `turn(prompt_text, done)`.

TOML, first match wins, no match leaves the answer to the rules:

    [[turn]]
    match = "weather in (\\w+)"   # a pattern searched in all text of the request; absent: always
    done = 0                      # assistant turns that must already stand; absent: any number
    text = "Looking it up."
    [[turn.call]]
    name = "get_weather"
    arguments = {city = "Oslo"}

Python: `turn` gets all text of the request and the number of assistant turns, and returns anything with
`.text` and `.calls`, a list of (name, arguments). Requests without tools get a fixed text instead, since
titles and probes are no part of a script.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from .conversation import Call, Conversation, Turn
from .rules import decide

Player = Callable[[Conversation], Turn]

WITHOUT_TOOLS: Final = '{"title": "Sandbox"}'
# What a person's own script may raise while it is loaded.
_SCRIPT_FAULTS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
_MODULE: Final = "sandbox_scenario"


class ScenarioError(Exception):
    """The scenario file cannot be used; the message says why."""


class _ScriptedCall(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, Any] = {}


class _Scripted(Struct, frozen=True, forbid_unknown_fields=True):
    text: str = ""
    match: str = ""
    done: int | None = None
    call: tuple[_ScriptedCall, ...] = ()


class _Script(Struct, frozen=True, forbid_unknown_fields=True):
    turn: tuple[_Scripted, ...]


def player_of(path: str) -> Player:
    """What plays the model: the rules, or the scenario at `path`. Raises ScenarioError."""
    if not path:
        return decide
    if not Path(path).is_file():
        raise ScenarioError(f"{path}: there is no such scenario file")
    return _python(path) if path.endswith(".py") else _toml(path)


def _toml(path: str) -> Player:
    try:
        script = msgspec.convert(tomllib.loads(Path(path).read_text(encoding="utf-8")), _Script)
        turns = [(re.compile(scripted.match), scripted) for scripted in script.turn]
    except (
        tomllib.TOMLDecodeError,
        UnicodeDecodeError,
        msgspec.ValidationError,
        re.error,
    ) as error:
        raise ScenarioError(f"{path}: {error}") from None

    def play(conversation: Conversation) -> Turn:
        done = conversation.assistant_turns
        for pattern, scripted in turns:
            if scripted.done in (None, done) and pattern.search(conversation.everything):
                calls = tuple(Call(call.name, call.arguments) for call in scripted.call)
                return Turn(scripted.text, calls)
        return decide(conversation)

    return play


def _python(path: str) -> Player:
    script = _loaded(path)

    def play(conversation: Conversation) -> Turn:
        if not conversation.tools:
            return Turn(WITHOUT_TOOLS)
        said = script(conversation.everything, conversation.assistant_turns)
        return Turn(said.text, tuple(Call(name, arguments) for name, arguments in said.calls))

    return play


def _loaded(path: str) -> Callable[[str, int], Any]:
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise ScenarioError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name while they are built
    sys.modules[_MODULE] = module
    try:
        spec.loader.exec_module(module)
    except _SCRIPT_FAULTS as error:
        raise ScenarioError(f"{path}: {type(error).__name__}: {error}") from None
    finally:
        del sys.modules[_MODULE]
    turn = getattr(module, "turn", None)
    if not callable(turn):
        raise ScenarioError(f"{path}: it has no function turn(prompt_text, done)")
    return turn  # type: ignore[no-any-return]
