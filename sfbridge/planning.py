"""From a request to a plan: route, fit, prune, dress, cap. All decisions, no waiting."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from .core.errors import GatewayError
from .core.model import Capabilities, ModelCard
from .core.request import ChatRequest, TextPart, ToolResult
from .emulation import Dressed, ask_shape, dress
from .exchange import Plan
from .policy.estimate import estimate, family_of
from .policy.fitting import Fitted, fit
from .policy.limits import Permits
from .policy.mirrored import without_mirrored
from .policy.prefix import conversation_key, neutral_attribution, trail, where_broke
from .policy.pruning import Measure, Memory, Pruning, prune
from .policy.routing import Routes, Target
from .policy.window import RESERVE, cap_output
from .roster import Roster
from .state.gates import Gate
from .state.learning import Learned
from .state.memories import Memories
from .upstream.base import Upstream

# What happens to an upstream's own call that does not fit its schema: shown to the model and asked for again,
# passed on as it is, or a failure at once.
NativeCalls = Literal["repair", "pass", "refuse"]


class Back(Struct, frozen=True, kw_only=True):
    """One upstream and what its configuration says about it beyond the adapter's own settings.

    gate           how many calls it takes at a time, and who waits
    prune          whether long histories are cut to the window; None: where the adapter wants it
    supplement     text for the end of the system prompt, for small models that stop early; empty: none
    require_tools  demand a call while a tool loop is under way
    """

    upstream: Upstream
    gate: Gate
    native_calls: NativeCalls = "repair"
    prune: bool | None = None
    supplement: str = ""
    require_tools: bool = False


class Numbers(Struct, frozen=True, kw_only=True):
    """The numbers that plans are made with.

    rounds   how often a faulty answer is asked for again
    reserve  part of the window that an answer leaves free
    floor    tokens that an answer gets at least, for models that think first
    """

    rounds: int = 2
    reserve: float = RESERVE
    floor: int = 0
    pruning: Pruning = Pruning()


class Planner:
    """Built once per application; remembers of a conversation only what keeps its prompt steady."""

    def __init__(
        self,
        backs: Mapping[str, Back],
        roster: Roster,
        *,
        permits: Permits,
        mark_key: bytes,
        numbers: Numbers,
        learned: Learned,
    ) -> None:
        self.backs = backs
        self.permits = permits
        self._roster = roster
        self._mark_key = mark_key
        self._numbers = numbers
        self._learned = learned
        self._cuts: Memories[Memory] = Memories()
        self._trails: Memories[tuple[str, ...]] = Memories()

    @property
    def routes(self) -> Routes:
        """The names that hold now."""
        return self._roster.routes

    def targets(self, model: str, key: str) -> tuple[Target, ...]:
        """Who answers, and who else if the first cannot. Raises GatewayError for a model that cannot chat, and for
        one that the key may not use."""
        try:
            found = self.routes.targets(model)
        except GatewayError:
            self._roster.missed()
            raise
        if self.permits.restricts(key):
            self.permit(found[0], key)
            found = tuple([target for target in found if self._permitted(target, key)])
        if found[0].card.kind == "embeddings":
            raise GatewayError(
                "invalid_request",
                f"The model {model} makes embeddings and cannot chat.",
                param="model",
            )
        return found

    def cards(self, key: str) -> tuple[ModelCard, ...]:
        """The model list, as far as the key may use it."""
        routes = self.routes
        if not self.permits.restricts(key):
            return routes.cards()
        return tuple([c for c in routes.cards() if self._permitted(routes.listed(c.id), key)])

    def card(self, model: str, key: str) -> ModelCard:
        """What is known of a model. Raises GatewayError for one that is unknown, or that the key may not use."""
        found = self.routes.listed(model)
        self.permit(found, key)
        return found.card

    def permit(self, target: Target, key: str) -> None:
        """Raises GatewayError `permission` when the key may not use this model."""
        if not self._permitted(target, key):
            raise GatewayError(
                "permission",
                f"The key {key!r} may not use this model; GET /v1/models lists those that it may use.",
                param="model",
                code="model_not_allowed",
                retriable=False,
            )

    def _permitted(self, target: Target, key: str) -> bool:
        return self.permits.allows(key, self.routes.known_as(target))

    def plan(
        self, request: ChatRequest, target: Target, can: Capabilities, *, whole: bool = False
    ) -> Plan:
        """Raises GatewayError where the request cannot be answered by this target.

        whole  plan it as it is, without pruning, and remember nothing: for counting
        """
        request = without_mirrored(request)
        back, numbers = self.backs[target.upstream], self._numbers
        asked, notes = _supplemented(_steadied(request, can), back)
        fitted = fit(asked, can)
        watched = bool(can.window) and self._prunes(back, can) and not whole
        family = family_of(target.model)
        factor = self._learned.factor(target.model) if watched else 1.0

        def measure(given: ChatRequest) -> int:
            return ceil(estimate(self._sent(given, fitted)[0], family) * factor)

        given, tokens = fitted.request, 0
        # where the client names its conversation, its window is shown even where nobody here cuts to it
        named = bool(request.caller.conversation and can.window) and not whole
        conversation = conversation_key(request) if watched or named else ""
        if watched and can.window:
            given, tokens = self._pruned(given, conversation, can.window, measure, notes)
        final, dressed = self._sent(given, fitted)
        tokens = tokens or ceil(estimate(final, family) * factor)
        final = replace(
            final,
            stop=() if fitted.emulate_stop else final.stop,
            max_output=self._output(final.max_output, tokens, can) if watched else final.max_output,
        )
        checks = dressed is None and back.native_calls != "pass"
        return Plan(
            asked=request,
            target=target,
            upstream=back.upstream,
            request=final,
            fitted=fitted,
            dressed=dressed,
            checked=final.tools if checks else (),
            shape=given.shape if fitted.emulate_shape else None,
            rounds=0 if checks and back.native_calls == "refuse" else numbers.rounds,
            family=family,
            factor=factor,
            window=can.window,
            conversation=conversation,
            threads=can.threads,
            broke=self._broke(conversation, final) if watched else "",
            watched=watched,
            notes=notes,
            prompt_tokens=tokens,
        )

    def _sent(self, given: ChatRequest, fitted: Fitted) -> tuple[ChatRequest, Dressed | None]:
        """The request as the upstream gets it, and what its tools were turned into."""
        shaped = ask_shape(given) if fitted.emulate_shape else given
        dressed = dress(shaped, self._mark_key) if fitted.emulate else None
        return (dressed.request if dressed else shaped), dressed

    def _pruned(
        self,
        given: ChatRequest,
        conversation: str,
        window: int,
        measure: Measure,
        notes: dict[str, int],
    ) -> tuple[ChatRequest, int]:
        """The request within its window, and its tokens; what went is added to `notes`."""
        numbers = self._numbers
        before = self._cuts.recall(conversation)
        found = prune(given, window, measure, numbers.pruning, before, floor=numbers.floor)
        if found.memory is not None:
            self._cuts.keep(conversation, found.memory)
        notes.update({f"pruned_{name}": number for name, number in found.removed.items()})
        if found.cut:
            notes["prunings"] = 1
        return found.request, found.after

    def learn(self, plan: Plan, reported: int, *, sure: bool = False) -> None:
        """Let the next estimate for this model profit from what it reported for this prompt; `sure` counts at once."""
        raw = round(plan.prompt_tokens / plan.factor)
        self._learned.learn(plan.target.model, raw, reported, sure=sure)

    def _prunes(self, back: Back, can: Capabilities) -> bool:
        wanted = can.prunes if back.prune is None else back.prune
        return wanted and self._numbers.pruning.enabled

    def _output(self, asked: int | None, tokens: int, can: Capabilities) -> int | None:
        numbers = self._numbers
        return cap_output(
            asked, tokens, can.window, can.output_cap, reserve=numbers.reserve, floor=numbers.floor
        )

    def _broke(self, conversation: str, sent: ChatRequest) -> str:
        """Where the prompt no longer begins as the last one did, in words; empty when it still does."""
        now, before = trail(sent), self._trails.recall(conversation)
        self._trails.keep(conversation, now)
        return where_broke(before, now) if before is not None else ""


def _steadied(request: ChatRequest, can: Capabilities) -> ChatRequest:
    """The request without what changes at its front from turn to turn, where the upstream wants it so."""
    system = neutral_attribution(request.system) if can.steady else request.system
    return request if system is request.system else replace(request, system=system)


def _supplemented(request: ChatRequest, back: Back) -> tuple[ChatRequest, dict[str, int]]:
    """What the configuration adds for models that stop early; each addition is noted for the receipt."""
    notes: dict[str, int] = {}
    if not request.tools:
        return request, notes
    if back.supplement:
        request = replace(request, system=(*request.system, TextPart(f"\n\n{back.supplement}")))
        notes["supplement"] = 1
    last = request.messages[-1].parts if request.messages else ()
    looping = any(isinstance(part, ToolResult) for part in last)
    if back.require_tools and looping and request.choice.mode == "auto":
        request = replace(request, choice=replace(request.choice, mode="required"))
        notes["required_tools"] = 1
    return request, notes
