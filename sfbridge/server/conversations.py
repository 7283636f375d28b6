"""Conversations under `X-Session-ID`: which one a request belongs to, what it is sent of it, what is kept of it.

A client that never sends the header leaves nothing on disk. Its answer announces an id, and its turn is held in a
small memory until it comes back with that id or the memory is full. Any value of the header opts in: that turn, and
those before it in its session, are on disk before the answer's end is sent.

One turn at a time: a second request on a session waits for the first to end, since a client that asks twice (two
branches of a workflow, an impatient user) wants both answers in order more than it wants an error. It waits
`sessions.wait` seconds at the most, because clients give up by themselves after a minute or so; then it gets a 409,
which SDKs repeat.

Without a database (a damaged or newer file, a disk that is full) every turn is still answered, but as a new session
with a new id, which says `x-sfbridge-sessions: unavailable`: a client can see that its history is not behind it. A
session that missed a turn this way is not continued later with a gap in it; it counts as unknown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sfbridge.core.answer import Answer
from sfbridge.core.errors import GatewayError
from sfbridge.core.kept import KeptTurn
from sfbridge.core.request import ChatRequest, Message
from sfbridge.policy.sessions import Continuation, begin, continue_from
from sfbridge.state.announced import Announced
from sfbridge.state.clock import Clock
from sfbridge.state.database import Unavailable
from sfbridge.state.memories import Memories
from sfbridge.state.remnants import Remnants
from sfbridge.state.sessions import History, Sessions
from sfbridge.state.turnstile import Turnstile
from sfbridge.wire.openai_responses.kept import remnant_of

_log = logging.getLogger("sfbridge.sessions")

HEADER: Final = "X-Session-ID"
# Seconds between two looks for sessions that have ended.
_SWEEP_SECONDS: Final = 600.0


class Named(Struct):
    """The session of one request, as its answer will name it.

    wanted   its client sent the header
    known    the session was there before
    problem  why nothing can be kept of it
    """

    id: str
    owner: str
    wanted: bool = False
    known: bool = False
    problem: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.owner, self.id


class Slip(Struct, frozen=True, kw_only=True):
    """What a door says of the turn that it opens.

    id    the turn's name
    size  of what will be kept, in characters, about
    note  what the door wants to have back with the turn, once its answer is known
    kept  False: nothing of it is kept
    """

    id: str
    size: int
    note: Callable[[Answer], bytes] | None = None
    kept: bool = True


class Path(Struct, frozen=True):
    """The turns of one session that led to one of them; `full` when the session takes no more."""

    session: str
    turns: tuple[KeptTurn, ...]
    announced: bool = False
    full: bool = False


class Conversations:
    """Built once per application.

    make_id   a new session id, unlike any other
    patience  seconds that a request waits for another one of its session
    """

    def __init__(
        self, store: Sessions, *, clock: Clock, make_id: Callable[[], str], patience: float
    ) -> None:
        self.store = store
        self._clock = clock
        self._make_id = make_id
        self._patience = patience
        self._turnstile = Turnstile(clock)
        self._announced = Announced()
        self._remnants = Remnants()
        self._gaps: Memories[bool] = Memories()

    async def named(self, sent: str | None, owner: str) -> Named:
        """The session that a header asks for, or a new one for whatever is not known under this owner."""
        if sent is None:
            return Named(self._make_id(), owner)
        named = Named(sent, owner, wanted=True)
        if named.key in self._turnstile or named.key in self._announced:
            named.known = True
        elif sent.isascii() and not self._gaps.recall("/".join(named.key)):
            # ours are ASCII; bytes that are no text come as what the database cannot take
            try:
                named.known = await self.store.knows(sent, owner)
            except Unavailable as error:
                named.problem = str(error)
        if not named.known:
            named.id = self._make_id()
        return named

    async def open(self, named: Named, request: ChatRequest, slip: Slip) -> OpenTurn:
        """The request as a turn of its session, which is this turn's alone until it is closed.

        Raises GatewayError when the session stays busy, or is full.
        """
        if named.known:
            continued = await self._continued(named, request)
            if continued is not None:
                return OpenTurn(self, named, continued, slip)
            named.id, named.known = self._make_id(), False
        self._turnstile.take(named.key)
        return OpenTurn(self, named, begin(_owned(named, request)), slip)

    async def find(self, turn: str, owner: str) -> Path | None:
        """The turns that led to this one, itself the last; wherever it is. Raises Unavailable."""
        announced = self._announced.of(turn, owner)
        if announced is not None:
            return Path(announced[0], (announced[1],), announced=True)
        found = await self.store.history_of(turn, owner)
        if found is None:
            return None
        return Path(found.summary.id, found.turns, full=self.store.is_full(found.summary))

    def remnant(self, turn: str, owner: str) -> bytes | None:
        """What is left of a turn that was announced and pushed out since: a note of what it said."""
        return self._remnants.of((owner, turn))

    async def fork(
        self, named: Named, path: Path, request: ChatRequest, added: tuple[Message, ...], slip: Slip
    ) -> OpenTurn:
        """A turn that goes on from the end of a path, beside whatever else goes on from there.

        request  with all that was said, of which the messages `added` are new
        """
        if path.announced and slip.kept:
            try:
                await self.store.append(named.id, named.owner, path.turns[0], after="")
                self._announced.take(named.key)
            except Unavailable as error:
                named.problem = str(error)
        after = path.turns[-1].id
        continued = Continuation(
            request=_owned(named, request), added=added, system=None, after=after
        )
        return OpenTurn(self, named, continued, slip, alone=False)

    async def _continued(self, named: Named, request: ChatRequest) -> Continuation | None:
        """The request with what was said before; None when the session has gone meanwhile."""
        crowded = self._turnstile.crowded(named.key)
        if not await self._turnstile.enter(named.key, self._patience):
            raise _busy(self._patience, crowded=crowded)
        with ExitStack() as undo:
            undo.callback(self._turnstile.leave, named.key)
            try:
                found = await self._history(named)
            except Unavailable as error:
                named.problem = str(error)
                return None
            if found is None:
                return None
            if self.store.is_full(found.summary):
                raise GatewayError(
                    "invalid_request",
                    f"This session is full: it holds {found.summary.messages} messages in "
                    f"{found.summary.bytes} bytes. Begin a new one by sending '{HEADER}: new', or raise "
                    "sessions.most_messages and sessions.most_bytes.",
                    param=HEADER,
                    code="session_full",
                    retriable=False,
                )
            continued = continue_from(found.turns, _owned(named, request))
            undo.pop_all()
        return continued

    async def _history(self, named: Named) -> History | None:
        """What is on disk of the session, where it is put when it was only announced."""
        announced = self._announced.held(named.key)
        if announced is not None:
            await self.store.append(named.id, named.owner, announced, after="")
            self._announced.take(named.key)  # only now: until then it is nowhere else
        return await self.store.history(named.id, named.owner)

    async def keep(self, named: Named, turn: KeptTurn, after: str, size: int) -> None:
        """Keep a whole turn: on disk for whoever sent the header, else in the small memory."""
        if not named.wanted:
            for owner, gone in self._announced.keep(named.key, turn, size):
                if gone.note and (left := remnant_of(gone.note)):
                    self._remnants.keep((owner, gone.id), left)
            return
        try:
            kept = await self.store.append(named.id, named.owner, turn, after=after)
        except Unavailable as error:
            named.problem = str(error)
            if after:
                self._gaps.keep("/".join(named.key), True)
            return
        named.problem = ""
        if not kept:
            _log.info("%s: its session was deleted while it was answered", turn.id)

    def leave(self, named: Named) -> None:
        """Let the next request of the session go on."""
        self._turnstile.leave(named.key)

    def wall(self) -> float:
        return self._clock.wall()

    async def forget_turn(self, turn: str, owner: str) -> bool:
        """Make one turn unknown; False where it was."""
        if self._remnants.take((owner, turn)) is not None:
            return True
        announced = self._announced.of(turn, owner)
        if announced is not None:
            return self._announced.take((owner, announced[0])) is not None
        return await self.store.forget_turn(turn, owner)

    async def forget(self, session: str, owner: str) -> bool:
        """Delete a session, wherever it is; False where there was none."""
        announced = self._announced.take((owner, session)) is not None
        return await self.store.forget(session, owner) or announced

    async def forget_all(self, owner: str) -> int:
        """Delete all sessions of an owner; how many there were, on disk and only announced."""
        self._remnants.take_all(owner)
        return await self.store.forget_all(owner) + self._announced.take_all(owner)

    async def sweep(self) -> None:
        """Delete sessions that have ended, now and then, for ever."""
        while True:
            try:
                if gone := await self.store.expire():
                    _log.info("%d sessions have ended and were deleted", gone)
            except Unavailable:
                pass  # the database has said it in the log
            await self._clock.sleep(_SWEEP_SECONDS)


class OpenTurn:
    """One turn under way. `finish` it when it is whole, `close` it in any case.

    alone  whether others of its session wait for it
    """

    __slots__ = ("_alone", "_continued", "_conversations", "_named", "_slip")

    def __init__(
        self,
        conversations: Conversations,
        named: Named,
        continued: Continuation,
        slip: Slip,
        *,
        alone: bool = True,
    ) -> None:
        self._conversations = conversations
        self._named = named
        self._continued = continued
        self._slip = slip
        self._alone = alone

    @property
    def request(self) -> ChatRequest:
        """What the model is to be asked: the client's request within its conversation."""
        return self._continued.request

    async def finish(self, answer: Answer) -> None:
        """Keep the turn; to be called before the client can know that it is whole."""
        continued, slip = self._continued, self._slip
        if not slip.kept:
            return
        said = (Message("assistant", answer.parts),) if answer.parts else ()
        turn = KeptTurn(
            id=slip.id,
            at=self._conversations.wall(),
            model=continued.request.model,
            messages=(*continued.added, *said),
            system=continued.system,
            note=slip.note(answer) if slip.note else b"",
        )
        await self._conversations.keep(self._named, turn, continued.after, slip.size)

    def close(self) -> None:
        if self._alone:
            self._conversations.leave(self._named)


def _owned(named: Named, request: ChatRequest) -> ChatRequest:
    """The request as one of this conversation, where its client has named one."""
    if not named.wanted:
        return request
    return replace(request, caller=replace(request.caller, conversation=named.id))


def _busy(patience: float, *, crowded: bool) -> GatewayError:
    """Why a request is not answered that found its session in use."""
    if crowded:
        says = "Too many requests of this session wait already."
    else:
        says = (
            f"Another request of this session is still being answered after {patience:g} seconds "
            "(sessions.wait)."
        )
    return GatewayError(
        "conflict",
        f"{says} Ask again later, or use a session for each of them.",
        param=HEADER,
        code="session_busy",
        retry_after=2,
    )


def unavailable(error: Unavailable) -> GatewayError:
    """What a client is told whose question only the database could answer."""
    return GatewayError(
        "overloaded",
        f"Sessions are unavailable: {error}",
        code="sessions_unavailable",
        retriable=False,
    )
