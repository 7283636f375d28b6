"""Random answers for the encoders, and readers of the streams they write."""

from __future__ import annotations

import json
import random
from typing import Any

from sfbridge.core.answer import Answer, Fold
from sfbridge.core.sequencer import Sequencer
from sfbridge.core.stream import (
    CallArguments,
    CallClosed,
    CallOpened,
    Closed,
    Event,
    Opened,
    Piece,
    Text,
    Thought,
    Usage,
)
from sfbridge.wire.base import Reply

WORDS = [
    "Hi",
    " there",
    "\n\n",
    'quo"te',
    "naïve 🦊",
    "\u2028",
    "data: x\r\n",
    "\x00",
    "{}",
    "</s>",
]
REPLY = Reply(id="answer-1", created=1_700_000_000, model="friendly", request_id="req_1")


def random_pieces(dice: random.Random) -> list[Piece]:
    """What an upstream may say: texts, thoughts and calls in any order, then its end."""
    pieces: list[Piece] = []
    if dice.random() < 0.7:
        pieces.append(Opened(model="up", usage=Usage(input=dice.randrange(1, 99))))
    calls = 0
    for _ in range(dice.randrange(1, 9)):
        match dice.randrange(4):
            case 0 | 1:
                pieces.append(Text(dice.choice(WORDS)))
            case 2:
                pieces.append(Thought(dice.choice([*WORDS, ""]), dice.choice(["", "", "c2ln"])))
            case 3:
                pieces += _random_call(dice, calls)
                calls += 1
    pieces.append(Closed(**_random_end(dice, pieces, calls)))
    return pieces


def _random_call(dice: random.Random, key: int) -> list[Piece]:
    arguments = json.dumps({dice.choice(WORDS): [dice.choice(WORDS), key]}, ensure_ascii=False)
    cut = dice.randrange(len(arguments) + 1)
    parts = ["", ""] if dice.random() < 0.2 else [arguments[:cut], arguments[cut:]]
    return [
        CallOpened(key, dice.choice([f"id{key}", ""]), f"tool_{key}"),
        *(CallArguments(key, part) for part in parts),
        CallClosed(key),
    ]


def _random_end(dice: random.Random, pieces: list[Piece], calls: int) -> dict[str, Any]:
    reasons = ["stop", "length", "stop_sequence", "content_filter"]
    said = calls or any(isinstance(piece, Text | Thought) for piece in pieces)
    reason = dice.choice(reasons if said else reasons[1:])
    return {
        "reason": "tool_calls" if calls and reason == "stop" else reason,
        "usage": Usage(
            input=dice.randrange(1, 99),
            output=dice.randrange(99),
            cache_read=dice.choice([None, 7]),
            cache_write=dice.choice([None, 3]),
            thought=dice.choice([None, 2]),
            estimated=dice.random() < 0.5,
        ),
        "stop_sequence": "END" if reason == "stop_sequence" else "",
    }


def random_answer(dice: random.Random) -> tuple[list[Event], Answer]:
    """Grammatical events and their fold."""
    events = Sequencer(lambda n: f"made{n}").feed(random_pieces(dice))
    fold = Fold()
    fold.feed(events)
    return events, fold.answer()


def random_batches(dice: random.Random, events: list[Event]) -> list[list[Event]]:
    """The events, cut into batches as reads of an upstream might cut them; some are empty."""
    batches: list[list[Event]] = [[]]
    for event in events:
        while dice.random() < 0.4:
            batches.append([])
        batches[-1].append(event)
    return batches


def records(stream: bytes) -> list[tuple[str, str]]:
    """(event, data) of every record of a stream that must consist of whole records."""
    assert stream.endswith(b"\n\n") or not stream
    found = []
    for block in stream.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        assert set(fields) <= {"event", "data"}, block
        found.append((fields.get("event", ""), fields["data"]))
    return found
