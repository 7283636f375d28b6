"""The signals of one ask -> pieces. Pure: time limits and transport are the business of `ask`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from sfbridge.core.stream import Closed, Piece, Text, Thought

from .faults import FILTERED, TIMEOUTS, cancelled, ended
from .fences import Fences
from .signals import Ended, Forgotten, Mused, Said, Signal, Stepped, ToolSeen
from .tools import Tools

_CANCELLED: Final = frozenset(("cancelled", "canceled"))


class Manner(Struct, frozen=True, kw_only=True):
    """How one answer is read.

    stream    pieces leave as they come; else the text leaves whole, which lets it be taken back until then
    thoughts  reasoning is shown
    partial   an answer that the vendor timed out ends as one cut at its length
    limit     most tokens of the answer, measured by `measure`; None: no limit of ours
    """

    stream: bool
    thoughts: bool
    partial: bool = False
    limit: int | None = None
    measure: Callable[[str], float] = len


class Overflow(Exception):
    """The answer is longer than anything that is kept."""


class Reading:
    """Feed it signals until `over`.

    spoken    something of the answer was seen: from then on nobody may ask again elsewhere
    prepared  the preparation steps have ended, so silence after text may be the end
    whole     the process itself said that the answer is complete, so its conversation can go on
    """

    def __init__(self, manner: Manner, tools: Tools, most: int) -> None:
        self._manner = manner
        self._tools = tools
        self._most = most
        self._fences = Fences()
        self._held: list[Piece] = []  # of an answer that leaves whole
        self._raw: list[str] = []
        self._size = 0
        self._tokens = 0.0
        self._filtered = False
        self.diverged = False
        self.spoken = False
        self.prepared = False
        self.over = False
        self.whole = False

    @property
    def has_text(self) -> bool:
        return self._size > 0

    @property
    def waits_for_tool(self) -> bool:
        return self._tools.running

    def feed(self, signals: Iterable[Signal]) -> list[Piece]:
        """Raises GatewayError when the process says that it failed, Overflow when it said too much."""
        out = [] if self._manner.stream else self._held
        for signal in signals:
            if self.over:
                break
            match signal:
                case Said():
                    self._say(signal, out)
                case Mused():
                    self.spoken = True
                    if self._manner.thoughts:
                        out.append(Thought(signal.text))
                case ToolSeen():
                    self.spoken = True
                    self._tools.feed(signal)
                    out += self._tools.leaving()
                case Stepped():
                    self.prepared = self.prepared or signal.name == "step_end"
                case Ended():
                    self._end(signal, out)
                case Forgotten():
                    self._last(out)
                    out.append(Closed(reason="stop", raw="missing_finish"))
                case _:
                    pass
        if self._manner.stream:
            return out
        if not self.over:
            return []
        self._held = []
        return out

    def _say(self, said: Said, out: list[Piece]) -> None:
        self._filtered = self._filtered or said.filtered
        if said.filtered and not said.text:
            return
        text = said.text
        if said.overwrite:
            text = self._overwritten(text, out)
        elif text:
            self._keep(text)
        if not text:
            return
        self.spoken = True
        if not self.diverged:
            self._show(self._fences.feed(text), out)
        if self._manner.limit is not None:
            self._measure(text, self._manner.limit, out)

    def _overwritten(self, text: str, out: list[Piece]) -> str:
        """What is new of a text that replaces everything; of one that does not continue it, nothing may be shown."""
        before = "".join(self._raw)
        self._raw, self._size = [], 0
        self._keep(text)
        if not self._manner.stream:
            out[:] = [piece for piece in out if not isinstance(piece, Text)]
            self._fences = Fences()
            return text
        if self.diverged or not text.startswith(before):
            self.diverged = True
            return ""
        return text[len(before) :]

    def _keep(self, text: str) -> None:
        self._raw.append(text)
        self._size += len(text)
        if self._size > self._most:
            raise Overflow

    def _show(self, found: Iterable[Said | ToolSeen], out: list[Piece]) -> None:
        for item in found:
            if isinstance(item, Said):
                out.append(Text(item.text))
            else:
                self._tools.feed(item)
                out += self._tools.leaving()

    def _measure(self, text: str, limit: int, out: list[Piece]) -> None:
        self._tokens += self._manner.measure(text)
        if self._tokens >= limit:
            self._last(out)
            out.append(Closed(reason="length", raw="max_output"))

    def _end(self, end: Ended, out: list[Piece]) -> None:
        self._complete(end.full, out)
        if self.over:
            return
        code = end.code if end.code is not None else (200 if self._size else 0)
        if self._filtered or code in FILTERED:
            self._last(out)
            out.append(Closed(reason="content_filter", raw=f"{code} {end.reason}".strip()))
        elif code == 200:
            if end.reason.lower() in _CANCELLED:
                self.over = True
                raise cancelled()
            self.whole = not self.diverged
            self._last(out)
            out.append(Closed(reason="stop", raw=end.reason))
        elif code in TIMEOUTS and self._manner.partial and self._size:
            self._last(out)
            out.append(Closed(reason="length", raw=f"{code} {end.reason}".strip()))
        else:
            self.over = True
            raise ended(code, end.reason)

    def _complete(self, full: str, out: list[Piece]) -> None:
        """The tail that only the end brings. An end without text, or with another one, changes nothing."""
        said = "".join(self._raw)
        if len(full) > len(said) and full.startswith(said):
            self._say(Said(full[len(said) :]), out)

    def _last(self, out: list[Piece]) -> None:
        self.over = True
        if not self.diverged:
            self._show(self._fences.drain(), out)
        out += self._tools.leaving(last=True)
