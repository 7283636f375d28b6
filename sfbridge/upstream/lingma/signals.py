"""What a push of the process means for one ask, whatever dialect it came in."""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Raw, Struct

from sfbridge.formats.jsonrpc import Fault

Phase = Literal["start", "running", "result", "error", "cancelled"]


class Said(Struct, frozen=True, gc=False):
    """Text. With `overwrite` it stands for everything said so far; `filtered`: a content filter struck."""

    text: str
    overwrite: bool = False
    filtered: bool = False


class Mused(Struct, frozen=True, gc=False):
    """A part of the model's reasoning."""

    text: str


class Stepped(Struct, frozen=True, gc=False):
    """A preparation step. `step_end` is not the end of the answer."""

    name: str
    confirm: bool = False


class ToolSeen(Struct, frozen=True, kw_only=True):
    """Something about a tool that Lingma runs by itself. `arguments` and `output` are raw JSON where known."""

    id: str
    phase: Phase
    name: str = ""
    arguments: Raw | None = None
    output: Raw | None = None
    refused: bool = False


class Ended(Struct, frozen=True, gc=False):
    """The process says that this ask is over. `code` None: it gave none."""

    code: int | None
    reason: str = ""
    full: str = ""


class Forgotten(Struct, frozen=True):
    """Our own finding: the process has said all, but not that it ended."""


class Accepted(Struct, frozen=True):
    """The reply to the ask: it was taken, unless there is a `fault`."""

    fault: Fault | None = None


class Other(Struct, frozen=True):
    """A sign of life without meaning for the answer."""


Signal = Said | Mused | Stepped | ToolSeen | Ended | Forgotten | Accepted | Other


class Heard(NamedTuple):
    """The signals of one push, and whose they are. Without `request` the session tells, where it has but one ask."""

    request: str
    session: str
    signals: list[Signal]
