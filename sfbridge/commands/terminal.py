"""How commands speak to a person: aligned tables, marked findings, progress, questions. Colour only on a terminal."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, TextIO

Verdict = Literal["ok", "warning", "fail"]

_COLOURS: Final[dict[Verdict, str]] = {"ok": "32", "warning": "33", "fail": "31"}
_OBEYED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CLEAR_LINE: Final = "\r\033[K"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell, two spaces between them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return visible("\n".join(lines))


def wrapped(text: str, indent: str) -> list[str]:
    """A long line as several that fit the terminal behind an indent; those after the first hang a little."""
    width = max(40, shutil.get_terminal_size().columns - len(indent))
    return textwrap.wrap(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def lasting(seconds: int) -> str:
    """A length of time as people say it."""
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def coloured(verdict: Verdict, width: int = 0) -> str:
    """The verdict's word, in its colour where the output is a terminal that has some."""
    word = verdict.ljust(width)
    return f"\033[{_COLOURS[verdict]}m{word}\033[0m" if _has_colours(sys.stdout) else word


def progress(words: str) -> None:
    """Show on a terminal what is being waited for; the next line takes its place. Nothing elsewhere."""
    if _obeys(sys.stderr):
        # a line that wraps could not be taken away again
        shown = visible(words)[: shutil.get_terminal_size().columns - 3]
        print(f"{_CLEAR_LINE}{shown} …", end="\r", file=sys.stderr, flush=True)


def done() -> None:
    """Take away what `progress` showed."""
    if _obeys(sys.stderr):
        print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)


def visible(text: str) -> str:
    """A server's or a model's words, without what a terminal would obey or what turns their direction; line breaks and
    tabs stay, and so do the spaces and joiners of every script."""
    return _OBEYED.sub("\ufffd", text)


def called() -> str:
    """How a person in this folder calls sfbridge: by its name where that is found, else by the path to it."""
    own = Path(sys.executable).with_name("sfbridge")
    if (found := shutil.which("sfbridge")) and Path(found).resolve() == own.resolve():
        return "sfbridge"
    words = [str(own)] if own.exists() else [sys.executable, "-m", "sfbridge"]
    with suppress(ValueError):
        words[0] = str(Path(words[0]).relative_to(Path.cwd()))
    return shlex.join(words)


def ask(question: str, default: str = "") -> str:
    """An answer typed by a person, or the default. EOFError where nobody types."""
    shown = f"{question} [{default}]: " if default else f"{question}: "
    return input(shown).strip() or default


def ask_secret(question: str) -> str:
    """The same, unseen; where nothing could show it, as it comes."""
    if not sys.stdin.isatty():
        return ask(question)
    return getpass.getpass(f"{question} (not shown): ").strip()


def ask_yes(question: str, *, default: bool) -> bool:
    return ask(f"{question} (y/n)", "y" if default else "n").lower().startswith("y")


def _has_colours(stream: TextIO) -> bool:
    return _obeys(stream) and not os.environ.get("NO_COLOR")


def _obeys(stream: TextIO) -> bool:
    """Whether it is a terminal that takes commands."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"
