"""What it takes to start a program: what it is asked for, and what comes of it. Plain data, nothing is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from sfbridge.client import Model

# A server without keys takes any; the programs insist on having one.
ANY_KEY: Final = "sfbridge"


class Order(NamedTuple):
    """A program is wanted: for which server and model, with which arguments of the user's, and from where."""

    base: str
    key: str
    model: Model
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = {}
    folder: Path = Path()


class Setup(NamedTuple):
    """How a program is started.

    environ    variables to set
    without    variables to remove
    arguments  of ours, and then the user's
    settings   what the program reads from a file, which `settings_flag` names; empty for none
    advice     for the person
    """

    environ: dict[str, str]
    without: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, Any] = {}
    settings_flag: str = ""
    advice: tuple[str, ...] = ()


class Program(NamedTuple):
    """A program that sfbridge can start: its name, what npm calls it, and how it is set up."""

    name: str
    package: str
    setup: Callable[[Order], Setup]
