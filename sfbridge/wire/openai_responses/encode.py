"""Events -> the events of a response stream, numbered, each item opened, filled and closed in turn.

An item of words stays open until it is known what follows, because only then is it known whether it was cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import ToolCall
from sfbridge.core.stream import (
    BlockEnded,
    BlockStarted,
    Delta,
    Event,
    Finished,
    Started,
    Usage,
)
from sfbridge.wire.base import Reply
from sfbridge.wire.frames import literal, quoted

from .output import CUT, Items, Shown

_EMPTY_TEXT: Final = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
_EMPTY_SUMMARY: Final = {"type": "summary_text", "text": ""}


class EventEncoder:
    """The events of one answer."""

    def __init__(self, reply: Reply) -> None:
        self._shown = Shown(reply)
        self._items = Items(reply)
        self._done: list[bytes] = []  # items that are complete
        self._number = 0  # of the next event
        self._opened = False
        self._finished = False
        self._block: BlockStarted | None = None
        self._text: list[str] = []
        self._signature = ""
        self._delta = b""  # of a delta in the open block, up to its text

    def open(self, usage: Usage) -> bytes:  # noqa: ARG002  # the Encoder protocol
        """The two events that every stream begins with; usage has no place before the end."""
        if self._opened:
            return b""
        self._opened = True
        begun = b',"response":' + self._shown.begun()
        return self._frame("response.created", begun) + self._frame("response.in_progress", begun)

    def feed(self, events: Iterable[Event]) -> bytes:
        """The frames of a batch of events."""
        out: list[bytes] = []
        for event in events:
            if type(event) is Delta:
                self._more(event, out)
            elif type(event) is BlockStarted:
                self._begin(event, out)
            elif type(event) is BlockEnded:
                if self._block is not None and self._block.kind == "call":
                    self._end(out)
            elif type(event) is Started:
                out.append(self.open(event.usage))
            elif type(event) is Finished:
                self._finish(event, out)
        return b"".join(out)

    def hold(self) -> bytes:
        """That the answer is in progress, once more: some clients count events, and no comments."""
        if self._finished:
            return b""
        opening = self.open(Usage())
        return opening or self._frame("response.in_progress", b',"response":' + self._shown.begun())

    def failure(self, error: GatewayError) -> bytes:
        """The event of a failed response, with the items that were complete."""
        self._finished = True
        failed = self._shown.failed(error, self._done)
        return self.open(Usage()) + self._frame("response.failed", b',"response":' + failed)

    # ---- one arm per event

    def _begin(self, event: BlockStarted, out: list[bytes]) -> None:
        out.append(self.open(Usage()))
        self._end(out)
        self._block, self._text, self._signature = event, [], ""
        index = len(self._done)
        match event.kind:
            case "text":
                item = {**self._items.message(index, "", "in_progress"), "content": []}
                self._added(item, out)
                self._delta = self._head("response.output_text.delta") + b',"logprobs":[],"delta":'
                out.append(self._placed("response.content_part.added", part=_EMPTY_TEXT))
            case "thought":
                self._added(self._items.thought(index, "", ""), out)
                self._delta = self._head("response.reasoning_summary_text.delta") + b',"delta":'
            case "call":
                call = ToolCall(event.id, event.name, "")
                self._added(self._items.call(index, call, "in_progress"), out)

    def _more(self, event: Delta, out: list[bytes]) -> None:
        self._signature += event.signature
        if not event.text or self._block is None:
            return
        if not self._text and self._block.kind == "thought":
            out.append(self._placed("response.reasoning_summary_part.added", part=_EMPTY_SUMMARY))
        self._text.append(event.text)
        if self._block.kind != "call":
            number = self._number
            self._number = number + 1
            out.append(self._delta + quoted(event.text) + b',"sequence_number":%d}\n\n' % number)

    def _end(self, out: list[bytes], *, cut: bool = False) -> None:
        """Close the item of the block that has ended."""
        block, index = self._block, len(self._done)
        if block is None:
            return
        text = "".join(self._text)
        match block.kind:
            case "text":
                item = self._items.message(index, text, "incomplete" if cut else "completed")
                (part,) = item["content"]
                out += (
                    self._placed("response.output_text.done", text=part["text"], logprobs=[]),
                    self._placed("response.content_part.done", part=part),
                )
            case "thought":
                item = self._items.thought(index, text, self._signature)
                for part in item["summary"]:
                    out += (
                        self._placed("response.reasoning_summary_text.done", text=part["text"]),
                        self._placed("response.reasoning_summary_part.done", part=part),
                    )
            case "call":
                item = self._items.call(index, ToolCall(block.id, block.name, text))
                self._argue(item, out)
        self._block = None
        self._done.append(written := literal(item))
        done = b',"output_index":%d,"item":%b' % (index, written)
        out.append(self._frame("response.output_item.done", done))

    def _argue(self, item: dict[str, Any], out: list[bytes]) -> None:
        """The arguments of a call, which leave whole."""
        custom = item["type"] == "custom_tool_call"
        name = "input" if custom else "arguments"
        stem = "response.custom_tool_call_input" if custom else "response.function_call_arguments"
        if item[name]:
            out.append(self._placed(f"{stem}.delta", delta=item[name]))
        out.append(self._placed(f"{stem}.done", **{name: item[name]}))

    def _finish(self, event: Finished, out: list[bytes]) -> None:
        out.append(self.open(event.usage))
        self._end(out, cut=event.reason in CUT)
        self._finished = True
        ended = self._shown.ended(event.reason, self._done, event.usage)
        kind = "response.incomplete" if event.reason in CUT else "response.completed"
        out.append(self._frame(kind, b',"response":' + ended))

    # ---- frames

    def _added(self, item: dict[str, Any], out: list[bytes]) -> None:
        self._item_id = item["id"]
        added = b',"output_index":%d,"item":%b' % (len(self._done), literal(item))
        out.append(self._frame("response.output_item.added", added))

    def _place(self) -> bytes:
        """Where the open block is."""
        assert self._block is not None, "nothing has a place outside a block"
        inner = {"text": b',"content_index":0', "thought": b',"summary_index":0', "call": b""}
        return b',"item_id":%b,"output_index":%d%b' % (
            quoted(self._item_id),
            len(self._done),
            inner[self._block.kind],
        )

    def _placed(self, kind: str, **fields: Any) -> bytes:
        return self._frame(kind, self._place() + b"," + literal(fields)[1:-1])

    def _head(self, kind: str) -> bytes:
        name = kind.encode()
        return b'event: %b\ndata: {"type":"%b"%b' % (name, name, self._place())

    def _frame(self, kind: str, fields: bytes) -> bytes:
        name, number = kind.encode(), self._number
        self._number = number + 1
        return b'event: %b\ndata: {"type":"%b"%b,"sequence_number":%d}\n\n' % (
            name,
            name,
            fields,
            number,
        )
