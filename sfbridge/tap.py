"""The tap: sees every event on its way out, notes what was said, fills in the usage that was not reported."""

from __future__ import annotations

from msgspec.structs import replace

from .core.stream import BlockStarted, Delta, Event, Finished, Usage
from .exchange import Exchange, Plan
from .policy.estimate import estimate_text


class Tap:
    """One per answer."""

    def __init__(self, exchange: Exchange, plan: Plan) -> None:
        self._exchange = exchange
        self._plan = plan

    def through(self, events: list[Event]) -> list[Event]:
        exchange = self._exchange
        exchange.mark("first")
        for place, event in enumerate(events):
            if isinstance(event, Delta):
                exchange.answered.append(event.text)
            elif isinstance(event, BlockStarted):
                if event.kind == "call":
                    exchange.called.append(event.name)
            elif isinstance(event, Finished):
                exchange.usage, exchange.reason = self._filled(event.usage), event.reason
                events[place] = replace(event, usage=exchange.usage)
        return events

    def _filled(self, told: Usage) -> Usage:
        prompt_known = bool(told.input or told.cache_read or told.cache_write)
        if prompt_known and told.output is not None:
            return told
        guess = Usage(estimated=True)
        if not prompt_known:
            guess = replace(guess, input=self._plan.prompt_tokens * (self._exchange.rounds + 1))
        if told.output is None:
            guess = replace(
                guess, output=estimate_text("".join(self._exchange.answered), self._plan.family)
            )
        return told.merged(guess)
