"""One exchange: what was planned for a request, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from .core.embedding import EmbeddingRequest
from .core.errors import GatewayError
from .core.receipt import Contents, Glimpse, Receipt
from .core.request import ChatRequest, Shape, Tool, ToolResult, text_of
from .core.stream import Activity, Usage
from .emulation import Dressed, Fault, PlannedCall, without_values
from .emulation.turn import Turn
from .policy.estimate import estimate, estimate_text, family_of
from .policy.fitting import Fitted
from .policy.names import another
from .policy.routing import Target
from .state.clock import Clock
from .state.gates import Ticket
from .upstream.base import Trace, Upstream

_MOST_CONTENT = 4000


class Plan(Struct, frozen=True, kw_only=True):
    """What was decided about one request before the upstream hears of it.

    asked    the client's request; `request` is what the upstream gets
    checked  the tools against which the upstream's own calls are checked
    rounds   how often a faulty answer is shown to the model and asked for again
    factor   what the estimate was multiplied with, from what this model reported before
    conversation  whose window is shown; empty where it is not
    watched  the window is kept by us: estimates are corrected by what the upstream reports
    threads  the upstream keeps conversations of its own
    broke    where the prompt no longer begins as the conversation's last one did
    notes    what was done to the history, by name
    """

    asked: ChatRequest
    target: Target
    upstream: Upstream
    request: ChatRequest
    fitted: Fitted
    dressed: Dressed | None
    checked: tuple[Tool, ...]
    shape: Shape | None
    rounds: int
    family: str
    factor: float
    window: int | None
    conversation: str
    threads: bool
    watched: bool
    broke: str
    notes: dict[str, int]
    prompt_tokens: int

    @property
    def opening(self) -> Usage:
        """What an answer may say of its tokens before the upstream has said anything."""
        return Usage(input=self.prompt_tokens, output=0, estimated=True)

    @property
    def answers_results(self) -> bool:
        """Whether the turn follows tool results, so that there may be nothing left to say."""
        messages = self.asked.messages
        return bool(messages) and any(isinstance(p, ToolResult) for p in messages[-1].parts)

    @property
    def reads(self) -> bool:
        """Whether the upstream's answer must be looked at, rather than passed on."""
        emulates = self.dressed is not None or self.shape is not None
        return emulates or bool(self.checked) or bool(self.fitted.emulate_stop)

    @property
    def emulated(self) -> tuple[str, ...]:
        found: list[str] = []
        if self.dressed is not None and self.asked.tools:
            found.append("tools")
        if self.shape is not None:
            found.append("shape")
        if self.fitted.emulate_stop:
            found.append("stop")
        if self.fitted.downgraded:
            found.append("stream")
        return tuple(found)

    def turn(self) -> Turn:
        """A reader for one answer of the upstream."""
        return Turn(
            self.dressed,
            tools=self.checked,
            choice=self.request.choice,
            shape=self.shape,
            stops=self.fitted.emulate_stop,
        )


class Exchange:
    """One request and what became of it; written by the gateway, read by the server for headers and receipt."""

    def __init__(self, request_id: str, clock: Clock, hidden: Callable[[str], str] = str) -> None:
        self.id = request_id
        self.trace = Trace(clock.now, hidden)
        self.at = clock.wall()
        self.retries = 0
        self.attempts = 0
        self.rounds = 0
        self.retried_ms: list[int] = []
        self.asked_again_ms: list[int] = []
        self.tickets: list[Ticket] = []
        self.heartbeats = 0
        self.forced_json = False
        # the last frame was sent: many clients close then, and have not left before the end
        self.delivered = False
        self.plan: Plan | None = None
        self.aimed: Target | None = None
        self.error: GatewayError | None = None
        self.usage = Usage()
        self.reason = ""
        self.notes: Counter[str] = Counter()
        self.faults: tuple[Fault, ...] = ()
        self.calls: tuple[PlannedCall, ...] = ()
        self.called: list[str] = []
        self.activities: list[Activity] = []
        self.answered: list[str] = []
        self._clock = clock
        self._marks: dict[str, float] = {"started": clock.now()}

    def branch(self) -> Exchange:
        """The exchange of a further choice of this request: what happens behind the back door is noted here, what is
        said and used is its own until it is absorbed."""
        part = Exchange(self.id, self._clock)
        part.trace, part.tickets, part.notes, part._marks = (
            self.trace,
            self.tickets,
            self.notes,
            self._marks,
        )
        return part

    def absorb(self, part: Exchange) -> None:
        """Add what became of a further choice."""
        self.attempts += part.attempts
        self.retries += part.retries
        self.retried_ms = sorted(self.retried_ms + part.retried_ms)
        self.rounds += part.rounds
        self.usage = self.usage.plus(part.usage)
        self.plan = self.plan or part.plan
        self.reason = part.reason or self.reason
        self.faults += part.faults
        self.calls += part.calls
        self.called += part.called
        self.activities += part.activities
        self.answered += part.answered

    def mark(self, step: str) -> None:
        """Note when a step was first reached."""
        if step not in self._marks:
            self._marks[step] = self._clock.now()

    def ms(self, step: str) -> int | None:
        """Milliseconds from the start to a step."""
        return self._since_start(self._marks.get(step))

    def _since_start(self, at: float | None) -> int | None:
        return None if at is None else int((at - self._marks["started"]) * 1000)

    def opening(self, asked: ChatRequest) -> Usage:
        """What an answer may say of its tokens before the upstream has said anything."""
        plan = self.plan
        tokens = plan.prompt_tokens if plan else estimate(asked, family_of(asked.model))
        return Usage(input=tokens, output=0, estimated=True)

    @property
    def target(self) -> Target | None:
        """Who is asked, once that is known: by plan, or where nothing is planned, as with embeddings, by name."""
        return self.plan.target if self.plan is not None else self.aimed

    @property
    def tokens(self) -> int:
        """What the turn came to: as reported, else estimated; 0 while no upstream has taken it."""
        used, plan = self.usage, self.plan
        if used.output is not None:
            return sum(n or 0 for n in (used.input, used.cache_read, used.cache_write, used.output))
        if plan is None or "accepted" not in self._marks:
            return 0
        said = estimate_text("".join(self.answered), plan.family)
        return plan.prompt_tokens * (self.rounds + 1) + said

    @property
    def ignored(self) -> tuple[str, ...]:
        fitted = self.plan.fitted.ignored if self.plan else ()
        if not self.trace.ignored:
            return fitted
        return tuple(dict.fromkeys((*fitted, *self.trace.ignored)))

    @property
    def rerouted(self) -> bool:
        """Whether the upstream let another model answer than the one that it was asked for."""
        return another(self.trace.known_as, self.trace.answered_by)

    @property
    def answerer(self) -> str:
        """Who answers, as `upstream/model`, as far as is known by now; a model that the upstream put in the place of
        the one that was asked is followed by that one. Empty until it is decided whom to ask."""
        target, trace = self.target, self.trace
        if target is None:
            return ""
        asked = trace.known_as[0] if trace.known_as else target.model
        if self.rerouted:
            return f"{target.upstream}/{trace.hidden(trace.answered_by)}; asked={asked}"
        return f"{target.upstream}/{asked}"

    @property
    def downgraded(self) -> bool:
        return self.forced_json or (self.plan is not None and self.plan.fitted.downgraded)

    @property
    def upstream_ms(self) -> int:
        """Milliseconds until the upstream accepted the call; while it has not, those waited so far."""
        asked = self._marks.get("asked")
        if asked is None:
            return 0
        return int((self._marks.get("accepted", self._clock.now()) - asked) * 1000)

    @property
    def queued_ms(self) -> int:
        """Milliseconds in queues, until now or in all."""
        return int(sum([ticket.waited for ticket in self.tickets]) * 1000)

    @property
    def elapsed_ms(self) -> int:
        return int((self._clock.now() - self._marks["started"]) * 1000)

    @property
    def phase(self) -> Literal["planned", "queued", "asked", "accepted", "answering"]:
        if self.tickets and self.tickets[-1].queues:
            return "queued"
        if "first" in self._marks:
            return "answering"
        if "accepted" in self._marks:
            return "accepted"
        return "asked" if "asked" in self._marks else "planned"

    def glimpse(self, wire: str, asked: ChatRequest | EmbeddingRequest) -> Glimpse:
        """How this turn stands now."""
        target = self.target
        return Glimpse(
            id=self.id,
            at=self.at,
            wire=wire,
            client=asked.caller.client[:80],
            key=asked.caller.key_id,
            model=asked.model,
            upstream=target.upstream if target else "",
            target=target.model if target else "",
            stream=asked.stream,
            tools=len(asked.tools),
            phase=self.phase,
            attempts=self.attempts,
            retries=self.retries,
            rounds=self.rounds,
            pieces=len(self.answered),
            queued_ms=self.queued_ms,
            elapsed_ms=self.elapsed_ms,
        )

    def receipt(
        self, wire: str, asked: ChatRequest | EmbeddingRequest, *, left: bool, contents: bool
    ) -> Receipt:
        """What is kept of this turn."""
        plan, target, error = self.plan, self.target, self.error
        return Receipt(
            id=self.id,
            at=self.at,
            wire=wire,
            client=asked.caller.client[:80],
            key=asked.caller.key_id,
            model=asked.model,
            upstream=target.upstream if target else "",
            target=target.model if target else "",
            answered_by=self.trace.hidden(self.trace.answered_by),
            stream=asked.stream,
            tools=len(asked.tools),
            emulated=plan.emulated if plan else (),
            ignored=self.ignored,
            verdict="left" if left and not self.delivered else "failed" if error else "whole",
            reason=self.reason,
            error_kind=error.kind if error else "",
            error=error.message if error else "",
            attempts=self.attempts,
            retries=self.retries,
            rounds=self.rounds,
            queued_ms=self.queued_ms,
            downgraded=self.downgraded,
            heartbeats=self.heartbeats,
            auth_refreshes=self.trace.auth_refreshes,
            notes=dict(self.notes),
            prefix_broke=plan.broke if plan else "",
            faults=tuple(
                [
                    f"{fault.name or 'answer'}: {without_values(problem)}"[:300]
                    for fault in self.faults
                    for problem in fault.problems
                ]
            ),
            calls=tuple(self.called),
            ran=tuple(f"{done.kind} {done.detail}".strip()[:200] for done in self.activities[:100]),
            prompt_estimate=plan.prompt_tokens if plan else 0,
            input=self.usage.input,
            output=self.usage.output,
            cache_read=self.usage.cache_read,
            estimated=self.usage.estimated,
            prepared_ms=self.ms("prepared"),
            connected_ms=self._since_start(self.trace.connected_at),
            retried_ms=tuple(self.retried_ms),
            asked_again_ms=tuple(self.asked_again_ms),
            accepted_ms=self.ms("accepted"),
            first_ms=self.ms("first"),
            total_ms=self.elapsed_ms,
            upstream_ids=tuple(self.trace.upstream_ids[-4:]),
            contents=self._contents(asked) if contents else None,
        )

    def _contents(self, asked: ChatRequest | EmbeddingRequest) -> Contents:
        if isinstance(asked, EmbeddingRequest):
            last = asked.texts[-1]
        else:
            last = text_of(asked.messages[-1].parts) if asked.messages else ""
        return Contents(
            asked=last[-_MOST_CONTENT:],
            answered="".join(self.answered)[:_MOST_CONTENT],
            calls=tuple(f"{c.name}({c.arguments[:_MOST_CONTENT]})" for c in self.calls),
            error=self.error.told if self.error else "",
        )
