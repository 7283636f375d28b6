"""The sandbox's language model: a conversation in, a finished answer out, bent where a fault asks for it.

Deterministic: the same request gives the same answer, ids included.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from .conversation import Call, Conversation, Finish, Turn, ask_of
from .dialect import rendered, understood
from .faults import Fault
from .rules import call_of, words_of
from .scenario import Player
from .usage import Count, tokens

_TOOL_FAULTS: Final = frozenset(("split-tool", "cut-call", "bad-call"))
# Faults in mid-answer need an answer that has a middle.
_BROKEN_FAULTS: Final = frozenset(("stall", "cut", "bad-json", "error-mid", "length"))
_FILLER: Final = (
    " This sentence is here so that the answer has a middle in which something can go wrong."
)
_SMALL: Final = 3


class Spoken(Struct, frozen=True):
    """One call of the answer; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class Answer(Struct, frozen=True, kw_only=True):
    """What the surfaces print. `step` is the size of argument pieces in streams, in characters."""

    deltas: tuple[str, ...]
    calls: tuple[Spoken, ...] = ()
    finish: Finish
    stop_sequence: str = ""
    count: Count
    toxic: bool = False
    step: int = 16

    @property
    def text(self) -> str:
        return "".join(self.deltas)


def answer(conversation: Conversation, player: Player, fault: Fault, size: int) -> Answer:
    """The model's answer in deltas of `size` characters."""
    conversation = understood(conversation)
    turn = _bent(conversation, player, fault)
    prompt = tokens(conversation.everything)
    if fault.kind == "chunks":
        deltas = tuple(f"w{number} " for number in range(int(fault.amount)))
        return Answer(deltas=deltas, finish="stop", count=Count(prompt, max(1, len(deltas))))
    calls: tuple[Spoken, ...] = ()
    text = turn.text
    if conversation.mark is None:
        calls = tuple(
            Spoken(_id(conversation, place), call.name, _json(call.arguments))
            for place, call in enumerate(turn.calls)
        )
    else:
        text = rendered(turn, conversation.mark)
    finish: Finish = "tool_calls" if calls else "stop"
    text, calls, finish, stop = _ended(text, calls, finish, conversation, fault)
    if fault.kind in _BROKEN_FAULTS or fault.kind == "split-tool":
        size = _SMALL
    return Answer(
        deltas=tuple(text[start : start + size] for start in range(0, len(text), size)),
        calls=calls,
        finish=finish,
        stop_sequence=stop,
        count=Count(prompt, tokens(text + "".join(call.arguments for call in calls))),
        toxic=fault.kind == "toxic",
        step=1 if fault.kind == "split-tool" else size,
    )


def _bent(conversation: Conversation, player: Player, fault: Fault) -> Turn:
    """What the model would say, changed where a fault is about what is said."""
    if fault.kind == "empty":
        return Turn()
    ask = ask_of(conversation)
    if fault.kind not in _TOOL_FAULTS:
        turn = player(conversation)
        bare = fault.kind in _BROKEN_FAULTS and not turn.calls
        return Turn(turn.text + _FILLER) if bare else turn
    if (
        fault.kind == "bad-call"
        and ask.attempts == 1
        and not any(not r.failed for r in ask.results)
    ):
        conversation, ask = _before(conversation), replace(ask, attempts=1, results=())
    turn = player(conversation)
    if not turn.calls and conversation.tools and not ask.results and conversation.choice != "none":
        turn = Turn(turn.text, (call_of(conversation.tools[0], words_of(ask.text)),))
    if fault.kind == "bad-call" and ask.attempts == 0:
        return Turn(turn.text, tuple(_broken(conversation, call) for call in turn.calls))
    return turn


def _before(conversation: Conversation) -> Conversation:
    """The conversation as it stood when the user asked."""
    place = max(i for i, said in enumerate(conversation.said) if said.role == "assistant")
    return replace(conversation, said=conversation.said[:place])


def _broken(conversation: Conversation, call: Call) -> Call:
    """A call that no lossless correction can mend: an object where the schema wants something else."""
    schema = next((t.schema for t in conversation.tools if t.name == call.name), {})
    properties: dict[str, Any] = schema.get("properties") or {}
    if not properties:
        return Call(call.name, [1])
    name, wanted = next(iter(properties.items()))
    takes_objects = isinstance(wanted, dict) and "object" in str(wanted.get("type", "object"))
    return Call(
        call.name, {**call.arguments, name: "broken" if takes_objects else {"broken": True}}
    )


def _ended(
    text: str, calls: tuple[Spoken, ...], finish: Finish, conversation: Conversation, fault: Fault
) -> tuple[str, tuple[Spoken, ...], Finish, str]:
    """Where the answer ends: by itself, at a stop sequence, at the output limit."""
    if fault.kind == "cut-call":
        return _cut_in_call(text, calls, finish)
    if fault.kind == "length" and not calls:
        return text[: max(1, len(text) // 2)], (), "length", ""
    hits = [(text.find(stop), stop) for stop in conversation.stop if stop and stop in text]
    if hits:
        place, stop = min(hits)
        return text[:place], (), "stop_sequence", stop
    limit = conversation.max_tokens
    if limit is not None and tokens(text) > limit:
        return text[: limit * 4], (), "length", ""
    return text, calls, finish, ""


def _cut_in_call(
    text: str, calls: tuple[Spoken, ...], finish: Finish
) -> tuple[str, tuple[Spoken, ...], Finish, str]:
    if calls:
        last = calls[-1]
        half = last.arguments[: max(1, len(last.arguments) // 2)]
        return text, (*calls[:-1], replace(last, arguments=half)), "length", ""
    start = text.rfind("<tool_call")
    if start < 0:
        return text, (), finish, ""
    return text[: (start + len(text)) // 2], (), "length", ""


def _id(conversation: Conversation, place: int) -> str:
    seed = f"{place}\0{conversation.everything}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(seed, digest_size=12).hexdigest()


def _json(arguments: object) -> str:
    return msgspec.json.encode(arguments).decode()
