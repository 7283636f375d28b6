"""Events -> pieces of text completions, and folded answers -> one text completion. Thoughts have no place in either."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sfbridge.core.answer import Answer
from sfbridge.core.errors import GatewayError
from sfbridge.core.request import TextPart
from sfbridge.core.stream import BlockStarted, Delta, Event, Finished, FinishReason, Started, Usage
from sfbridge.formats.openai_completions import TextChoice, TextCompletion
from sfbridge.wire.base import Reply
from sfbridge.wire.frames import literal, quoted, sound
from sfbridge.wire.openai_chat.encode import usage_body
from sfbridge.wire.openai_chat.faults import failure

_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "stop",
    "content_filter": "content_filter",
}
_DONE: Final = b"data: [DONE]\n\n"
_GOES_ON: Final = b',"logprobs":null,"finish_reason":null}]}\n\n'


class _Ending:
    """What the last choice to end says for all of them."""

    def __init__(self, choices: int) -> None:
        self._open = choices
        self._usage = Usage()

    def after(self, usage: Usage) -> Usage | None:
        """Count one choice as ended; the usage of all when it was the last one."""
        self._open -= 1
        self._usage = self._usage.plus(usage)
        return None if self._open else self._usage


class TextEncoder:
    """The pieces of one choice. `ending` is shared by all choices of a reply."""

    def __init__(self, reply: Reply, index: int = 0, ending: _Ending | None = None) -> None:
        self._piece = (
            b'data: {"id":%b,"object":"text_completion","created":%d,"model":%b,"choices":'
            % (quoted(reply.id), reply.created, quoted(reply.model))
        )
        self._choice = self._piece + b'[{"index":%d,"text":' % index
        self._head = reply.heads[index] if reply.heads else ""
        self._wants_usage = reply.stream_usage
        self._ending = ending or _Ending(1)
        self._speaks = False

    def open(self, usage: Usage) -> bytes:  # noqa: ARG002  # the Encoder protocol
        """Nothing: a piece is text, and there is none yet."""
        return b""

    def feed(self, events: Iterable[Event]) -> bytes:
        """The pieces of a batch of events."""
        out: list[bytes] = []
        for event in events:
            if type(event) is Delta:
                if self._speaks and event.text:
                    out.append(self._choice + quoted(event.text) + _GOES_ON)
            elif type(event) is BlockStarted:
                self._speaks = event.kind == "text"
            elif type(event) is Started:
                if self._head:
                    out.append(self._choice + quoted(self._head) + _GOES_ON)
            elif type(event) is Finished:
                self._finish(event, out)
        return b"".join(out)

    def hold(self) -> bytes:
        """Nothing: these clients count any byte as progress, so comments are enough."""
        return b""

    def failure(self, error: GatewayError) -> bytes:
        """One error object and no `[DONE]`."""
        return failure(error)

    def _finish(self, event: Finished, out: list[bytes]) -> None:
        reason = quoted(_REASONS[event.reason])
        out.append(self._choice + b'"","logprobs":null,"finish_reason":' + reason + b"}]}\n\n")
        whole = self._ending.after(event.usage)
        if whole is None:
            return
        if self._wants_usage:
            out.append(self._piece + b'[],"usage":' + literal(usage_body(whole)) + b"}\n\n")
        out.append(_DONE)


def encoders(reply: Reply, choices: int) -> list[TextEncoder]:
    """An encoder per choice of one stream; whichever ends last ends the stream."""
    ending = _Ending(choices)
    return [TextEncoder(reply, index, ending) for index in range(choices)]


def body(answer: Answer, reply: Reply) -> bytes:
    """One answer as a completion."""
    return body_of_all((answer,), reply)


def body_of_all(answers: Sequence[Answer], reply: Reply) -> bytes:
    """Several answers as the choices of one completion, with the usage of all."""
    usage = Usage()
    for answer in answers:
        usage = usage.plus(answer.usage)
    return literal(
        TextCompletion(
            id=reply.id,
            created=reply.created,
            model=sound(reply.model),
            choices=[_choice(index, answer, reply) for index, answer in enumerate(answers)],
            usage=usage_body(usage),
        )
    )


def _choice(index: int, answer: Answer, reply: Reply) -> TextChoice:
    head = reply.heads[index] if reply.heads else ""
    text = "".join([part.text for part in answer.parts if isinstance(part, TextPart)])
    return TextChoice(text=sound(head + text), index=index, finish_reason=_REASONS[answer.reason])
