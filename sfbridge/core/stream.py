"""The two words for streams: loose pieces, which adapters may yield, and strict events, which encoders get.

Grammar of events, promised to every encoder and kept by `core.sequencer` alone:

    Started ( BlockStarted Delta* BlockEnded | Ran )* Finished

Indices count 0, 1, 2, ...; one block is open at a time; a call's arguments leave whole, as one Delta.
Both travel in batches: everything that one read of the upstream brought stays together, because one
write per read is what keeps a streamed chunk cheap.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

FinishReason = Literal["stop", "stop_sequence", "length", "tool_calls", "content_filter"]
BlockKind = Literal["text", "thought", "call"]


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """Token counts; None means unknown. `input` excludes cached tokens. `estimated`: counted by us, not billed."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    thought: int | None = None
    estimated: bool = False

    def merged(self, later: Usage) -> Usage:
        """This usage with every number that `later` knows."""
        if later in (self, _UNKNOWN):
            return self
        if self == _UNKNOWN:
            return later

        def pick(new: int | None, old: int | None) -> int | None:
            return old if new is None else new

        return Usage(
            input=pick(later.input, self.input),
            output=pick(later.output, self.output),
            cache_read=pick(later.cache_read, self.cache_read),
            cache_write=pick(later.cache_write, self.cache_write),
            thought=pick(later.thought, self.thought),
            estimated=self.estimated or later.estimated,
        )

    def plus(self, other: Usage) -> Usage:
        """The sum of two calls' usage; unknown plus known is known."""

        def add(a: int | None, b: int | None) -> int | None:
            return b if a is None else a if b is None else a + b

        return Usage(
            input=add(self.input, other.input),
            output=add(self.output, other.output),
            cache_read=add(self.cache_read, other.cache_read),
            cache_write=add(self.cache_write, other.cache_write),
            thought=add(self.thought, other.thought),
            estimated=self.estimated or other.estimated,
        )


_UNKNOWN: Final = Usage()

# ---- pieces


class Opened(Struct, frozen=True, kw_only=True, gc=False):
    """The upstream began to speak: which model answers, its id, usage so far."""

    model: str = ""
    id: str = ""
    usage: Usage = Usage()


class Text(Struct, frozen=True, gc=False):
    text: str


class Thought(Struct, frozen=True, gc=False):
    text: str = ""
    signature: str = ""


class CallOpened(Struct, frozen=True, gc=False):
    """A tool call begins. `key` is the adapter's handle for it; `id` may be empty, then one is made."""

    key: int
    id: str
    name: str


class CallArguments(Struct, frozen=True, gc=False):
    """A further piece of the argument JSON of the call `key`."""

    key: int
    json: str


class CallClosed(Struct, frozen=True, gc=False):
    """The upstream said that this call is complete."""

    key: int


class Activity(Struct, frozen=True, gc=False):
    """Something the upstream did by itself (a tool it ran); for journal and dashboard, never for the client."""

    kind: str
    detail: str = ""


class Closed(Struct, frozen=True, kw_only=True, gc=False):
    """The upstream's own terminal mark: why it ended, in our word and in its own."""

    reason: FinishReason = "stop"
    raw: str = ""
    usage: Usage = Usage()
    stop_sequence: str = ""


class Ran(Struct, frozen=True, kw_only=True, gc=False):
    """A tool that the upstream ran by itself, for clients that may see it; a piece, and an event between blocks.

    Nobody is to run it again: it changes nothing about how the answer ends. `arguments` is the JSON text of one
    object; `output` is None where it never ended.
    """

    id: str
    name: str
    arguments: str = "{}"
    output: str | None = None
    is_error: bool = False


Piece = Opened | Text | Thought | CallOpened | CallArguments | CallClosed | Activity | Ran | Closed


# ---- events


class Started(Struct, frozen=True, kw_only=True, gc=False):
    """The answer begins. `usage.input` is what is known by now, estimated if need be, never zero."""

    model: str = ""
    usage: Usage = Usage()


class BlockStarted(Struct, frozen=True, gc=False):
    """A block opens; `id` and `name` belong to calls."""

    index: int
    kind: BlockKind
    id: str = ""
    name: str = ""


class Delta(Struct, frozen=True, gc=False):
    """More of the open block: text, thought text (and at times its signature), or a call's whole JSON."""

    index: int
    text: str
    signature: str = ""


class BlockEnded(Struct, frozen=True, gc=False):
    index: int


class Finished(Struct, frozen=True, kw_only=True, gc=False):
    """The answer is whole."""

    reason: FinishReason
    raw: str = ""
    usage: Usage = Usage()
    stop_sequence: str = ""


Event = Started | BlockStarted | Delta | BlockEnded | Ran | Finished
