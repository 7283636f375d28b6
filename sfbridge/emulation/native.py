"""Calls that an upstream made by itself, held to the same standard as emulated ones: complete, of a known
tool, fitting its schema. What is not goes back to the model as the failed call that it is."""

from __future__ import annotations

import json

from sfbridge.core.request import Message, Part, TextPart, Tool, ToolCall, ToolResult
from sfbridge.core.stream import CallArguments, CallClosed, CallOpened, FinishReason

from .arguments import Unfit, settle
from .dialect import Fault, PlannedCall

_OTHERS = (
    "This call was not run, because another call of the same answer was faulty. Make it again."
)


class NativeCalls:
    """Collects the calls of one answer; `settle` gives the verdict on them."""

    def __init__(self, tools: tuple[Tool, ...]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._made: dict[int, _Made] = {}

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
        calls: list[PlannedCall] = []
        faults: list[Fault] = []
        notes: dict[str, int] = {}
        for made in self._made.values():
            if reason == "length" and not made.closed:
                notes["truncated_call"] = notes.get("truncated_call", 0) + 1
                continue
            text = "".join(made.json)
            try:
                arguments, names = settle(self._tool(made.name), text)
            except Unfit as error:
                faults.append(Fault(name=made.name, problems=error.problems, raw=text))
                made.problems = error.problems
                continue
            calls.append(PlannedCall(name=made.name, arguments=arguments, id=made.id))
            for name in names:
                notes[name] = notes.get(name, 0) + 1
        return tuple(calls), tuple(faults), notes

    def correction(self, said: str) -> tuple[Message, Message]:
        """The answer as the model gave it, and a failed result for each of its calls."""
        spoken: list[Part] = [TextPart(said)] if said.strip() else []
        results: list[Part] = []
        for number, made in enumerate(self._made.values()):
            call_id = made.id or f"call_{number}"
            spoken.append(ToolCall(call_id, made.name or "unknown", _readable("".join(made.json))))
            problems = "\n".join(f"- {problem}" for problem in made.problems)
            told = f"The arguments cannot be used:\n{problems}\nMake the call again, corrected."
            results.append(
                ToolResult(call_id, (TextPart(told if made.problems else _OTHERS),), is_error=True)
            )
        return Message("assistant", tuple(spoken)), Message("user", tuple(results))

    def _tool(self, name: str) -> Tool:
        try:
            return self._tools[name]
        except KeyError:
            known = ", ".join(self._tools)
            raise Unfit(f"there is no tool {name!r}; known: {known}") from None


class _Made:
    """One call as it came."""

    __slots__ = ("closed", "id", "json", "name", "problems")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.json: list[str] = []
        self.closed = False
        self.problems: tuple[str, ...] = ()


def _readable(text: str) -> str:
    """Arguments as a history may hold them; what is not a JSON object is shown to the model as the text it is."""
    try:
        if isinstance(json.loads(text), dict):
            return text
    except (ValueError, RecursionError):
        pass
    return json.dumps({"unreadable": text})
