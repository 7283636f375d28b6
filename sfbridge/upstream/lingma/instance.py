"""One Lingma process and our connection to it: its states, its sessions, and the asks that go through it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from msgspec import Raw

from . import acp, classic
from .connection import Connection
from .faults import Lost, Refused
from .mailbox import Mailbox
from .models import Offered
from .signals import Accepted
from .switchboard import Switchboard

_log = logging.getLogger("sfbridge.upstream.lingma")

State = Literal[
    "new", "absent", "spawning", "discovering", "connecting", "initializing", "authenticating", "ready", "degraded",
    "needs_login", "backoff", "incompatible", "failed", "stopping", "stopped",
]  # fmt: skip
Dialect = Literal["classic", "acp"]

# What may follow what; anything may be stopped.
NEXT: Final[Mapping[State, frozenset[State]]] = {
    "new": frozenset(("spawning",)),
    "absent": frozenset(),
    "spawning": frozenset(("discovering", "backoff", "absent", "failed")),
    "discovering": frozenset(("connecting", "backoff")),
    "connecting": frozenset(("initializing", "backoff")),
    "initializing": frozenset(("authenticating", "backoff", "incompatible")),
    "authenticating": frozenset(("ready", "needs_login", "backoff")),
    "ready": frozenset(("degraded", "needs_login", "backoff", "incompatible")),
    "degraded": frozenset(("ready", "needs_login", "backoff", "incompatible")),
    "needs_login": frozenset(("ready", "backoff")),
    "backoff": frozenset(("spawning", "connecting", "failed")),
    "incompatible": frozenset(),
    "failed": frozenset(),
    "stopping": frozenset(("stopped",)),
    "stopped": frozenset(),
}
STARTING: Final[frozenset[State]] = frozenset(
    ("new", "spawning", "discovering", "connecting", "initializing", "authenticating", "backoff")
)
# Failed asks in a row after which an instance is asked only when no better one is there.
_SUSPICIOUS: Final = 3
# Pushes after which the login or the model list may be another.
_CHANGES: Final = frozenset(
    ("auth/report", "model/refresh", "config/refreshModels", "config/changeEndpoint")
)


class Session(NamedTuple):
    """A conversation in one process' own database; it means nothing to another process, nor to a later one."""

    instance: int
    generation: int
    id: str


class Instance:
    """What the pool sees of a process; `supervisor` moves it from state to state.

    reason      why it is in its state, in words
    generation  counts the processes; a new one knows no session of the one before
    in_flight   asks that use it, those that are being stopped included
    used        when it was last chosen
    """

    def __init__(self, index: int, dialect: Dialect | None, changed: Callable[[], None]) -> None:
        self.index = index
        self.state: State = "new"
        self.reason = ""
        self.generation = 0
        self.in_flight = 0
        self.used = 0.0
        self.restarts = 0
        self.models: tuple[Offered, ...] = ()
        self.dialect: Dialect = dialect or "classic"
        self.dialect_sure = dialect is not None
        self.confirmed = False  # it took an ask in this dialect
        self.board = Switchboard()
        self.connection: Connection | None = None
        self.doubt = asyncio.Event()  # login or models may have changed
        self.workspace = ""
        self.heard_at = 0.0
        self._sessions: dict[str, float] = {}
        self._busy: set[str] = set()
        self._failures = 0
        self._changed = changed

    # ---- states

    def move(self, state: State, reason: str = "") -> None:
        """Enter a state; the pool looks again who can be served."""
        if state == self.state and reason == self.reason:
            return
        allowed = state == self.state or state == "stopping" or state in NEXT[self.state]
        assert allowed, f"{self.state} -> {state}"
        if state != self.state:
            told = f" ({reason})" if reason else ""
            _log.info("Lingma instance %d is %s%s", self.index, state, told)
        self.state, self.reason = state, reason
        self._changed()

    @property
    def usable(self) -> bool:
        return self.state in ("ready", "degraded") and self.connection is not None

    def has(self, model: str) -> bool:
        return any(model == offered.key for offered in self.models)

    def began(self) -> None:
        """A new process runs: what the one before knew is gone."""
        self.generation += 1
        self._sessions.clear()
        self._busy.clear()

    def lost(self) -> None:
        """The connection is gone, and every ask with it."""
        self.connection = None
        self.board.fail(Lost("the connection was closed"))
        if self.state in ("ready", "degraded", "needs_login"):
            self.move("backoff", "the connection was lost")

    def succeeded(self) -> None:
        self._failures = 0
        if self.state == "degraded":
            self.move("ready")

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= _SUSPICIOUS and self.state == "ready":
            self.move("degraded", f"{self._failures} questions failed in a row")

    # ---- sessions

    def continues(self, session: Session) -> bool:
        """Whether a conversation can go on here."""
        return (
            session.instance == self.index
            and session.generation == self.generation
            and session.id in self._sessions
            and session.id not in self._busy
            and self.usable
        )

    def occupy(self, session: str, now: float) -> None:
        """Two questions at a time in one conversation are never asked."""
        self._sessions[session] = now
        self._busy.add(session)

    def vacate(self, session: str, *, keep: bool, now: float) -> None:
        self._busy.discard(session)
        if keep and session in self._sessions:
            self._sessions[session] = now
        else:
            self._sessions.pop(session, None)

    def unused(self, before: float) -> list[str]:
        """The conversations that nobody has gone on with, forgotten with this call."""
        found = [
            session
            for session, used in self._sessions.items()
            if used < before and session not in self._busy
        ]
        for session in found:
            del self._sessions[session]
        return found

    # ---- asking

    def hear(self, method: str, params: Raw) -> None:
        """A push, already acknowledged."""
        if method in _CHANGES:
            self.doubt.set()
            return
        heard = acp.heard(params) if method == acp.UPDATE else classic.heard(method, params)
        if heard is not None:
            self.board.deliver(heard)

    async def new_session(self, proposed: str, now_ms: int) -> str:
        """The id of a new conversation: the client's choice in the classic dialect, the process' in the other.

        Raises Lost, Refused, TimeoutError, ValueError.
        """
        if self.dialect == "acp":
            try:
                result = await self._line.call(
                    "session/new", acp.new_session(self.workspace, now_ms)
                )
                self.confirmed = True
                return acp.session_id(result)
            except Refused as refused:
                if not self._other_dialect(refused):
                    raise
        return proposed

    async def send(
        self, request: str, session: str, question: str, model: str, mode: str, box: Mailbox
    ) -> None:
        """Send one ask; everything that comes of it goes to the mailbox. Raises Lost."""
        if self.dialect == "acp":
            method = acp.METHOD
            params = acp.prompt(request, session, question, model, mode, self.workspace)
        else:
            method, params = classic.METHOD, classic.ask(request, session, question, model, mode)
        self.board.add(request, session, box)
        answer = await self._line.post(method, params)
        answer.add_done_callback(lambda done: self._replied(done, box))

    async def stop(self, request: str, session: str, seconds: float) -> None:
        """Ask the process to stop an ask; whether it answers does not matter."""
        told = self.board.session(request) or session
        method, params = (acp if self.dialect == "acp" else classic).stop(request, told)
        await self._quietly(method, params, seconds)

    async def delete(self, session: str, seconds: float) -> None:
        """Take a conversation out of the user's history."""
        await self._quietly("chat/deleteSessionById", {"sessionId": session}, seconds)

    async def ping(self, seconds: float) -> bool:
        """Whether the process answers; that it does not know the question is an answer too."""
        try:
            await self._line.call("ping", {}, seconds)
        except Refused:
            return True
        except (Lost, TimeoutError):
            return False
        return True

    @property
    def _line(self) -> Connection:
        if self.connection is None:
            raise Lost("there is no connection")
        return self.connection

    def _replied(self, answer: asyncio.Future[Raw], box: Mailbox) -> None:
        if answer.cancelled():
            return
        error = answer.exception()
        match error:
            case None:
                acp_reply = self.dialect == "acp"
                box.put([Accepted() if acp_reply else classic.accepted(answer.result())])
                self.confirmed = True
            case Refused():
                self._other_dialect(error)
                box.put([Accepted(error.fault)])
            case _:
                box.fail(Lost("the connection was closed"))

    def _other_dialect(self, refused: Refused) -> bool:
        """Whether a refusal meant that this is not the process' dialect, and the other one was not tried yet."""
        if not refused.unknown_method or self.confirmed:
            return False
        if self.dialect_sure:
            self.move("incompatible", f"it does not speak the {self.dialect} dialect")
            self.doubt.set()
            return False
        self.dialect = "classic" if self.dialect == "acp" else "acp"
        self.dialect_sure = True
        _log.info("Lingma instance %d speaks the %s dialect", self.index, self.dialect)
        return True

    async def _quietly(self, method: str, params: dict[str, Any], seconds: float) -> None:
        try:
            await self._line.call(method, params, seconds)
        except (Lost, Refused, TimeoutError) as error:
            _log.debug("%s: %s", method, type(error).__name__)
