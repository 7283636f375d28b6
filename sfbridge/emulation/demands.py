"""What a client demands of the calls of one answer (its tool choice), as a verdict on what came.

Apart from `findings` because native calls are judged by it as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from sfbridge.core.request import ToolChoice
from sfbridge.core.stream import FinishReason

from .dialect import Fault, PlannedCall


def allowed(
    choice: ToolChoice, outcomes: Sequence[PlannedCall | Fault]
) -> tuple[list[PlannedCall | Fault], int]:
    """The outcomes with a fault for each call that was forbidden, and how many were left out as too many."""
    kept = outcomes if choice.parallel else outcomes[:1]
    return [_judged(choice, one) for one in kept], len(outcomes) - len(kept)


def missing(choice: ToolChoice, reason: FinishReason) -> Fault | None:
    """The fault of an answer without any call, where one was demanded and the answer came to its own end."""
    if reason not in ("stop", "tool_calls"):
        return None
    match choice.mode:
        case "required":
            problem = "this answer has to contain a call of one of the tools"
        case "named":
            problem = f"this answer has to contain a call of {choice.name}"
        case _:
            return None
    return Fault("", (problem,), kind="form")


def _judged(choice: ToolChoice, one: PlannedCall | Fault) -> PlannedCall | Fault:
    match choice.mode:
        case "none":
            problem = "calls are switched off for this answer: answer in words, without calls"
        case "named" if one.name != choice.name and isinstance(one, PlannedCall):
            problem = f"only {choice.name} may be called in this answer"
        case _:
            return one
    raw = one.raw if isinstance(one, Fault) else one.arguments
    return Fault(one.name, (problem,), raw, kind="form")
