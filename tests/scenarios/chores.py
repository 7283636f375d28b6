"""A coding agent's long session: a scenario for the sandbox org, to be driven through /v1/responses.

Each turn the model makes the next calls of `PLAN`, but only if the result of its last call is in what it is
shown; otherwise it says which one it misses. At the end it says what the first and the last result were.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

PATCH = '*** Begin Patch\n*** Update File: a "b".py\n@@\n-    x = 1\n+    x = 2\n*** End Patch'
Call = tuple[str, dict[str, Any]]


def shell(number: int) -> Call:
    return "exec_command", {"cmd": f"step {number} && echo 'a \"b\" \\n'"}


PLAN: list[list[Call]] = [
    [shell(1)],
    [shell(2), shell(3)],
    [("apply_patch", {"input": PATCH})],
    [shell(5)],
    [("agents__spawn", {"task": "step 6"})],
    [shell(7), shell(8)],
    [shell(9)],
    [("apply_patch", {"input": PATCH})],
    [shell(11)],
    [shell(12)],
]


@dataclass
class Turn:
    text: str = ""
    calls: list[Call] = field(default_factory=list)


def turn(prompt_text: str, done: int) -> Turn:
    results = re.findall(r"result of call (\d+): (\w+)", prompt_text)
    expected = sum(len(calls) for calls in PLAN[:done])
    if len(results) != expected:
        return Turn(f"I see {len(results)} results where {expected} were given.")
    if done == len(PLAN):
        return Turn(f"Done. It began with {results[0][1]} and ended with {results[-1][1]}.")
    return Turn(f"Turn {done + 1}.", PLAN[done])
