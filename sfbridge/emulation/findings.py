"""What the calls of one answer come to: delivered, faulty, or too many; and the demands of tool_choice."""

from __future__ import annotations

import json
from collections import Counter
from functools import cached_property

from sfbridge.core.request import Tool
from sfbridge.core.stream import FinishReason, Piece

from .arguments import Unfit, settle
from .demands import allowed, missing
from .dialect import Dressed, Fault, PlannedCall, Verdict, tags
from .envelope import Malformed, head_name, take_apart
from .jsontext import NotJson, Refused
from .repair import mend
from .salvage import salvage
from .words import names

_REPEATS = 3


class Findings:
    """Collects the outcome of every call that the scanner finds, then gives the verdict.

    outcomes  calls and faults in the order they were written
    name      the tool of the call that is open, as written
    """

    def __init__(self, dressed: Dressed) -> None:
        self._dressed = dressed
        self._tags = tags(dressed.mark)
        self._notes: Counter[str] = Counter()
        self._head = ""
        self.name = ""
        self.outcomes: list[PlannedCall | Fault] = []

    def note(self, name: str) -> None:
        self._notes[name] += 1

    def fault(self, fault: Fault) -> None:
        self.outcomes.append(fault)

    def begin(self, head: str) -> None:
        """A call's opening tag was read."""
        self._head = head
        self.name = head_name(head)

    def end(self, body: str, *, closed: bool) -> str:
        """The call is whole, or the answer is; returns prose that stood behind an unmarked closer."""
        rest = ""
        try:
            parts = take_apart(body, self._tags, self._dressed.line_params, closed=closed)
            rest = parts.rest
            tool, found = self._tool(self.name or _inner_name(parts.given))
            arguments, corrections = settle(tool, parts.given, parts.raws)
        except Malformed as malformed:
            self._fault(body, str(malformed))
        except Unfit as unfit:
            self._fault(body, *unfit.problems)
        else:
            self.outcomes.append(PlannedCall(tool.name, arguments))
            self._notes.update([*parts.names, *found, *corrections])
        return rest

    def spoil(self, problem: str) -> None:
        """What follows the last call shows that it was not read as it was meant."""
        last = self.outcomes.pop() if self.outcomes else Fault("", ())
        raw = last.raw if isinstance(last, Fault) else last.arguments
        self.outcomes.append(Fault(last.name, (problem,), raw))

    def salvage(self, text: str, *, cut: bool, alone: bool) -> tuple[str, bool]:
        """Judge text that may be calls in a foreign dialect; what of it is prose, and whether more was dropped."""
        done = salvage(
            text,
            self._tools,
            self._dressed.untrusted,
            self._dressed.line_params,
            cut=cut,
            alone=alone,
        )
        self.outcomes += done.outcomes
        self._notes.update(done.notes)
        return done.text, bool(done.rest.strip())

    def verdict(self, pieces: tuple[Piece, ...], reason: FinishReason, trailing: bool) -> Verdict:
        """The end of the answer. `trailing`: words after the last call were dropped."""
        if trailing:
            self.note("trailing_text")
        outcomes = self._without_repeats(self.outcomes)
        choice = self._dressed.choice
        if (absent := missing(choice, reason)) and not outcomes:
            outcomes = [absent]
        outcomes, extra = allowed(choice, outcomes)
        if extra:
            self._notes["extra_calls"] += extra
        calls = tuple([one for one in outcomes if isinstance(one, PlannedCall)])
        faults = tuple([one for one in outcomes if isinstance(one, Fault)])
        if calls:
            reason = "tool_calls"
        elif reason == "tool_calls":
            reason = "stop"
        return Verdict(
            pieces=pieces, calls=calls, faults=faults, reason=reason, notes=dict(self._notes)
        )

    @cached_property
    def _tools(self) -> dict[str, Tool]:
        return {tool.name: tool for tool in self._dressed.tools}

    def _tool(self, name: str) -> tuple[Tool, list[str]]:
        """The tool of that name, or the only one that differs in nothing but case. Raises Unfit."""
        tool = self._tools.get(name)
        if tool is not None:
            return tool, []
        near = [tool for tool in self._dressed.tools if tool.name.lower() == name.lower()]
        if len(near) == 1:
            return near[0], ["namecase"]
        told = f"unknown tool {name}" if name else "the name of the tool is missing"
        raise Unfit(f"{told}; known: {names(self._tools)}")

    def _fault(self, body: str, *problems: str) -> None:
        self.outcomes.append(Fault(self.name, problems, self._head + body))

    def _without_repeats(self, outcomes: list[PlannedCall | Fault]) -> list[PlannedCall | Fault]:
        """Of a call that stands there three times or more, the first."""
        if len(outcomes) < _REPEATS:
            return outcomes
        keys = [_key(one) for one in outcomes]
        often = {key for key, count in Counter(keys).items() if key and count >= _REPEATS}
        kept: list[PlannedCall | Fault] = []
        seen: set[str] = set()
        for key, one in zip(keys, outcomes, strict=True):
            if key in often and key in seen:
                self.note("repeated_calls")
            else:
                kept.append(one)
                seen.add(key)
        return kept


def _inner_name(given: str) -> str:
    """The tool's name inside the JSON, for an opening tag without one."""
    try:
        value, _ = mend(given)
    except (NotJson, Refused):
        return ""
    name = value.get("name") if isinstance(value, dict) else None
    return name if isinstance(name, str) else ""


def _key(one: PlannedCall | Fault) -> str:
    if isinstance(one, Fault):
        return ""
    return one.name + json.dumps(json.loads(one.arguments, parse_float=str), sort_keys=True)
