"""What becomes of the tools that Lingma ran (or wanted run) by itself during one ask.

Events of several sources are joined by the call's id; a call leaves once it has ended, in the order in which calls
were first seen. Nothing here is ever executed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from sfbridge.core.stream import Activity, Piece, Ran

from .signals import ToolSeen

Showing = Literal["hidden", "journal", "mirror"]

# Clients can tell mirrored calls, which are done already, by this.
PREFIX: Final = "lingma_"
_NAMELESS: Final = "lingma_tool"
_OVER: Final = frozenset(("result", "error", "cancelled"))
_MOST_CALLS: Final = 1000
_MOST_RESULT: Final = 100_000

_object: Final = msgspec.json.Decoder(dict[str, Raw])
_text: Final = msgspec.json.Decoder(str)


class _Seen:
    """One call as far as it is known."""

    __slots__ = ("arguments", "left", "name", "output", "phase", "refused")

    def __init__(self) -> None:
        self.name = ""
        self.phase = ""
        self.arguments: Raw | None = None
        self.output: Raw | None = None
        self.refused = False
        self.left = False


class Tools:
    """The calls of one ask. `claim` makes a client's id of a call's id: with our prefix, and unlike every other."""

    def __init__(self, showing: Showing, claim: Callable[[str], str]) -> None:
        self._showing = showing
        self._claim = claim
        self._calls: dict[str, _Seen] = {}

    @property
    def running(self) -> bool:
        """Whether one of them has not ended yet."""
        return any(call.phase == "running" and not call.left for call in self._calls.values())

    @property
    def seen(self) -> bool:
        return bool(self._calls)

    def feed(self, event: ToolSeen) -> None:
        call = self._calls.get(event.id)
        if call is None:
            if len(self._calls) >= _MOST_CALLS:
                return
            call = self._calls[event.id] = _Seen()
        call.name = call.name or event.name
        if call.left or call.phase in _OVER:
            return
        call.phase = event.phase
        call.refused = event.refused
        if event.arguments is not None:
            call.arguments = event.arguments
        if event.phase in _OVER:
            call.output = event.output

    def leaving(self, *, last: bool = False) -> list[Piece]:
        """The calls that may leave: those at the front that have ended, at the `last` all of them."""
        out: list[Piece] = []
        for call_id, call in self._calls.items():
            if call.left:
                continue
            if call.phase not in _OVER and not last:
                break
            out += self._pieces(call_id, call)
            call.left = True
        return out

    def _pieces(self, call_id: str, call: _Seen) -> list[Piece]:
        name = call.name or _NAMELESS
        if self._showing == "hidden":
            return []
        outcome = "refused" if call.refused else call.phase
        out: list[Piece] = [Activity("tool", f"{name}: {outcome}")]
        if self._showing == "mirror":
            over = call.phase in _OVER
            out.append(
                Ran(
                    id=self._claim(call_id),
                    name=name,
                    arguments=argument_text(call.arguments),
                    output=_printed(call) if over else None,
                    is_error=over and call.phase != "result",
                )
            )
        return out


def argument_text(raw: Raw | None) -> str:
    """Arguments as the JSON text of one object: objects as they are, text that is one too, anything else within one."""
    if raw is None:
        return "{}"
    try:
        _object.decode(raw)
        return bytes(raw).decode()
    except msgspec.MsgspecError:
        pass
    try:
        text = _text.decode(raw)
        _object.decode(text)
        return text
    except msgspec.MsgspecError:
        value: Any = raw
        return msgspec.json.encode({"value": value}).decode()


def _printed(call: _Seen) -> str:
    if call.output is None:
        return "" if call.phase == "result" else call.phase
    try:
        text = _text.decode(call.output)
    except msgspec.MsgspecError:
        text = bytes(call.output).decode("utf-8", "replace")
    return text[:_MOST_RESULT]
