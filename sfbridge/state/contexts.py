"""How full the window of each conversation is, and how long it will last; shown by `GET /v1/context`."""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import pairwise
from typing import Any, Final, Literal

from msgspec import Struct

Level = Literal["warning", "high", "critical"]

# Utilisation from which a level holds, the highest first.
LEVELS: Final[tuple[tuple[float, Level], ...]] = (
    (0.95, "critical"),
    (0.85, "high"),
    (0.75, "warning"),
)
_RANK: Final[dict[Level | None, int]] = {None: 0, "warning": 1, "high": 2, "critical": 3}
# Turns whose growth tells how the conversation goes on.
_RECENT: Final = 6


class Turn(Struct, frozen=True, kw_only=True, gc=False):
    """One request of a conversation. `at` is seconds since the epoch; counts are tokens, reported or `estimated`."""

    at: float
    model: str
    window: int | None
    input: int
    output: int
    estimated: bool
    pruned: bool
    overflow: bool


class _Conversation:
    """The numbers of one conversation and its latest turns."""

    def __init__(self, history: int) -> None:
        self.turns: deque[Turn] = deque(maxlen=history)
        self.requests = 0
        self.peak = 0
        self.output = 0
        self.prunes = 0
        self.overflows = 0
        self.level: Level | None = None

    def add(self, turn: Turn) -> Level | None:
        self.turns.append(turn)
        self.requests += 1
        self.peak = max(self.peak, turn.input)
        self.output += turn.output
        self.prunes += turn.pruned
        self.overflows += turn.overflow
        before, self.level = self.level, _level(turn)
        return self.level if _RANK[self.level] > _RANK[before] else None

    def turns_left(self) -> int | None:
        """Whole turns that still fit at the pace of the latest ones; None while it does not grow."""
        last = self.turns[-1]
        if last.window is None:
            return None
        alike = [turn for turn in self.turns if turn.model == last.model and not turn.overflow]
        recent = alike[-_RECENT:]
        steps = [after.input - before.input for before, after in pairwise(recent)]
        grown = [step for step in steps if step > 0]
        if not grown:
            return None
        return int(max(0, last.window - last.input) * len(grown) // sum(grown))

    def shown(self, name: str) -> dict[str, Any]:
        last = self.turns[-1]
        return {
            "conversation": name,
            "model": last.model,
            "window": last.window,
            "input_tokens": last.input,
            "peak_input_tokens": self.peak,
            "output_tokens": last.output,
            "estimated": last.estimated,
            "total_output_tokens": self.output,
            "utilisation": _utilisation(last),
            "level": self.level,
            "turns_left": self.turns_left(),
            "requests": self.requests,
            "prunes": self.prunes,
            "overflows": self.overflows,
            "last_seen": last.at,
            "history": [
                {
                    "at": turn.at,
                    "input_tokens": turn.input,
                    "output_tokens": turn.output,
                    "utilisation": _utilisation(turn),
                    "pruned": turn.pruned,
                    "overflow": turn.overflow,
                }
                for turn in self.turns
            ],
        }


class Contexts:
    """Watches every conversation. Beyond `most` the one that was quiet longest is forgotten.

    The totals go on counting for the forgotten ones.
    """

    def __init__(self, most: int = 256, history: int = 32) -> None:
        self._conversations: OrderedDict[str, _Conversation] = OrderedDict()
        self._most = most
        self._history = history
        self._requests = 0
        self._peak = 0
        self._prunes = 0
        self._overflows = 0

    def seen(
        self,
        conversation: str,
        *,
        model: str,
        window: int | None,
        input: int,
        output: int,
        estimated: bool,
        pruned: bool,
        overflow: bool,
        at: float,
    ) -> Level | None:
        """Note one finished or refused request. Returns a level when the conversation has just risen to it.

        `input` is what the upstream was sent (with `overflow`: what was refused). A level that fell, by
        pruning or compaction, is told again when it is reached again.
        """
        self._requests += 1
        self._peak = max(self._peak, input)
        self._prunes += pruned
        self._overflows += overflow
        known = self._conversations.pop(conversation, None) or _Conversation(self._history)
        self._conversations[conversation] = known
        if len(self._conversations) > self._most:
            self._conversations.popitem(last=False)
        turn = Turn(
            at=at,
            model=model,
            window=window,
            input=input,
            output=output,
            estimated=estimated,
            pruned=pruned,
            overflow=overflow,
        )
        return known.add(turn)

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain data, the conversation that spoke last first."""
        shown = [known.shown(name) for name, known in reversed(self._conversations.items())]
        used = [each["utilisation"] for each in shown if each["utilisation"] is not None]
        return {
            "overall": {
                "conversations": len(shown),
                "requests": self._requests,
                "input_tokens": sum(each["input_tokens"] for each in shown),
                "peak_input_tokens": self._peak,
                "utilisation": max(used, default=None),
                "levels": {
                    name: sum(each["level"] == name for each in shown) for _, name in LEVELS
                },
                "prunes": self._prunes,
                "overflows": self._overflows,
            },
            "conversations": shown,
        }


def _utilisation(turn: Turn) -> float | None:
    """The part of the window that the prompt takes."""
    return round(turn.input / turn.window, 4) if turn.window else None


def _level(turn: Turn) -> Level | None:
    if turn.overflow:
        return "critical"
    used = turn.input / turn.window if turn.window else 0.0
    return next((name for least, name in LEVELS if used >= least), None)
