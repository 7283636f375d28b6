"""What a client protocol is: a record of pure functions, and an encoder per answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Raw, Struct

from sfbridge.core.answer import Answer
from sfbridge.core.errors import GatewayError
from sfbridge.core.request import ChatRequest
from sfbridge.core.stream import Event, Usage


class Chain(Struct, frozen=True, kw_only=True):
    """Where an answer stands among kept ones, in protocols whose server keeps answers.

    follows  the id of the answer that this one continues; empty: none
    refers   ids of items of earlier answers that stand for the items themselves
    items    what was sent this time, as raw JSON
    instructions  what was sent with it for this answer only
    store    the client's wish that the answer be kept; None: it did not say
    """

    follows: str = ""
    refers: tuple[str, ...] = ()
    items: tuple[Raw, ...] = ()
    instructions: str = ""
    store: bool | None = None


class ToolForm(Struct, frozen=True, gc=False):
    """How a client writes a tool that is a plain function inside; `custom` takes free text in place of JSON."""

    name: str
    namespace: str = ""
    custom: bool = False


class Asked(Struct, frozen=True, kw_only=True):
    """A decoded body: the neutral request, and what shapes the printing of the answer only.

    echo   fields of the body that the answer repeats, as raw JSON
    forms  tools that the client writes in another form, by their names inside
    chain  where the protocol's server keeps answers
    more   further requests of the same body, each answered as a further choice
    heads  what the text of each choice begins with; empty: with the answer
    """

    request: ChatRequest
    more: tuple[ChatRequest, ...] = ()
    heads: tuple[str, ...] = ()
    stream_usage: bool = False
    echo: Mapping[str, Raw] = {}
    forms: Mapping[str, ToolForm] = {}
    chain: Chain | None = None


class Reply(Struct, frozen=True, kw_only=True):
    """The facts that every frame or body of one answer repeats. `created` is in epoch seconds."""

    id: str
    created: int
    model: str
    request_id: str
    stream_usage: bool = False
    echo: Mapping[str, Raw] = {}
    forms: Mapping[str, ToolForm] = {}
    heads: tuple[str, ...] = ()


class Encoder(Protocol):
    """Events -> bytes of an event stream, for one answer."""

    def open(self, usage: Usage) -> bytes:
        """The opening frames, for a commit before the upstream has spoken; empty when already open."""

    def feed(self, events: Iterable[Event]) -> bytes:
        """The frames of a batch of events, opening frames included where they were not sent yet."""

    def hold(self) -> bytes:
        """A frame without content that the client counts as progress; empty where the protocol has none."""

    def failure(self, error: GatewayError) -> bytes:
        """The frames that end the stream visibly unfinished."""


class Choices(NamedTuple):
    """What a protocol has whose body may ask for several answers.

    encoders  the encoder of each choice of one stream; whichever ends last ends the stream
    body      all answers as one JSON body
    """

    encoders: Callable[[Reply, int], Sequence[Encoder]]
    body: Callable[[Sequence[Answer], Reply], bytes]


class Wire(NamedTuple):
    """One client protocol.

    routes   POST paths it is served at
    decode   body and lower-case headers -> Asked; raises GatewayError with the path of the fault
    encoder  Reply -> Encoder
    body     the whole answer as one JSON body
    fault    error and request id -> HTTP status and JSON body
    choices  where `Asked.more` may hold something
    """

    name: str
    routes: tuple[str, ...]
    answer_prefix: str
    call_prefix: str
    decode: Callable[[bytes, Mapping[str, str]], Asked]
    encoder: Callable[[Reply], Encoder]
    body: Callable[[Answer, Reply], bytes]
    fault: Callable[[GatewayError, str], tuple[int, bytes]]
    choices: Choices | None = None
