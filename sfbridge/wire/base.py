"""What a client protocol is: a record of pure functions, and an encoder per answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from msgspec import Struct

from sfbridge.core.answer import Answer
from sfbridge.core.errors import GatewayError
from sfbridge.core.request import ChatRequest
from sfbridge.core.stream import Event, Usage


class Asked(Struct, frozen=True, kw_only=True):
    """A decoded body: the neutral request, and what shapes the printing of the answer only."""

    request: ChatRequest
    stream_usage: bool = False


class Reply(Struct, frozen=True, kw_only=True, gc=False):
    """The facts that every frame or body of one answer repeats. `created` is in epoch seconds."""

    id: str
    created: int
    model: str
    request_id: str
    stream_usage: bool = False


class Encoder(Protocol):
    """Events -> bytes of an event stream, for one answer."""

    def open(self, usage: Usage) -> bytes:
        """The opening frames, for a commit before the upstream has spoken; empty when already open."""

    def feed(self, events: Iterable[Event]) -> bytes:
        """The frames of a batch of events, opening frames included where they were not sent yet."""

    def hold(self) -> bytes:
        """A frame without content that the client counts as progress; empty where the protocol has none."""


class Wire(NamedTuple):
    """One client protocol.

    routes   POST paths it is served at
    decode   body and lower-case headers -> Asked; raises GatewayError with the path of the fault
    encoder  Reply -> Encoder
    body     the whole answer as one JSON body
    fault    error and request id -> HTTP status and JSON body
    failure  error and request id -> frames that end a stream visibly unfinished
    """

    name: str
    routes: tuple[str, ...]
    answer_prefix: str
    call_prefix: str
    decode: Callable[[bytes, Mapping[str, str]], Asked]
    encoder: Callable[[Reply], Encoder]
    body: Callable[[Answer, Reply], bytes]
    fault: Callable[[GatewayError, str], tuple[int, bytes]]
    failure: Callable[[GatewayError, str], bytes]
