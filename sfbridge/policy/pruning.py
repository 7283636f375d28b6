"""A history that outgrew its window, made to fit.

Clients send the whole, unpruned history every turn. Cutting it afresh each time would cut in a different
place each time, and a server's prompt cache would never hit. So a cut is remembered by what it was made
of, made again in every later turn, and extended only when the threshold is passed anew: between two
prunings the pruned prompt of one turn is the beginning of the next one's. A small memory was chosen over
cutting at fixed distances because it needs no guess of how large the next turns are, and survives a
conversation whose parts differ in size by a factor of a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import ChatRequest, Message, TextPart, ToolResult

from .estimate import estimate
from .pruning_marks import is_marker, with_cuts
from .pruning_units import (
    Cut,
    first_turn,
    folded,
    has_calls,
    keys_of,
    part_cut,
    tail_start,
    units_of,
)
from .window import least_output

Measure = Callable[[ChatRequest], int]

_MOST_CUTS: Final = 4096
_DROPS: Final = (Cut.TOOLS, Cut.SAID, Cut.ASKED)
# A step that misses its goal is followed by one of at least this part of the window, so that a cut is
# found in a few measurements.
_STEP: Final = 100


class Pruning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and how far a history is cut.

    threshold   part of the window from which on the history is pruned
    target      part of the window that it is pruned to
    keep_turns  the last assistant turns, each with what follows it, that stay; at least the last one does
    head, tail  characters that a folded tool result keeps at its start and at its end
    """

    enabled: bool = True
    threshold: float = 0.75
    target: float = 0.65
    keep_turns: int = 4
    head: int = 1500
    tail: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.target <= self.threshold <= 1:
            raise ValueError("target and threshold must be 0 < target <= threshold <= 1")
        if min(self.keep_turns, self.head, self.tail) < 0:
            raise ValueError("keep_turns, head and tail must not be negative")


class Memory(Struct, frozen=True):
    """What was cut from a conversation: keys of its units, and the part of the window that prunes it again.

    Made of content alone, so several histories that share a name (an agent and its helpers) can share a
    memory too. Never changed in place; the oldest of more than 4,096 cuts are forgotten.
    """

    cuts: dict[bytes, int]
    trigger: float = 0.0


class Pruned(Struct, frozen=True, kw_only=True):
    """The request as the upstream should see it.

    removed  what is missing from it, by kind (see pruning_marks.with_cuts), earlier turns' cuts included
    before   tokens of the request as the client sent it
    after    tokens of `request`
    cut      whether this turn cut more than the turns before; False while earlier cuts are only made again
    memory   to be handed in with the conversation's next turn
    """

    request: ChatRequest
    removed: dict[str, int]
    before: int
    after: int
    cut: bool
    memory: Memory | None


def prune(
    request: ChatRequest,
    window: int,
    measure: Measure,
    settings: Pruning,
    memory: Memory | None = None,
    *,
    floor: int = 0,
) -> Pruned:
    """Make the history fit `window` tokens.

    Nothing happens up to the threshold, or when pruning is off. Past it, oldest first and only until the
    target is met: large tool results are folded to head and tail, then calls go with their results, then
    assistant text, then user text. The first user turn and the last turns stay; of the last turns large
    results are folded, and only when the request could not be sent otherwise. System prompt and tools
    are never touched. The outcome never measures more than the input.

    `measure` counts a request as the upstream will be sent it; it is called once for a request below the
    threshold, a few times otherwise. `floor` is a configured least `max_tokens`.

    Raises GatewayError `context_overflow` when nothing more can go and no room for an answer is left;
    its tokens are the prompt, with the room for the answer if only that is missing, and the window.
    """
    before = measure(request)
    untouched = Pruned(
        request=request, removed={}, before=before, after=before, cut=False, memory=memory
    )
    if not settings.enabled or before <= settings.target * window:
        return untouched
    if memory is None and before <= settings.threshold * window:
        return untouched
    history = _History(request, before, measure, settings)
    trigger = history.recall(memory) if memory else settings.threshold
    if history.tokens <= max(trigger, settings.threshold) * window:
        return history.pruned(before, memory, cut=False) if history.is_cut else untouched
    history.reduce(history.steps(), settings.target * window, window)
    room = least_output(window, floor)
    if history.tokens > window - room:
        history.reduce(history.last_steps(), window - room, window)
    if history.tokens >= before:
        history.restore(before)
    if history.tokens > window - room:
        raise overflow(history.tokens, window, room)
    if not history.is_cut:
        return untouched
    return history.pruned(before, history.remember(memory, window), cut=True)


def overflow(prompt: int, window: int, room: int = 1) -> GatewayError:
    """The refusal of a prompt of so many tokens. Each wire words it as its clients expect it."""
    needed = prompt if prompt > window else prompt + room
    return GatewayError(
        "context_overflow",
        f"The prompt is about {prompt} tokens long, with at least {room} for the answer, and the model's "
        f"context window is {window}. Shorten or compact the conversation.",
        code="context_overflow",
        retriable=False,
        tokens=(needed, window),
    )


class _History:
    """A request under the knife: its units, the cuts so far, and what is left."""

    def __init__(
        self, request: ChatRequest, tokens: int, measure: Measure, settings: Pruning
    ) -> None:
        self._whole = request
        self._measure = measure
        self._settings = settings
        self._messages = request.messages
        self._units = units_of(request.messages)
        self._keys = keys_of(request.messages, self._units)
        self._tail = tail_start(self._units, settings.keep_turns)
        self._first = first_turn(request.messages, self._units)
        self._cuts = [Cut.NOTHING] * len(self._units)
        self._left = request
        self._removed: dict[str, int] = {}
        self.tokens = tokens

    @property
    def is_cut(self) -> bool:
        return any(self._cuts)

    def recall(self, memory: Memory) -> float:
        """Make the remembered cuts; returns the trigger, or 0 when nothing was remembered of this history.

        After a rewind a unit may stand in the tail again; then only its folds are made.
        """
        for index, key in enumerate(self._keys):
            cut = Cut(memory.cuts.get(key, 0))
            if index >= self._tail:
                cut &= Cut.FOLDED
            if index == self._first:
                cut &= ~Cut.ASKED
            self._cuts[index] = cut
        if not self.is_cut:
            return 0.0
        self._make()
        return memory.trigger

    def steps(self) -> Iterator[tuple[int, Cut]]:
        """Every cut outside the kept turns, in the order in which they are made."""
        for index in range(self._tail):
            if self._folds(index):
                yield index, Cut.FOLDED
        for what in _DROPS:
            for index in range(self._tail):
                if not self._cuts[index] & what and self._has(index, what):
                    yield index, what

    def last_steps(self) -> Iterator[tuple[int, Cut]]:
        """Folds of the kept turns, the latest result last."""
        for index in range(self._tail, len(self._units)):
            if self._folds(index):
                yield index, Cut.FOLDED

    def reduce(self, steps: Iterator[tuple[int, Cut]], goal: float, window: int) -> None:
        """Make cuts until no more than `goal` tokens are left, or none is left to make."""
        scale = self.tokens / max(1, estimate(self._left))
        missing, won, pending = self.tokens - goal, 0.0, False
        for index, cut in steps:
            if missing <= 0:
                return
            won += self._weight(index, cut) * scale
            self._cuts[index] |= cut
            pending = True
            if won >= missing:
                self._make()
                missing, won, pending = self.tokens - goal, 0.0, False
                if missing > 0:
                    missing = max(missing, window / _STEP)
        if pending:
            self._make()

    def restore(self, tokens: int) -> None:
        """Undo every cut: what they won was less than the lines that tell of them."""
        self._cuts = [Cut.NOTHING] * len(self._units)
        self._left, self._removed, self.tokens = self._whole, {}, tokens

    def remember(self, memory: Memory | None, window: int) -> Memory:
        """The cuts made, joined to the ones remembered.

        When everything went and the target was still not met, the next pruning waits until the history
        has grown as much as it usually may between two; else every turn would break the prefix.
        """
        settings = self._settings
        cuts = dict(memory.cuts) if memory else {}
        for key, cut in zip(self._keys, self._cuts, strict=True):
            if cut:
                cuts.pop(key, None)  # what is used moves to the end
                cuts[key] = int(cut)
        for key in list(cuts)[: max(0, len(cuts) - _MOST_CUTS)]:
            del cuts[key]
        grown = self.tokens / window + settings.threshold - settings.target
        return Memory(cuts, max(settings.threshold, min(grown, (settings.threshold + 1) / 2)))

    def pruned(self, before: int, memory: Memory | None, *, cut: bool) -> Pruned:
        return Pruned(
            request=self._left,
            removed=self._removed,
            before=before,
            after=self.tokens,
            cut=cut,
            memory=memory,
        )

    def _make(self) -> None:
        head, tail = self._settings.head, self._settings.tail
        left, self._removed = with_cuts(self._messages, self._units, self._cuts, head, tail)
        self._left = replace(self._whole, messages=left)
        self.tokens = self._measure(self._left)

    def _of(self, index: int) -> Sequence[Message]:
        unit = self._units[index]
        return self._messages[unit.start : unit.end]

    def _folds(self, index: int) -> bool:
        """Whether folding would change a result of the unit that is still there and whole."""
        head, tail = self._settings.head, self._settings.tail
        return not self._cuts[index] & (Cut.FOLDED | Cut.TOOLS) and any(
            isinstance(part, ToolResult) and folded(part, head, tail) is not part
            for message in self._of(index)
            for part in message.parts
        )

    def _has(self, index: int, what: Cut) -> bool:
        """Whether the unit holds anything that the cut may take."""
        if what is Cut.ASKED and index == self._first:
            return False
        messages = self._of(index)
        calls = has_calls(messages)
        return any(
            part_cut(part, message.role, calls=calls) is what
            and not (isinstance(part, TextPart) and (not part.text.strip() or is_marker(part.text)))
            for message in messages
            for part in message.parts
        )

    def _weight(self, index: int, cut: Cut) -> int:
        """About how many tokens the cut wins, its marker not counted."""
        now, head, tail = self._cuts[index], self._settings.head, self._settings.tail
        pair = [
            with_cuts(self._of(index), units_of(self._of(index)), [each], head, tail)[0]
            for each in (now, now | cut)
        ]
        return estimate(_bare(pair[0])) - estimate(_bare(pair[1]))


def _bare(messages: tuple[Message, ...]) -> ChatRequest:
    return ChatRequest(model="", messages=messages)
