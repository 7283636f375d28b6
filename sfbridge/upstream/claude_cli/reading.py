"""The lines of one turn -> pieces. Pure; knows when the turn is over and why.

Pieces come from the stream events. The complete messages, which repeat them, count only where nothing was
streamed (the CLI falls back to that by itself). The result line has the last word on success.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from sfbridge.core.stream import (
    Activity,
    CallArguments,
    CallClosed,
    CallOpened,
    Closed,
    FinishReason,
    Opened,
    Piece,
    Text,
    Thought,
    Usage,
)
from sfbridge.formats.anthropic import Block, MessageBody, StreamEvent, UsageBody
from sfbridge.formats.claude_cli import Line, Result

from .faults import cut, denied, fault_of, garbled

End = Literal["", "calls", "limit", "whole"]

_REASONS: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
_NO_INPUT: Final = frozenset((b"", b"{}", b"null"))
_message = msgspec.json.Decoder(MessageBody)
_event = msgspec.json.Decoder(StreamEvent)
_result = msgspec.json.Decoder(Result)


class Reader:
    """One turn as the client sees it.

    names    of the client's tools, as the model calls them -> as the client does
    limited  the client set a limit of output tokens, so reaching it ends the turn; the CLI would go on

    end      "calls": the client is to run tools; "limit": its limit is reached; "whole": all is said
    waiting  the ids of the client's calls of the last message
    result   the result line, once it came
    """

    def __init__(self, names: Mapping[str, str], *, limited: bool) -> None:
        self._names = names
        self._limited = limited
        self._message: _Message | None = None
        self._usage = Usage()
        self._keys = 0
        self._said = False  # any text yet
        self._gap = False  # a blank line goes before the next text
        self._error = ""
        self.waiting: list[str] = []
        self.begun = False
        self.end: End = ""
        self.result: Result | None = None

    def feed(self, line: Line, raw: bytes) -> list[Piece]:
        """The pieces of a line, which is given as it came as well. Raises GatewayError where the run failed."""
        out: list[Piece] = []
        if self.end or line.parent is not None:
            return out
        try:
            match line.type:
                case "stream_event":
                    self._streamed(_event.decode(line.event), out)
                case "assistant":
                    self._error = line.error if isinstance(line.error, str) else ""
                    self._whole(_message.decode(line.message), out)
                case "system" if line.subtype == "api_retry":
                    self._interrupted()
                case "result":
                    self._finish(_result.decode(raw), out)
                case _:  # status, echoes of tool results, kinds that are yet to be invented
                    pass
        except msgspec.MsgspecError as error:
            raise garbled(f"{line.type}: {error}"[:200]) from None
        return out

    def called(self) -> list[Piece]:
        """The process makes a call of the client's: the turn is over, if the message is known to be complete."""
        out: list[Piece] = []
        message = self._message
        if not self.end and message is not None and not message.streamed and self.waiting:
            self._close("calls", "tool_calls", out)
        return out

    # ---- streamed messages

    def _streamed(self, event: StreamEvent, out: list[Piece]) -> None:
        message = self._message
        if event.type == "message_start":
            if event.message is not None:
                self._start(event.message, out, streamed=True)
            return
        if message is None or not message.streamed:
            return
        match event.type:
            case "content_block_delta":
                self._delta(event, message, out)
            case "content_block_start":
                self._close_call(message, out)
                if event.content_block is not None:
                    self._open(event.index, event.content_block, message, out)
            case "message_delta":
                message.usage = message.usage.merged(_usage(event.usage))
                if event.delta is not None:
                    message.reason = event.delta.stop_reason or message.reason
                    message.stop_sequence = event.delta.stop_sequence or ""
            case "message_stop":
                self._stop(message, out)
            case _:
                pass

    def _start(self, body: MessageBody, out: list[Piece], *, streamed: bool) -> None:
        self._interrupted()
        before = self._message
        if before is not None:
            self._usage = self._usage.plus(before.usage)
            self._gap = self._said and before.reason != "max_tokens"
        self._message = _Message(body.id, _usage(body.usage), streamed)
        self.waiting = []
        if not self.begun:
            self.begun = True
            out.append(Opened(model=body.model, id=body.id, usage=self._message.usage))

    def _interrupted(self) -> None:
        """Raise when a message of which something was passed on is not going to be completed."""
        message = self._message
        if message is not None and not message.reason:
            if message.spoken:
                raise cut()
            self._message = None

    def _delta(self, event: StreamEvent, message: _Message, out: list[Piece]) -> None:
        delta = event.delta
        if delta is None:
            return
        match delta.type:
            case "text_delta":
                self._text(delta.text, message, out)
            case "input_json_delta":
                key = message.keys.get(event.index)
                if key is not None and delta.partial_json:
                    message.input = b""
                    out.append(CallArguments(key, delta.partial_json))
            case "thinking_delta" | "signature_delta":
                message.spoken = True
                out.append(Thought(delta.thinking, delta.signature))
            case _:
                pass

    def _open(self, index: int, block: Block, message: _Message, out: list[Piece]) -> None:
        if block.type == "tool_use":
            name = self._names.get(block.name)
            if name is None:
                out.append(Activity("tool", block.name))
                return
            message.spoken = True
            message.keys[index] = message.open_key = self._keys
            message.input = bytes(block.input).strip()
            out.append(CallOpened(self._keys, block.id, name))
            self._keys += 1
            self.waiting.append(block.id)
        elif block.text:
            self._text(block.text, message, out)
        elif block.thinking or block.signature:
            message.spoken = True
            out.append(Thought(block.thinking, block.signature))

    def _text(self, text: str, message: _Message, out: list[Piece]) -> None:
        if text:
            if self._gap:
                text = "\n\n" + text
                self._gap = False
            self._said = message.spoken = True
            out.append(Text(text))

    def _close_call(self, message: _Message, out: list[Piece]) -> None:
        """Close the call that is complete because something else follows it."""
        if message.open_key is not None:
            if message.input not in _NO_INPUT:
                out.append(CallArguments(message.open_key, message.input.decode()))
            out.append(CallClosed(message.open_key))
            message.open_key, message.input = None, b""

    def _stop(self, message: _Message, out: list[Piece]) -> None:
        if not message.reason:
            return  # it broke off; what follows shows whether anything can be saved
        if message.reason == "max_tokens":
            if self._limited:
                self._close("limit", "length", out)
            return
        self._close_call(message, out)
        if self.waiting:
            self._close("calls", "tool_calls", out)

    # ---- whole messages

    def _whole(self, body: MessageBody, out: list[Piece]) -> None:
        message = self._message
        if self._error or (message is not None and message.streamed and message.id == body.id):
            return
        if message is None or message.id != body.id:
            self._start(body, out, streamed=False)
            message = self._message
        assert message is not None
        message.reason = body.stop_reason or "end_turn"
        for place, block in enumerate(body.content, len(message.keys)):
            self._open(place, block, message, out)
            self._close_call(message, out)

    # ---- the end

    def _finish(self, result: Result, out: list[Piece]) -> None:
        self.result = result
        if result.is_error or result.subtype != "success":
            raise fault_of(result, self._error)
        message = self._message
        if message is not None and not message.reason:
            raise cut()
        names = tuple([denial.tool_name for denial in result.denials or ()])
        out += [Activity("denied", name) for name in names]
        if not self._said and result.result:
            out.append(Text(result.result))
        elif not self._said and not self._keys and names:
            raise denied(names)
        raw = message.reason if message is not None else ""
        self._close("whole", _REASONS.get(raw, "stop"), out, _usage(result.usage))

    def _close(
        self, end: End, reason: FinishReason, out: list[Piece], counted: Usage = Usage()
    ) -> None:
        """The terminal piece. Messages are summed up here, because the result line also counts those that
        an earlier answer reported; it stands in where no message was seen."""
        message = self._message
        usage = self._usage.plus(message.usage) if message is not None else counted
        self.end = end
        out.append(
            Closed(
                reason=reason,
                raw=message.reason if message is not None else "",
                usage=usage,
                stop_sequence=message.stop_sequence if message is not None else "",
            )
        )


class _Message:
    """The message that is arriving."""

    __slots__ = (
        "id", "input", "keys", "open_key", "reason", "spoken", "stop_sequence", "streamed", "usage",
    )  # fmt: skip

    def __init__(self, message_id: str, usage: Usage, streamed: bool) -> None:
        self.id = message_id
        self.usage = usage
        self.streamed = streamed
        self.reason = ""
        self.stop_sequence = ""
        self.spoken = False
        self.keys: dict[int, int] = {}
        self.open_key: int | None = None
        self.input = b""


def _usage(body: UsageBody | None) -> Usage:
    if body is None:
        return Usage()
    return Usage(
        input=body.input_tokens,
        output=body.output_tokens,
        cache_read=body.cache_read_input_tokens,
        cache_write=body.cache_creation_input_tokens,
    )
