"""Turns within what is kept: `X-Session-ID` on every wire, and the Responses API's chains of answers.

An answer of that API is the turn of its id. `store: true` keeps it on disk, and so does going on from it with
`previous_response_id`; `store: false` keeps nothing. Who says neither gets what the vendor's default promises from
the small memory of announced turns only: SDKs leave the default alone and refer to items of the last answer, but
nobody asked for a copy on disk. Any earlier answer can be gone on from, several times and at once.
"""

from __future__ import annotations

from aiohttp import web
from msgspec import Raw

from sfbridge.core.answer import Answer
from sfbridge.core.errors import GatewayError
from sfbridge.core.request import TextPart
from sfbridge.policy.sessions import history
from sfbridge.state.database import Unavailable
from sfbridge.wire.base import Asked, Chain, Reply, Wire
from sfbridge.wire.openai_responses.decode import continued
from sfbridge.wire.openai_responses.kept import (
    Kept,
    answer_of,
    item_of,
    note_of,
    noted,
)

from .conversations import HEADER, Named, OpenTurn, Path, Slip, unavailable
from .keys import BODY, CONVERSATIONS, EXCHANGE, KEY_ID, SESSION

_FOLLOWS = "previous_response_id"


async def open_turn(request: web.Request, wire: Wire, asked: Asked, reply: Reply) -> OpenTurn:
    """The request as a turn of the conversation that it belongs to.

    Raises GatewayError for an answer or an item that is not kept, and for a conversation that takes no more.
    """
    conversations, named, chain = request.app[CONVERSATIONS], request[SESSION], asked.chain
    size = len(request[BODY])
    if chain is None:
        return await conversations.open(
            named, asked.request, Slip(id=request[EXCHANGE].id, size=size)
        )

    def note(answer: Answer) -> bytes:
        return noted(wire.body(answer, reply), chain.items, instructed=bool(chain.instructions))

    kept = chain.store is not False or named.wanted
    slip = Slip(id=reply.id, size=2 * size, note=note, kept=kept)
    if chain.follows:
        return await _forked(request, asked, chain, slip)
    if chain.refers:
        asked = continued(asked, await _found(request, chain))
    named.wanted = named.wanted or chain.store is True
    return await conversations.open(named, asked.request, slip)


async def _forked(request: web.Request, asked: Asked, chain: Chain, slip: Slip) -> OpenTurn:
    """The turn that goes on from the answer which the client names."""
    if request[SESSION].wanted:
        raise _invalid(f"{_FOLLOWS}: send this or the header {HEADER}, not both", "two_histories")
    path = await _path(request, chain.follows)
    if path is None:
        raise _invalid(
            f"Previous response with id '{chain.follows}' not found.",
            "previous_response_not_found",
        )
    if path.full:
        raise _invalid(
            f"{_FOLLOWS}: this conversation is full. Begin a new one, or raise sessions.most_messages and "
            "sessions.most_bytes.",
            "session_full",
        )
    named = Named(path.session, request[KEY_ID], wanted=True, known=True)
    request[SESSION] = named
    earlier = history(path.turns, asked.request.model)
    whole = continued(asked, await _found(request, chain), _developers(path), earlier).request
    added = whole.messages[len(earlier) :]
    return await request.app[CONVERSATIONS].fork(named, path, whole, added, slip)


def _developers(path: Path) -> tuple[TextPart, ...]:
    """The system prompt of a path without the instructions that were for one answer only."""
    for turn in reversed(path.turns):
        if turn.system is not None:
            note = note_of(turn.note)
            return turn.system[1:] if note is not None and note.instructed else turn.system
    return ()


async def _found(request: web.Request, chain: Chain) -> dict[str, Raw]:
    """The items that the request refers to, as far as they are kept."""
    found: dict[str, Raw] = {}
    answers = {name: answer_of(name) for name in chain.refers}
    for answer_id in {*answers.values()} - {""}:
        kept = _remnant(request, answer_id) or await kept_answer(request, answer_id)
        if kept is None:
            continue
        for name in (name for name, whose in answers.items() if whose == answer_id):
            if (item := item_of(kept, answer_id, name)) is not None:
                found[name] = item
    return found


async def _path(request: web.Request, turn: str) -> Path | None:
    try:
        return await request.app[CONVERSATIONS].find(turn, request[KEY_ID])
    except Unavailable as error:
        raise unavailable(error) from None


async def kept_answer(request: web.Request, answer_id: str) -> Kept | None:
    """What is kept of an answer; None where nothing is, or it belongs to another key."""
    path = await _path(request, answer_id)
    return note_of(path.turns[-1].note) if path else None


def _remnant(request: web.Request, answer_id: str) -> Kept | None:
    """What an answer said whose turn memory has let go of."""
    return note_of(request.app[CONVERSATIONS].remnant(answer_id, request[KEY_ID]) or b"")


def _invalid(message: str, code: str) -> GatewayError:
    return GatewayError("invalid_request", message, param=_FOLLOWS, code=code)
