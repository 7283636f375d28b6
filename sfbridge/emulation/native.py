"""Calls that an upstream made by itself, held to the same standard as emulated ones: complete, of a known
tool, fitting its schema. What is not goes back to the model as the failed call that it is."""

from __future__ import annotations

import json
from typing import Final

from sfbridge.core.request import Message, Part, TextPart, Tool, ToolCall, ToolChoice, ToolResult
from sfbridge.core.stream import CallArguments, CallClosed, CallOpened, FinishReason

from .arguments import Unfit, settle
from .demands import allowed, missing
from .dialect import Fault, PlannedCall

_OTHERS = (
    "This call was not run, because another call of the same answer was faulty. Make it again."
)
# by the kind of a fault: what the model is told before and after the problems
_TOLD: Final = {
    "call": ("The arguments cannot be used:", "Make the call again, corrected."),
    "form": ("This call was not run:", "Answer again."),
}


class NativeCalls:
    """Collects the calls of one answer; `settle` gives the verdict on them, `choice` says what was demanded."""

    def __init__(self, tools: tuple[Tool, ...], choice: ToolChoice = ToolChoice()) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._choice = choice
        self._made: dict[int, _Made] = {}
        self._absent: Fault | None = None

    def feed(self, piece: CallOpened | CallArguments | CallClosed) -> None:
        """A fragment of a call that was never opened is kept, and becomes a fault."""
        made = self._made.setdefault(piece.key, _Made())
        match piece:
            case CallOpened():
                made.id, made.name = piece.id, piece.name
            case CallArguments():
                made.json.append(piece.json)
            case CallClosed():
                made.closed = True

    def settle(
        self, reason: FinishReason
    ) -> tuple[tuple[PlannedCall, ...], tuple[Fault, ...], dict[str, int]]:
        """Valid calls, faults, and how often what was corrected. A call that the output limit cut is dropped."""
        notes: dict[str, int] = {}
        whole: list[_Made] = []
        found: list[PlannedCall | Fault] = []
        for made in self._made.values():
            if reason == "length" and not made.closed:
                notes["truncated_call"] = notes.get("truncated_call", 0) + 1
                continue
            whole.append(made)
            found.append(self._outcome(made, notes))
        if not found:
            self._absent = missing(self._choice, reason)
            return (), (self._absent,) if self._absent else (), notes
        outcomes, extra = allowed(self._choice, found)
        if extra:
            notes["extra_calls"] = extra
        for made, outcome in zip(whole, outcomes, strict=False):
            made.fault = outcome if isinstance(outcome, Fault) else None
        calls = tuple([one for one in outcomes if isinstance(one, PlannedCall)])
        return calls, tuple([one for one in outcomes if isinstance(one, Fault)]), notes

    def _outcome(self, made: _Made, notes: dict[str, int]) -> PlannedCall | Fault:
        text = "".join(made.json)
        try:
            arguments, names = settle(self._tool(made.name), text)
        except Unfit as error:
            return Fault(name=made.name, problems=error.problems, raw=text)
        for name in names:
            notes[name] = notes.get(name, 0) + 1
        return PlannedCall(name=made.name, arguments=arguments, id=made.id)

    def correction(self, said: str) -> tuple[Message, Message]:
        """The answer as the model gave it, and a failed result for each of its calls."""
        if self._absent is not None:
            told = f"This answer could not be used: {self._absent.problems[0]}. Make the call now."
            return (
                Message("assistant", (TextPart(said if said.strip() else "(no text)"),)),
                Message("user", (TextPart(told),)),
            )
        spoken: list[Part] = [TextPart(said)] if said.strip() else []
        results: list[Part] = []
        used: set[str] = set()
        for number, made in enumerate(self._made.values()):
            call_id = (
                made.id if made.id and made.id not in used else f"{made.id or 'call'}_{number}"
            )
            used.add(call_id)
            spoken.append(ToolCall(call_id, made.name or "unknown", _readable("".join(made.json))))
            results.append(ToolResult(call_id, (TextPart(_told(made.fault)),), is_error=True))
        return Message("assistant", tuple(spoken)), Message("user", tuple(results))

    def _tool(self, name: str) -> Tool:
        try:
            return self._tools[name]
        except KeyError:
            known = ", ".join(self._tools)
            raise Unfit(f"there is no tool {name!r}; known: {known}") from None


class _Made:
    """One call as it came."""

    __slots__ = ("closed", "fault", "id", "json", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.json: list[str] = []
        self.closed = False
        self.fault: Fault | None = None


def _told(fault: Fault | None) -> str:
    """What the model reads as the result of its call."""
    if fault is None:
        return _OTHERS
    before, after = _TOLD[fault.kind]
    return "\n".join([before, *(f"- {problem}" for problem in fault.problems), after])


def _readable(text: str) -> str:
    """Arguments as a history may hold them; what is not a JSON object is shown to the model as the text it is."""
    try:
        if isinstance(json.loads(text), dict):
            return text
    except (ValueError, RecursionError):
        pass
    return json.dumps({"unreadable": text})
