"""What an upstream is, for the gateway: five members, and one context manager per call.

Entering `open` connects and checks the status, so a refusal is raised there and may be retried; leaving it
closes the transport whatever the reader was doing. What comes in between is never retried.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol, runtime_checkable

from aiohttp import ClientSession
from msgspec import Raw, Struct

from sfbridge.core.embedding import Portion, Vectors
from sfbridge.core.model import Capabilities, Health, ModelCard
from sfbridge.core.request import ChatRequest, Message
from sfbridge.core.stream import Piece


def _unheard() -> None:
    """Nobody wants to know."""


def _unseen(_: str) -> None:
    """There is nobody to hide it from."""


class Trace:
    """What happened behind the back door during one exchange; written by adapters, read by the server.

    connected_at  when there first was a way to the upstream, in seconds of its clock
    hidden       takes secrets out of an upstream's words
    known_as     the names of the model that was asked, the upstream's own first; empty where they say nothing about
                 what may call itself the answerer
    answered_by  the model that says that it answered, in the upstream's words
    """

    __slots__ = (
        "_now",
        "answered_by",
        "auth_refreshes",
        "connected_at",
        "hidden",
        "ignored",
        "known_as",
        "upstream_ids",
    )

    def __init__(
        self, now: Callable[[], float] = time.monotonic, hidden: Callable[[str], str] = str
    ) -> None:
        self._now = now
        self.connected_at: float | None = None
        self.hidden = hidden
        self.auth_refreshes = 0
        self.known_as: tuple[str, ...] = ()
        self.answered_by = ""
        self.upstream_ids: list[str] = []
        self.ignored: list[str] = []

    def connected(self) -> None:
        """There is a way to the upstream: a connection, a process, a place. The first time counts."""
        if self.connected_at is None:
            self.connected_at = self._now()


class Thread:
    """An upstream's own conversation that a call continues; one per call.

    handle  what the adapter left as `next` when this conversation's last turn was whole; None: nothing is known
    fresh   the messages that the conversation has not seen; all of the request's when there is no handle
    next    written by the adapter while it answers: with what the conversation can go on; None: it cannot

    A handle is taken out while a call uses it, and put back only when the turn was whole. What it means, and
    whether it still holds, is the adapter's affair.
    """

    __slots__ = ("fresh", "handle", "next")

    def __init__(self, handle: object | None, fresh: tuple[Message, ...]) -> None:
        self.handle = handle
        self.fresh = fresh
        self.next: object | None = None

    def go_on(self, fresh: tuple[Message, ...], whole: tuple[Message, ...]) -> None:
        """Let the next call follow this one: with the `fresh` messages, or with the `whole` where it must start anew."""
        self.handle, self.next = self.next, None
        self.fresh = whole if self.handle is None else fresh


class Call(Struct, frozen=True, kw_only=True):
    """One request to one upstream. `stream` says whether pieces are wanted as they come; `thread` is there where
    the upstream keeps conversations."""

    request: ChatRequest
    model: str
    stream: bool
    trace: Trace
    thread: Thread | None = None


class Reception(NamedTuple):
    """An accepted call: batches of pieces, one batch per read of the transport."""

    pieces: AsyncIterator[Sequence[Piece]]


class Upstream(Protocol):
    name: str

    def models(self) -> Sequence[ModelCard]:
        """What may be asked for now."""

    async def capabilities(self, model: str) -> Capabilities:
        """What `model` (the upstream's own name) can do; waits for a probe that is still under way."""

    def open(self, call: Call) -> AbstractAsyncContextManager[Reception]:
        """Connect and check; raises GatewayError when the upstream refuses."""

    async def health(self) -> Health:
        """Whether it can answer now. Makes no paid call."""


class EmbeddingCall(Struct, frozen=True, kw_only=True):
    """Texts for one embeddings call of an upstream; `extras` are the client's unknown fields."""

    model: str
    texts: tuple[str, ...]
    dimensions: int | None
    extras: dict[str, Raw]
    trace: Trace


@runtime_checkable
class Embedder(Protocol):
    """What an upstream that makes embeddings has beside its five members."""

    def portion(self, model: str) -> Portion:
        """What one call may hold."""

    async def embed(self, call: EmbeddingCall) -> Vectors:
        """The vectors of all texts in one call; raises GatewayError, `unsupported` for dimensions it cannot make."""


class Resources(NamedTuple):
    """What the application lends to adapters.

    session   the one shared ClientSession
    clock     monotonic seconds; `wall` is epoch seconds; `sleep` waits on that clock
    spawn     starts a tracked background task (name first)
    sandbox   base URL of the embedded sandbox org, empty when it does not run
    changed   to be called when `models` or `capabilities` have come to say something else
    hide      to be called with a secret that was issued just now, so that no text shows it
    """

    session: ClientSession
    clock: Callable[[], float]
    wall: Callable[[], float]
    spawn: Callable[[str, Coroutine[Any, Any, None]], object]
    sandbox: str = ""
    changed: Callable[[], None] = _unheard
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    hide: Callable[[str], None] = _unseen
