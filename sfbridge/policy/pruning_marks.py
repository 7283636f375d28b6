"""A history with its cuts made: what is left, in order, and one line in each place where something was.

The lines are the user's: a model that finds them among its own words begins to write them itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sfbridge.core.request import Message, Part, Role, TextPart, ToolCall, ToolResult

from .pruning_units import Cut, Unit, folded, has_calls, part_cut
from .turns import joined

_OPENING: Final = "[Removed to fit the context window: "
_MOST_NAMES: Final = 4
_LONGEST_NAME: Final = 64


def is_marker(text: str) -> bool:
    """Whether a text is nothing but the line that stands for something removed."""
    text = text.strip()
    return text.startswith(_OPENING) and text.endswith(".]") and "\n" not in text


def with_cuts(
    messages: Sequence[Message], units: Sequence[Unit], cuts: Sequence[Cut], head: int, tail: int
) -> tuple[tuple[Message, ...], dict[str, int]]:
    """The messages that are left, and how much was removed.

    Roles that alternated before alternate after. The counts: `folded_results`, `tool_calls` (each with
    its result), `tool_results` (without a call), `assistant_messages`, `user_messages`.
    """
    knife = _Knife(head, tail)
    for unit, cut in zip(units, cuts, strict=True):
        knife.unit(messages[unit.start : unit.end], cut)
    return knife.messages(), knife.removed


class _Knife:
    """Takes one unit after the other; holds what was removed since the last message that stayed."""

    def __init__(self, head: int, tail: int) -> None:
        self.removed: dict[str, int] = {}
        self._head = head
        self._tail = tail
        self._out: list[Message] = []
        self._gone: dict[str, int] = {}
        self._names: dict[str, int] = {}

    def unit(self, messages: Sequence[Message], cut: Cut) -> None:
        if not cut:
            for message in messages:
                self._place(message)
            return
        calls = has_calls(messages)
        answered = {
            part.id for message in messages for part in message.parts if isinstance(part, ToolCall)
        }
        for message in messages:
            kept: list[Part] = []
            gone: list[Part] = []
            for part in message.parts:
                if part_cut(part, message.role, calls=calls) & cut:
                    gone.append(part)
                else:
                    kept.append(self._folded(part) if cut & Cut.FOLDED else part)
            stays = not gone or not all(_blank(part) for part in kept)
            if message.role == "assistant":  # what it said stands before what it called
                if stays:
                    self._place(Message(message.role, tuple(kept)))
                self._note(message.role, gone, answered)
            else:
                self._note(message.role, gone, answered)
                if stays:
                    self._place(Message(message.role, tuple(kept)))

    def messages(self) -> tuple[Message, ...]:
        if self._gone:
            self._push(self._marker(), together=True)
        return tuple(self._out)

    def _folded(self, part: Part) -> Part:
        if not isinstance(part, ToolResult):
            return part
        short = folded(part, self._head, self._tail)
        if short is not part:
            _add(self.removed, "folded_results")
        return short

    def _note(self, role: Role, gone: Sequence[Part], answered: set[str]) -> None:
        words = False
        for part in gone:
            if isinstance(part, ToolCall):
                self._count("tool_calls")
                _add(self._names, " ".join(part.name.split())[:_LONGEST_NAME])
            elif isinstance(part, ToolResult):
                if part.call_id not in answered:
                    self._count("tool_results")
            elif not (_blank(part) or (isinstance(part, TextPart) and is_marker(part.text))):
                words = words or part_cut(part, role, calls=True) is not Cut.TOOLS
        if words:
            self._count("assistant_messages" if role == "assistant" else "user_messages")

    def _count(self, name: str) -> None:
        _add(self._gone, name)
        _add(self.removed, name)

    def _place(self, message: Message) -> None:
        together = bool(self._gone)
        if together:
            self._push(self._marker(), together=True)
        self._push(message, together=together)

    def _push(self, message: Message, *, together: bool) -> None:
        """Append; messages of one role that a cut brought together become one."""
        last = self._out[-1] if self._out else None
        if together and last is not None and last.role == message.role != "system":
            self._out[-1] = Message(message.role, joined((last, message)))
        else:
            self._out.append(message)

    def _marker(self) -> Message:
        text = _OPENING + ", ".join(_said(self._gone, self._names)) + ".]"
        self._gone, self._names = {}, {}
        return Message("user", (TextPart(text),))


def _said(gone: dict[str, int], names: dict[str, int]) -> list[str]:
    words: list[str] = []
    if calls := gone.get("tool_calls"):
        shown = [name if n == 1 else f"{name} {n} times" for name, n in names.items() if name]
        more = ["and others"] if len(shown) > _MOST_NAMES else []
        listed = ", ".join(shown[:_MOST_NAMES] + more)
        what = "1 tool call with its result" if calls == 1 else f"{calls} tool calls with results"
        words.append(f"{what} ({listed})" if listed else what)
    for name, one in (
        ("tool_results", "tool result"),
        ("assistant_messages", "assistant message"),
        ("user_messages", "user message"),
    ):
        if number := gone.get(name):
            words.append(f"{number} {one}" if number == 1 else f"{number} {one}s")
    return words


def _blank(part: Part) -> bool:
    return isinstance(part, TextPart) and not part.text.strip()


def _add(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
