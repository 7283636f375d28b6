"""Models that obey a demand for tool calls, and models that do not: a scenario for the sandbox org.

The prompt says what the client demanded and what kind of model this is: `[[choice C; model M]]`, C being
auto, none, required, single or the name of a tool. A `stubborn` model goes on when it is told of its fault;
the others obey then. Two tools are expected: get_weather and get_time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

KIND = re.compile(r"\[\[choice (\w+); model (stubborn )?(\w+)\]\]")
# our words to a model without native tools, and the failed result that one with native tools gets
TOLD = re.compile(r"could not be used:|was not run|cannot be used:")
WEATHER = ("get_weather", {"city": "Oslo"})
TIME = ("get_time", {"zone": "Europe/Oslo"})
WORDS = "I would rather answer in words."


@dataclass
class Turn:
    text: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def turn(prompt_text: str, done: int) -> Turn:
    found = KIND.search(prompt_text)
    if found is None:
        return Turn("OK")
    choice, stubborn, kind = found.groups()
    if TOLD.search(prompt_text) and not stubborn:
        kind = "obeys"
    match kind:
        case "obeys" if choice == "none":
            return Turn(WORDS)
        case "obeys":
            return Turn("", [TIME if choice == "get_time" else WEATHER])
        case "refuses" if choice == "none":
            return Turn("", [WEATHER])
        case "refuses":
            return Turn(WORDS)
        case "another":
            return Turn("", [WEATHER if choice == "get_time" else TIME])
        case "two":
            return Turn("", [WEATHER, TIME])
        case _:
            raise ValueError(kind)
