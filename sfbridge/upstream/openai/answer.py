"""Answers of the OpenAI dialect -> pieces: the event stream, and the whole body.

The finish reason makes an answer whole, but usage may follow it, so the end is told at `[DONE]` or when the
transport ends. A turn of reasoning alone is shown as text, since clients take an empty turn for a fault.
"""

from __future__ import annotations

from typing import Final

import msgspec

from sfbridge.core.errors import GatewayError
from sfbridge.core.stream import Closed, FinishReason, Opened, Piece, Text, Thought, Usage
from sfbridge.formats.openai_answer import Choice, Completion, ContentPiece, Said, Tokens
from sfbridge.formats.sse import SseEvent
from sfbridge.upstream.broken import garbled, truncated
from sfbridge.upstream.calls import Calls
from sfbridge.upstream.events import EventReader

from .faults import WHO, Asked, empty_overflow, fault_in_stream, silent_overflow

DONE: Final = b"[DONE]"

_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
}
# What a server says when it gave up in the middle: an end, but not of the answer.
_GAVE_UP: Final = frozenset(("abort", "aborted", "error", "cancelled"))

_decode = msgspec.json.Decoder(Completion).decode


class StreamReader(EventReader):
    """Bytes of an event stream in, pieces out. Calls leave whole, before the end."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(WHO)
        self._asked = asked
        self._turn = _Turn(asked)

    def _event(self, event: SseEvent, out: list[Piece]) -> None:
        data = event.data
        if data.strip() == DONE:
            self.close(out)
        elif event.event == "error":
            raise fault_in_stream(data, self._asked)
        elif data:
            self._turn.read(_decoded(data), data, out)
            self.settled = bool(self._turn.reason)

    def _end(self) -> list[Piece]:
        return self._turn.end()

    def _unfinished(self) -> GatewayError:
        """A stream of nothing at all is how llama-cpp-python ends a request that does not fit its window: it begins
        the stream, with a 200, before it counts (`llama_cpp/server/app.py` and `llama.py` of 0.3.36)."""
        overflow = None if self._turn.begun else silent_overflow(self._asked)
        return overflow or super()._unfinished()


def whole_answer(body: bytes, asked: Asked) -> list[Piece]:
    """The pieces of a whole completion. Raises GatewayError for an error body under a 200."""
    completion = _decoded(body)
    turn = _Turn(asked)
    out: list[Piece] = []
    turn.read(completion, body, out)
    if not completion.choices:
        raise fault_in_stream(body, asked)
    if not turn.reason and not turn.said_anything:
        raise truncated(WHO)
    return out + turn.end()


class _Turn:
    """What one answer has said so far."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.begun = False
        self._calls = Calls()
        self._called = False
        self._thoughts: list[str] = []
        self._text = False
        self._refused = False
        self._usage = Usage()
        self.reason = ""

    @property
    def said_anything(self) -> bool:
        return self._text or self._called or bool(self._thoughts)

    def read(self, said: Completion, data: bytes, out: list[Piece]) -> None:
        if said.error and bytes(said.error) != b"null":
            raise fault_in_stream(data, self._asked)
        if said.usage is not None:
            self._usage = self._usage.merged(usage_of(said.usage))
        if not self.begun:
            self.begun = True
            out.append(Opened(model=said.model or "", id=said.id or "", usage=self._usage))
        for choice in said.choices or ():
            if not choice.index:  # further choices were not asked for
                self._choice(choice, out)

    def _choice(self, choice: Choice, out: list[Piece]) -> None:
        said = choice.delta if choice.delta is not None else choice.message
        if said is not None:
            self._said(said, out)
        if choice.finish_reason:
            self.reason = choice.finish_reason

    def _said(self, said: Said, out: list[Piece]) -> None:
        if thought := said.reasoning_content or said.reasoning:
            self._thoughts.append(thought)
            out.append(Thought(thought))
        if said.content:
            self._speak(_text_in(said.content), out)
        if said.refusal:
            self._refused = True
            self._speak(said.refusal, out)
        for fragment in said.tool_calls or ():
            self._called = True
            self._calls.add(fragment)

    def _speak(self, text: str, out: list[Piece]) -> None:
        # blanks between reasoning and calls are no text
        self._text = self._text or not text.isspace()
        out.append(Text(text))

    def end(self) -> list[Piece]:
        raw = self.reason
        if raw.lower() in _GAVE_UP:
            raise GatewayError(
                "upstream_failed",
                f"The model server gave the answer up (it said: {raw[:40]}).",
                code="upstream_aborted",
            )
        reason = "content_filter" if self._refused else _REASONS.get(raw.lower(), "stop")
        if reason == "stop" and not self.said_anything:
            prompt = (self._usage.input or 0) + (self._usage.cache_read or 0)
            if overflow := empty_overflow(self._asked, prompt):
                raise overflow
        out = self._calls.pieces(cut=reason == "length")
        if self._thoughts and not self._text and not self._called:
            out.append(Text("".join(self._thoughts)))
        out.append(Closed(reason=reason, raw=raw, usage=self._usage))
        return out


def usage_of(tokens: Tokens) -> Usage:
    """The counts in our words: `input` excludes what was read from a cache. A prompt of 0 is not known."""
    prompt = tokens.prompt_tokens or None
    details, output = tokens.prompt_tokens_details, tokens.completion_tokens_details
    cached = (details.cached_tokens if details is not None else None) or None
    if prompt is not None and cached is not None:
        prompt = max(0, prompt - cached)
    return Usage(
        input=prompt,
        output=tokens.completion_tokens,
        cache_read=cached,
        thought=(output.reasoning_tokens if output is not None else None) or None,
    )


def _text_in(content: str | list[ContentPiece]) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.text or "" for part in content)


def _decoded(data: bytes) -> Completion:
    try:
        return _decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise garbled(WHO, type(error).__name__) from None
