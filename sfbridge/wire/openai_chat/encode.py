"""Events -> chat completion chunks, and a folded answer -> one chat completion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sfbridge.core.answer import Answer
from sfbridge.core.errors import GatewayError
from sfbridge.core.request import TextPart, ThoughtPart, ToolCall
from sfbridge.core.stream import (
    BlockEnded,
    BlockKind,
    BlockStarted,
    Delta,
    Event,
    Finished,
    FinishReason,
    Ran,
    Started,
    Usage,
)
from sfbridge.wire.base import Reply
from sfbridge.wire.frames import literal, quoted, sound

from .faults import failure

_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}
_DONE: Final = b"data: [DONE]\n\n"
_GOES_ON: Final = b',"logprobs":null,"finish_reason":null}]}\n\n'


class ChunkEncoder:
    """The chunks of one answer.

    The role leads in a chunk of its own, and the finish reason ends in a chunk of its own: clients lose tool
    calls, or repeat for ever, without.
    """

    def __init__(self, reply: Reply) -> None:
        self._chunk = (
            b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":'
            % (quoted(reply.id), reply.created, quoted(reply.model))
        )
        self._delta = self._chunk + b'[{"index":0,"delta":'
        self._text = self._delta + b'{"content":'
        self._thought = self._delta + b'{"reasoning_content":'
        self._wants_usage = reply.stream_usage
        self._open = False
        self._kind: BlockKind = "text"
        self._call = BlockStarted(0, "call")
        self._arguments: list[str] = []
        self._calls = 0
        self._results: list[dict[str, Any]] = []

    def open(self, usage: Usage) -> bytes:  # noqa: ARG002  # the Encoder protocol
        """The chunk with the role; the usage has no place before the end."""
        return b"" if self._open else self._role(b'""')

    def feed(self, events: Iterable[Event]) -> bytes:
        """The chunks of a batch of events."""
        out: list[bytes] = []
        started = False
        for event in events:
            if type(event) is Delta:
                self._more(event, out)
            elif type(event) is BlockStarted:
                self._begin(event, out)
            elif type(event) is BlockEnded:
                if self._kind == "call":
                    out.append(self._whole_call())
            elif type(event) is Started:
                started = True
            elif type(event) is Finished:
                self._finish(event, out)
            elif type(event) is Ran:
                self._show(event, out)
        if started and not self._open:
            out.append(self._role(b'""'))
        return b"".join(out)

    def hold(self) -> bytes:
        """Nothing: these clients count any byte as progress, so comments are enough."""
        return b""

    def failure(self, error: GatewayError) -> bytes:
        """The error in place of a chunk; no `[DONE]` follows."""
        return failure(error)

    def _role(self, content: bytes) -> bytes:
        self._open = True
        return self._delta + b'{"role":"assistant","content":' + content + b"}" + _GOES_ON

    def _begin(self, event: BlockStarted, out: list[bytes]) -> None:
        self._kind = event.kind
        if not self._open:
            out.append(self._role(b"null" if event.kind == "call" else b'""'))
        if event.kind == "call":
            self._call = event
            self._arguments.clear()

    def _more(self, event: Delta, out: list[bytes]) -> None:
        if self._kind == "call":
            self._arguments.append(event.text)
        elif event.text:
            head = self._text if self._kind == "text" else self._thought
            out.append(head + quoted(event.text) + b"}" + _GOES_ON)

    def _show(self, event: Ran, out: list[bytes]) -> None:
        """A tool that the upstream ran: its call; what came of it has no place before the end."""
        if not self._open:
            out.append(self._role(b"null"))
        out.append(self._one_call(_call(event.arguments, event.id, event.name)))
        self._results += _results((event,))

    def _whole_call(self) -> bytes:
        return self._one_call(_call("".join(self._arguments), self._call.id, self._call.name))

    def _one_call(self, call: dict[str, Any]) -> bytes:
        self._calls += 1
        delta = literal({"tool_calls": [{"index": self._calls - 1, **call}]})
        return self._delta + delta + _GOES_ON

    def _finish(self, event: Finished, out: list[bytes]) -> None:
        if not self._open:
            out.append(self._role(b'""'))
        reason = quoted(_REASONS[event.reason])
        ran = b',"x_tool_results":' + literal(self._results) if self._results else b""
        end = b"}]" + ran + b"}\n\n"
        out.append(self._delta + b'{},"logprobs":null,"finish_reason":' + reason + end)
        if self._wants_usage:
            out.append(self._chunk + b'[],"usage":' + literal(usage_body(event.usage)) + b"}\n\n")
        out.append(_DONE)


def body(answer: Answer, reply: Reply) -> bytes:
    """The whole answer as one chat completion. Several texts are one text here, as in the stream."""
    texts = [part.text for part in answer.parts if isinstance(part, TextPart)]
    thoughts = "".join(part.text for part in answer.parts if isinstance(part, ThoughtPart))
    ran = [event for _, event in answer.ran]
    calls = [
        _call(part.arguments, part.id, part.name)
        for part in (*ran, *answer.parts)
        if isinstance(part, ToolCall | Ran)
    ]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": sound("".join(texts)) if texts or not calls else None,
        "refusal": None,
    }
    if thoughts:
        message["reasoning_content"] = sound(thoughts)
    if calls:
        message["tool_calls"] = calls
    if results := _results(ran):
        message["x_tool_results"] = results
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _REASONS[answer.reason],
    }
    return literal(
        {
            "id": reply.id,
            "object": "chat.completion",
            "created": reply.created,
            "model": sound(reply.model),
            "choices": [choice],
            "usage": usage_body(answer.usage),
        }
    )


def usage_body(usage: Usage) -> dict[str, Any]:
    """Usage in the vendor's fields; prompt tokens count cached ones in."""
    prompt = (usage.input or 0) + (usage.cache_read or 0) + (usage.cache_write or 0)
    output = usage.output or 0
    found: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
    }
    if usage.cache_read is not None:
        found["prompt_tokens_details"] = {"cached_tokens": usage.cache_read}
    if usage.thought is not None:
        found["completion_tokens_details"] = {"reasoning_tokens": usage.thought}
    if usage.estimated:
        found["estimated"] = True
    return found


def _call(arguments: str, call_id: str, name: str) -> dict[str, Any]:
    return {
        "id": sound(call_id),
        "type": "function",
        "function": {"name": sound(name), "arguments": sound(arguments) or "{}"},
    }


def _results(ran: Iterable[Ran]) -> list[dict[str, Any]]:
    """What came of tools that the upstream ran, for clients that know to look for it: the protocol has no place."""
    return [
        {
            "tool_call_id": sound(event.id),
            "is_error": event.is_error,
            "content": sound(event.output),
        }
        for event in ran
        if event.output is not None
    ]
