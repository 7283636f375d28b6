"""What the file, the environment and the command line say, as raw tables; what it means is `config`'s affair."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

ENV_PREFIX: Final = "SFBRIDGE_"
# Where paths are: sections and keys, and keys of any upstream beside those that end in "_file".
_PATHS: Final = (("server", "keys_file"), ("sessions", "path"), ("sandbox", "scenario"))
_UPSTREAM_PATHS: Final = ("source", "sources", "directory", "binary", "data_dir")


class ConfigError(Exception):
    """The configuration cannot be used; the message names the key and what to do."""


def read_tables(path: Path) -> dict[str, Any]:
    """The file as it is written. Raises ConfigError where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def beside(tables: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The tables of a file, with its relative paths as seen from where the program runs. Only where paths are expected:
    elsewhere names and values are the user's own."""
    found = dict(tables)
    for section, key in _PATHS:
        if isinstance(table := found.get(section), dict) and key in table:
            found[section] = {**table, key: _beside(table[key], folder)}
    if isinstance(upstreams := found.get("upstream"), dict):
        found["upstream"] = {
            name: {key: _in_upstream(key, value, folder) for key, value in table.items()}
            if isinstance(table, dict)
            else table
            for name, table in upstreams.items()
        }
    return found


def from_here(item: str, folder: Path) -> str:
    """A `section.key=value` that means the same in every folder: a path in it is one of this folder."""
    dotted, _, value = item.partition("=")
    section, _, key = dotted.strip().rpartition(".")
    is_path = (section, key) in _PATHS or (
        section.startswith("upstream.") and _in_upstream(key, value, folder) != value
    )
    plain = value[:1] not in ("[", "{", '"', "~", "/")
    return f"{dotted}={folder / value}" if is_path and value and plain else item


def _in_upstream(key: str, value: Any, folder: Path) -> Any:
    if key == "command":
        # a bare name is looked for on the PATH
        return _beside(value, folder) if isinstance(value, str) and "/" in value else value
    return _beside(value, folder) if key in _UPSTREAM_PATHS or key.endswith("_file") else value


def _beside(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_beside(one, folder) for one in value]
    if isinstance(value, str) and value and not value.startswith("~"):
        return str(folder / value)
    return value


def overlays(
    environ: Mapping[str, str], sets: Iterable[str]
) -> Iterator[tuple[list[str], str, str]]:
    """(keys of the path, value, where it stands) of everything that goes before the file, the strongest last."""
    for name, value in environ.items():
        if not name.startswith(ENV_PREFIX):
            continue
        keys = name.removeprefix(ENV_PREFIX).lower().split("__")
        if len(keys) < 2:
            raise ConfigError(f"environment variable {name}: write it as {ENV_PREFIX}SECTION__KEY")
        yield keys, value, f"environment variable {name}"
    for item in sets:
        dotted, found, value = item.partition("=")
        if not found or not ("." in dotted or dotted == "route"):
            # what stands behind the first word may be a secret
            word = re.split(r"[=:\s]", item)[0]
            raise ConfigError(f"--set {word}…: write it as section.key=value")
        yield dotted.strip().split("."), value, f"--set {dotted}"


def put(tables: dict[str, Any], keys: list[str], value: str, origin: str) -> None:
    """Set one key; a table on the way is made, a value on the way is a fault of `origin`."""
    table = tables
    for key in keys[:-1]:
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{origin}: {key} is a value, not a section")
        table = inner
    whole_key = keys[0] == "keys" and len(keys) == 2
    plain = whole_key or "secret" in keys[-1] or "key" in keys[-1]
    table[keys[-1]] = value if plain else _value(value, origin)


def _value(text: str, origin: str) -> Any:
    """Lists, tables and quoted text are TOML; anything else stays text, converted by the key's own type. Secrets are
    never read as TOML: they may begin with any character."""
    if text[:1] not in ("[", "{", '"'):
        return text
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin}: {error}") from None
