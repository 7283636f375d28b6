"""By which name a conversation is found again, from what a client resends: a digest that grows message by message.

Clients give a conversation back a little changed: thoughts are left out, cache marks move, texts are trimmed,
arguments are printed anew. What such changes touch does not count.
"""

from __future__ import annotations

from hashlib import blake2b

from sfbridge.core.answer import Answer
from sfbridge.core.request import ChatRequest, Message, TextPart, ToolCall

from .prefix import digest, fields_of, neutral_attribution


def known_prefixes(request: ChatRequest, place: str) -> list[tuple[bytes, int]]:
    """The names under which an earlier turn may have left this conversation, longest first, each with how many
    of the request's messages it covers. Such a part ends with an answer and leaves at least one message.

    place  who keeps the conversation: names of two places, keys or models never meet
    """
    name = _beginning(request, place)
    found: list[tuple[bytes, int]] = []
    last = len(request.messages)
    for count, message in enumerate(request.messages, 1):
        name = _longer(name, message)
        if message.role == "assistant" and count < last:
            found.append((name, count))
    return found[::-1]


def whole_name(request: ChatRequest, place: str, answer: Answer) -> bytes:
    """The name of the conversation once `answer` has been given to this request."""
    name = _beginning(request, place)
    for message in (*request.messages, Message("assistant", answer.parts)):
        name = _longer(name, message)
    return name


def unseen(sent: tuple[Message, ...], asked: tuple[Message, ...], known: int) -> int | None:
    """Where in the messages as they are `sent` the part begins that comes after the first `known` ones that were
    asked; None when they no longer correspond. Answers are the landmarks: nothing else is certain to be left alone."""
    answers = sum(message.role == "assistant" for message in asked[:known])
    places = [place for place, message in enumerate(sent, 1) if message.role == "assistant"]
    if len(places) != sum(message.role == "assistant" for message in asked):
        return None
    return places[answers - 1]


def _beginning(request: ChatRequest, place: str) -> bytes:
    system = [part.text for part in neutral_attribution(request.system)]
    return digest((place, request.caller.key_id, request.model, *system))


def _longer(name: bytes, message: Message) -> bytes:
    found = blake2b(name, digest_size=16)
    # blank space does not count: where one protocol has several texts, another has one
    text = "".join([part.text for part in message.parts if isinstance(part, TextPart)])
    found.update(digest((message.role, "".join(text.split()))))
    for part in message.parts:
        match part:
            case TextPart():
                continue
            case ToolCall():
                fields: tuple[str | bytes, ...] = ("call", part.id, part.name)
            case _:
                fields = tuple(fields_of(part))
        if fields:
            found.update(digest(fields))
    return found.digest()
