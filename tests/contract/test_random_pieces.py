"""A million random events through the sequencer, every encoder and a client's reading of what they wrote."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from responses_stream import read_response

from sfbridge.core.answer import Fold
from sfbridge.core.errors import GatewayError
from sfbridge.core.sequencer import Sequencer
from sfbridge.core.stream import (
    BlockEnded,
    BlockStarted,
    CallArguments,
    CallClosed,
    CallOpened,
    Closed,
    Delta,
    Event,
    Finished,
    Opened,
    Piece,
    Started,
    Text,
    Thought,
    Usage,
)
from sfbridge.formats.sse import Events
from sfbridge.wire.anthropic import anthropic
from sfbridge.wire.base import Reply, Wire
from sfbridge.wire.openai_chat import openai_chat
from sfbridge.wire.openai_responses import openai_responses

SEEDS = range(8)
EVENTS = 125_000  # of each seed
BREAKERS = 20  # one answer in so many comes from an upstream that breaks its word

WORDS = ("Hi", " there", "\n\n", 'quo"te', "naïve 🦊", "\u2028", "data: x\r\n", "\x00", "", "</s>")
TEXTS = tuple(Text(word) for word in WORDS)
THOUGHTS = tuple(Thought(word, sign) for word in ("hm", "", "\n") for sign in ("", "", "c2ln"))
ARGUMENTS = (
    "{}",
    "",
    '{"a":"b\\n","c":[1.0,{"":null}]}',
    '{"path":"naïve 🦊","n":12345678901234567890}',
)
REASONS = ("stop", "stop", "stop", "tool_calls", "length", "stop_sequence", "content_filter")
REPLY = Reply(
    id="answer-1", created=1_700_000_000, model="friendly", request_id="req_1", stream_usage=True
)
_json = msgspec.json.Decoder().decode


def test_the_suite_sees_a_million_events() -> None:
    """The seeds add up to the promised number."""
    assert EVENTS * len(SEEDS) >= 1_000_000


@pytest.mark.parametrize("seed", SEEDS)
def test_random_pieces_never_make_an_ungrammatical_stream(seed: int) -> None:
    """Whatever comes in whatever batches: the events keep the grammar, each stream its protocol's, and equals its fold.

    An upstream that breaks its word gets an error, behind events that are the beginning of a grammatical answer.
    """
    dice = random.Random(seed)
    seen = failed = 0
    while seen < EVENTS:
        pieces = honest_pieces(dice)
        if not (honest := bool(dice.randrange(BREAKERS))):
            pieces = up_to_the_end(broken(dice, pieces))
        sequencer = Sequencer(lambda n: f"made{n}", Usage(input=5, estimated=True))
        fold, out = Fold(), []
        try:
            for batch in cut(dice, pieces):
                events = sequencer.feed(batch)
                fold.feed(events)
                out.append(events)
            sequencer.drain()
            whole = True
        except GatewayError:
            assert not honest, pieces
            whole = False
            failed += 1
        seen += check_grammar(out, whole=whole)
        for wire, read in READERS:
            encoder = wire.encoder(REPLY)
            stream = b"".join([encoder.feed(events) for events in out])
            if whole:
                assert read(stream, dice) == spoken(wire, fold)
            elif stream:
                error = GatewayError("upstream_failed", "It broke off.")
                assert read(stream + encoder.failure(error), dice) is None
    assert failed > 0


# ---- what an upstream says


def honest_pieces(dice: random.Random) -> list[Piece]:
    """One answer in a wild order: texts, thoughts, and calls that are interleaved with all of them."""
    pieces: list[Piece] = [Opened(model="m", usage=Usage(input=7))] if dice.random() < 0.7 else []
    waiting: dict[int, list[str]] = {}
    calls = 0
    for roll in dice.choices(range(10), k=dice.randrange(1, 90)):
        if roll < 6:
            pieces.append(TEXTS[dice.randrange(10)])
        elif roll == 6:
            pieces.append(THOUGHTS[dice.randrange(9)])
        elif roll == 7 and calls < 12:
            pieces.append(CallOpened(calls, dice.choice(("", "twice", f"id{calls}")), "tool"))
            waiting[calls] = fragments(dice)
            calls += 1
        elif waiting:
            key = dice.choice(tuple(waiting))
            if waiting[key]:
                pieces.append(CallArguments(key, waiting[key].pop(0)))
            else:
                pieces.append(CallClosed(key))
                del waiting[key]
    for key, rest in waiting.items():
        pieces += [CallArguments(key, text) for text in rest]
        if dice.random() < 0.5:
            pieces.append(CallClosed(key))
    pieces.append(Text("."))
    reason = dice.choice(REASONS)
    if reason == "tool_calls" and not calls:
        reason = "stop"
    stop = "END" if reason == "stop_sequence" else ""
    usage = Usage(input=7, output=dice.randrange(99), cache_read=dice.choice((None, 3)))
    pieces.append(Closed(reason=reason, usage=usage, stop_sequence=stop))
    return pieces


def fragments(dice: random.Random) -> list[str]:
    text = ARGUMENTS[dice.randrange(4)]
    cut_at = dice.randrange(len(text) + 1)
    return [text[:cut_at], "", text[cut_at:]]


def broken(dice: random.Random, pieces: list[Piece]) -> list[Piece]:
    """The same from an upstream that drops, repeats, swaps or garbles a piece, or falls silent."""
    place = dice.randrange(len(pieces))
    before, after = pieces[:place], pieces[place:]
    match dice.randrange(5):
        case 0:
            return before
        case 1:
            return before + after[1:]
        case 2:
            return [*before, after[0], *after]
        case 3:
            other = dice.randrange(len(pieces))
            pieces[place], pieces[other] = pieces[other], pieces[place]
            return pieces
        case _:
            return [*before, CallOpened(99, "x", "tool"), CallArguments(99, "[1"), *after]


def up_to_the_end(pieces: list[Piece]) -> list[Piece]:
    """The pieces up to the terminal one, behind which adapters do not read."""
    ends = (place for place, piece in enumerate(pieces) if type(piece) is Closed)
    return pieces[: next(ends, len(pieces)) + 1]


def cut(dice: random.Random, pieces: list[Piece]) -> Iterator[list[Piece]]:
    """The pieces in batches, as reads of an upstream bring them; most are small, some empty."""
    start = 0
    while start < len(pieces):
        step = dice.choice((0, 1, 1, 1, 2, 3, 20))
        yield pieces[start : start + step]
        start += step


# ---- what a client makes of it


def check_grammar(batches: list[list[Event]], *, whole: bool) -> int:
    """Started ( BlockStarted Delta* BlockEnded )* Finished, or the beginning of that; how many events there are."""
    count, index, inside, over = 0, -1, False, False
    for events in batches:
        for event in events:
            kind = type(event)
            assert (kind is Started) == (count == 0)
            assert not over
            count += 1
            if kind is Delta:
                assert inside
                assert event.index == index
            elif kind is BlockStarted:
                assert not inside
                index, inside = index + 1, True
                assert event.index == index
            elif kind is BlockEnded:
                assert inside
                assert event.index == index
                inside = False
            elif kind is Finished:
                assert not inside
                over = True
    assert over or not whole
    return count


def spoken(wire: Wire, fold: Fold) -> dict[str, Any]:
    """The body that a client without streaming gets, in the form in which `READERS` assemble streams."""
    body: dict[str, Any] = _json(wire.body(fold.answer(), REPLY))
    if wire is not openai_chat:
        return body
    (choice,) = body["choices"]
    message = choice["message"]
    assert message.pop("refusal") is None
    message["content"] = message["content"] or ""
    return {**message, "finish_reason": choice["finish_reason"], "usage": body["usage"]}


def received(stream: bytes, dice: random.Random) -> list[tuple[str, bytes]]:
    """The records of a stream that the network cut once somewhere."""
    reader, place = Events(), dice.randrange(len(stream) + 1)
    return [*reader.feed(stream[:place]), *reader.feed(stream[place:])]


def read_openai(stream: bytes, dice: random.Random) -> dict[str, Any] | None:
    """The message that a client assembles from chunks; None for a stream that ends in a visible error."""
    records = received(stream, dice)
    last = records.pop()[1]
    if last != b"[DONE]":
        assert "error" in _json(last)
        return None
    usage = _json(records.pop()[1])
    assert usage["choices"] == []
    texts: dict[str, list[str]] = {"content": [], "reasoning_content": []}
    calls: list[Any] = []
    finish = None
    for number, (name, data) in enumerate(records):
        assert name == ""
        (choice,) = _json(data)["choices"]
        delta = choice["delta"]
        assert finish is None
        finish = choice["finish_reason"]
        assert (finish is not None) == (not delta)
        assert (delta.pop("role", None) == "assistant") == (number == 0)
        for word, said in delta.items():
            if word != "tool_calls":
                texts[word].append(said or "")
                continue
            (call,) = said
            assert call.pop("index") == len(calls)
            calls.append(call)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts["content"])}
    if thoughts := "".join(texts["reasoning_content"]):
        message["reasoning_content"] = thoughts
    if calls:
        message["tool_calls"] = calls
    return {**message, "finish_reason": finish, "usage": usage["usage"]}


def read_anthropic(stream: bytes, dice: random.Random) -> dict[str, Any] | None:
    """The message that a client assembles from events; None for a stream that ends in a visible error."""
    message: dict[str, Any] = {}
    blocks: list[dict[str, Any]] = []
    block: dict[str, Any] | None = None
    texts: list[str] = []
    end = ""
    for name, data in received(stream, dice):
        frame = _json(data)
        assert frame["type"] == name
        assert not end
        match name:
            case "content_block_delta":
                assert block is not None
                assert frame["index"] == len(blocks) - 1
                delta = frame["delta"]
                word = _FIELDS[block["type"], delta["type"]]
                if word == "signature":
                    block["signature"] = delta["signature"]
                else:
                    texts.append(delta[word])
            case "content_block_start":
                assert block is None
                block = frame["content_block"]
                assert frame["index"] == len(blocks)
                blocks.append(block)
                texts = []
            case "content_block_stop":
                assert block is not None
                assert frame["index"] == len(blocks) - 1
                said = "".join(texts)
                block[_WHOLE[block["type"]]] = _json(said) if block["type"] == "tool_use" else said
                block = None
            case "message_start":
                assert not message
                message = frame["message"]
                assert message["usage"]["input_tokens"] > 0
            case "message_delta":
                assert block is None
                usage = frame["usage"]  # corrects the estimate that the stream began with
                message.update(frame["delta"], usage=usage, content=blocks)
            case "message_stop" | "error":
                end = name
            case _:
                raise AssertionError(name)
    assert end
    return message if end == "message_stop" else None


def read_responses(stream: bytes, dice: random.Random) -> dict[str, Any] | None:
    """The response that the stream ends with, which its events add up to; None for a failed one."""
    response = read_response(received(stream, dice))
    return None if response["status"] == "failed" else response


_FIELDS = {
    ("text", "text_delta"): "text",
    ("thinking", "thinking_delta"): "thinking",
    ("thinking", "signature_delta"): "signature",
    ("tool_use", "input_json_delta"): "partial_json",
}
_WHOLE = {"text": "text", "thinking": "thinking", "tool_use": "input"}
READERS: tuple[tuple[Wire, Callable[[bytes, random.Random], dict[str, Any] | None]], ...] = (
    (anthropic, read_anthropic),
    (openai_chat, read_openai),
    (openai_responses, read_responses),
)
