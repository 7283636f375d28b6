"""What every surface makes of a request before the model sees it, and what the model gives back."""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

Schema = dict[str, Any]
Choice = Literal["auto", "none", "required", "named"]
Finish = Literal["stop", "length", "tool_calls", "stop_sequence"]

# What agents add to a user's words for the model's eyes.
_ASIDE: Final = ("<system-reminder>", "</system-reminder>")


class Offered(Struct, frozen=True):
    """A tool on offer."""

    name: str
    description: str = ""
    schema: Schema = {}


class Made(Struct, frozen=True):
    """A call of an earlier turn; the id is empty where the surface knows none."""

    name: str
    id: str = ""


class Result(Struct, frozen=True):
    """What a tool answered."""

    name: str
    text: str
    failed: bool = False


class Said(Struct, frozen=True, kw_only=True):
    """One turn. `text` is the words alone, without calls and results."""

    role: str
    text: str = ""
    calls: tuple[Made, ...] = ()
    results: tuple[Result, ...] = ()


class Conversation(Struct, frozen=True, kw_only=True):
    """A request in neutral words.

    everything  all text of the request, in order
    schema      the JSON Schema that the answer must fit, where the surface has a field for it
    mark        of a text dialect for calls (None: calls are made natively; "" is a dialect without mark)
    """

    said: tuple[Said, ...]
    everything: str
    tools: tuple[Offered, ...] = ()
    choice: Choice = "auto"
    named: str = ""
    parallel: bool = True
    schema: Schema | None = None
    mark: str | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()

    @property
    def assistant_turns(self) -> int:
        return sum(said.role == "assistant" for said in self.said)


class Call(Struct, frozen=True):
    """A call the model wants to make."""

    name: str
    arguments: Any


class Turn(Struct, frozen=True):
    """What the model says next."""

    text: str = ""
    calls: tuple[Call, ...] = ()


class Ask(Struct, frozen=True, kw_only=True):
    """The last thing that the user asked, and what has happened since.

    attempts  assistant turns since
    results   tool results since
    """

    text: str
    attempts: int
    results: tuple[Result, ...]


def ask_of(conversation: Conversation) -> Ask:
    """The user's last request. Text that answers a call which got no result is a correction, not a request."""
    place = place_of_ask(conversation.said)
    later = conversation.said[place + 1 :]
    return Ask(
        text=plain(conversation.said[place].text) if place >= 0 else "",
        attempts=sum(said.role == "assistant" for said in later),
        results=tuple(result for said in later for result in said.results),
    )


def place_of_ask(said: tuple[Said, ...]) -> int:
    """The index of the turn with the user's last request; -1 where nothing was asked."""
    for place in range(len(said) - 1, -1, -1):
        turn = said[place]
        if turn.role != "user" or not plain(turn.text):
            continue
        before = said[place - 1] if place else None
        corrects = before is not None and before.role == "assistant" and bool(before.calls)
        if not corrects or turn.results:
            return place
    return -1


def plain(text: str) -> str:
    """A user's own words in `text`."""
    begin, end = _ASIDE
    kept: list[str] = []
    place = 0
    while (opener := text.find(begin, place)) >= 0 and (closer := text.find(end, opener)) >= 0:
        kept.append(text[place:opener])
        place = closer + len(end)
    return "".join([*kept, text[place:]]).strip()


def with_choice(conversation: Conversation, line: tuple[Choice, str, bool]) -> Conversation:
    """The conversation with what its last line says about the use of tools."""
    mode, named, parallel = line
    if mode == "auto":
        mode, named = conversation.choice, conversation.named
    return replace(
        conversation, choice=mode, named=named, parallel=conversation.parallel and parallel
    )
