"""The whole answer, folded from the same events that a stream is encoded from."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from .request import TextPart, ThoughtPart, ToolCall
from .stream import (
    BlockEnded,
    BlockStarted,
    Delta,
    Event,
    Finished,
    FinishReason,
    Ran,
    Started,
    Usage,
)

AnswerPart = TextPart | ThoughtPart | ToolCall


class Answer(Struct, frozen=True, kw_only=True):
    """One finished turn of the model, its blocks in order.

    ran  tools that the upstream ran by itself, each with the number of parts before it; no part of what was said
    """

    parts: tuple[AnswerPart, ...]
    ran: tuple[tuple[int, Ran], ...] = ()
    reason: FinishReason
    raw_reason: str = ""
    usage: Usage = Usage()
    stop_sequence: str = ""
    model: str = ""


class Fold:
    """Feed it every event of one answer, then read `answer()`."""

    def __init__(self) -> None:
        self._model = ""
        self._parts: list[AnswerPart] = []
        self._ran: list[tuple[int, Ran]] = []
        self._block: BlockStarted | None = None
        self._text: list[str] = []
        self._signature = ""
        self._end: Finished | None = None

    def feed(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Started():
                    self._model = event.model
                case BlockStarted():
                    self._block, self._text, self._signature = event, [], ""
                case Delta():
                    self._text.append(event.text)
                    self._signature += event.signature
                case BlockEnded():
                    self._parts.append(self._part())
                case Ran():
                    self._ran.append((len(self._parts), event))
                case Finished():
                    self._end = event

    def answer(self) -> Answer:
        """The folded answer. Only meaningful after `Finished`, which the sequencer promises."""
        assert self._end is not None, "a fold was read before its end"
        return Answer(
            parts=tuple(self._parts),
            ran=tuple(self._ran),
            reason=self._end.reason,
            raw_reason=self._end.raw,
            usage=self._end.usage,
            stop_sequence=self._end.stop_sequence,
            model=self._model,
        )

    def _part(self) -> AnswerPart:
        assert self._block is not None, "a block ended that never began"
        text = "".join(self._text)
        match self._block.kind:
            case "text":
                return TextPart(text)
            case "thought":
                return ThoughtPart(text, self._signature)
            case "call":
                return ToolCall(self._block.id, self._block.name, text)
