"""Claude Code: what it must be told, and what in its own settings files would tell it otherwise.

The `env` of its settings files wins over its environment, and what `--settings` names wins over those files, but not
over the files of an administrator. Of several `--settings`, the last one counts. An empty variable counts as none,
an empty `apiKeyHelper` too. All measured with 2.1.329; names and meanings of the variables also with 2.1.197.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from sfbridge.client import Model
from sfbridge.config import ConfigError
from sfbridge.policy.routing import PICKER_PREFIX

from .setup import ANY_KEY, Order, Setup

BASE_URL: Final = "ANTHROPIC_BASE_URL"
_TOKEN: Final = "ANTHROPIC_AUTH_TOKEN"
# Claude Code's own instructions and tools take 20,000 tokens and more, and its answers want room too.
LEAST_WINDOW: Final = 32_000
# A key of one's own would be sent beside the token, headers of one's own too, and the others lead elsewhere.
_WITHOUT: Final = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
)
_WINDOW: Final = "CLAUDE_CODE_MAX_CONTEXT_TOKENS"
_MOST_OUTPUT: Final = "CLAUDE_CODE_MAX_OUTPUT_TOKENS"
_PERMISSION_FLAGS: Final = ("--permission-mode", "--dangerously-skip-permissions")
_SETTINGS_FLAG: Final = "--settings"
_HELPER: Final = "apiKeyHelper"
MANAGED: Final = Path(
    "/Library/Application Support/ClaudeCode/managed-settings.json"
    if sys.platform == "darwin"
    else "/etc/claude-code/managed-settings.json"
)
# What leads elsewhere, whatever the model.
LEADING: Final = (BASE_URL, _HELPER, *_WITHOUT)
_ADVICE: Final = (
    "Claude Code's auto permission mode needs a server that judges commands; its default mode asks you instead, and "
    "--permission-mode acceptEdits (with sfbridge run: behind --) asks less"
)


class Layer(NamedTuple):
    """One settings file: the variables that it sets, its permission mode, and whether it names a maker of keys."""

    path: Path
    environ: dict[str, str]
    mode: str = ""
    helper: bool = False
    managed: bool = False


def setup(order: Order, managed: Path = MANAGED) -> Setup:
    """Every role gets the same model, under a name that Claude Code does not know: for names that it knows it
    believes its own idea of the window. Raises ConfigError for a --settings that cannot be read, and where an
    administrator leads Claude Code elsewhere."""
    environ = _environ(order)
    for layer, names in contradictions(order, managed):
        if layer.managed and (found := [name for name in names if name in (*LEADING, _TOKEN)]):
            told = f"{layer.path} sets {', '.join(found)} for every Claude Code of this machine"
            raise ConfigError(f"{told}, and nothing goes over it")
    given, arguments = _settings_of(order.arguments)
    without = (*_WITHOUT, *(name for name in (_WINDOW, _MOST_OUTPUT) if name not in environ))
    ours = {**environ, **dict.fromkeys(without, "")}
    settings = {**given, _HELPER: "", "env": {**_texts(given.get("env")), **ours}}
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    own = any(word.startswith(_PERMISSION_FLAGS) for word in flags) or any(
        layer.mode not in ("", "auto")
        for layer in (*_layers(order, managed), _layer(Path(), given))
    )
    return Setup(
        environ=environ,
        without=without,
        arguments=arguments if own else ("--permission-mode", "default", *arguments),
        settings=settings,
        settings_flag=_SETTINGS_FLAG,
        advice=(*_narrow(order.model), *(() if own else (_ADVICE,))),
    )


def _environ(order: Order) -> dict[str, str]:
    name, model = PICKER_PREFIX + order.model.id, order.model
    environ = {
        BASE_URL: f"{order.base}/anthropic",
        _TOKEN: order.key or ANY_KEY,
        "ANTHROPIC_MODEL": name,
        **{
            f"ANTHROPIC_DEFAULT_{role}_MODEL": name for role in ("OPUS", "SONNET", "HAIKU", "FABLE")
        },
        "CLAUDE_CODE_SUBAGENT_MODEL": name,
        "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
        "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    if model.window:
        environ[_WINDOW] = str(model.window)
    if model.max_output:
        environ[_MOST_OUTPUT] = str(model.max_output)
    return environ


def _narrow(model: Model) -> Iterator[str]:
    if model.window is not None and model.window < LEAST_WINDOW:
        yield (
            f"the window of {model.id} has {model.window} tokens, and Claude Code needs {LEAST_WINDOW}: start its server "
            "with a larger one, or choose another model"
        )


# ---- settings files


def contradictions(order: Order, managed: Path = MANAGED) -> Iterator[tuple[Layer, list[str]]]:
    """The settings files that tell Claude Code something else than it must be told, and which of their names do.
    Values are not told: they may be secret."""
    ours = {**_environ(order), **dict.fromkeys(_WITHOUT, "")}
    for layer in _layers(order, managed):
        names = [name for name, value in layer.environ.items() if ours.get(name, value) != value]
        names += [_HELPER] if layer.helper else []
        if names:
            yield layer, names


def _layers(order: Order, managed: Path) -> Iterator[Layer]:
    """The user's file, the folder's two, the administrator's; the weakest first. Folders around it do not count."""
    own = order.environ.get("CLAUDE_CONFIG_DIR") or f"{order.environ.get('HOME', '')}/.claude"
    here = order.folder / ".claude"
    paths = (Path(own) / "settings.json", here / "settings.json", here / "settings.local.json")
    for path in (*paths, managed):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            yield _layer(path, found, managed=path == managed)


def _layer(path: Path, found: Mapping[str, Any], *, managed: bool = False) -> Layer:
    permissions = found.get("permissions")
    mode = permissions.get("defaultMode") if isinstance(permissions, dict) else None
    return Layer(
        path=path,
        environ=_texts(found.get("env")),
        mode=mode if isinstance(mode, str) else "",
        helper=bool(found.get(_HELPER)),
        managed=managed,
    )


def _texts(table: Any) -> dict[str, str]:
    return {name: str(value) for name, value in table.items()} if isinstance(table, dict) else {}


def _settings_of(arguments: Sequence[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings that the user gave as an argument, file or JSON, and the other arguments. Raises ConfigError."""
    given, rest, words = "", [], iter(arguments)
    for word in words:
        if word == "--":  # what follows is somebody else's
            rest += [word, *words]
        elif word == _SETTINGS_FLAG:
            given = next(words, "")
        elif word.startswith(f"{_SETTINGS_FLAG}="):
            given = word.partition("=")[2]
        else:
            rest.append(word)
    if not given:
        return {}, tuple(rest)
    try:
        found = json.loads(given if given.lstrip().startswith("{") else Path(given).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--settings of Claude Code: it cannot be read ({type(error).__name__})"
        ) from None
    if not isinstance(found, dict):
        raise ConfigError("--settings of Claude Code: it must be a JSON object")
    return found, tuple(rest)
