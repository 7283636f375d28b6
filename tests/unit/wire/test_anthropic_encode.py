"""Events -> Anthropic frames: the vendor's grammar, whatever the batches, holds and early openings."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from wire_streams import REPLY, random_answer, random_batches, records

from sfbridge.core.answer import Answer
from sfbridge.core.request import TextPart, ThoughtPart, ToolCall
from sfbridge.core.stream import (
    BlockEnded,
    BlockStarted,
    Delta,
    Finished,
    Started,
    Usage,
)
from sfbridge.wire.anthropic.encode import MessageEncoder, body, count_body

DELTA_OF = {
    "text": {"text_delta": "text"},
    "thinking": {"thinking_delta": "thinking", "signature_delta": "signature"},
    "tool_use": {"input_json_delta": "partial_json"},
}
STOPPED = Finished(reason="stop", usage=Usage(input=11, output=5))


def read_stream(stream: bytes) -> dict[str, Any]:
    """Check every rule of the grammar and return the message as a client assembles it."""
    frames = []
    for event, data in records(stream):
        frame = json.loads(data)
        assert event == frame["type"]
        frames.append(frame)
    assert [f["type"] for f in frames[-2:]] == ["message_delta", "message_stop"]
    assert frames[0]["type"] == "message_start"
    message = frames[0]["message"]
    assert message["content"] == []
    assert message["usage"]["input_tokens"] > 0
    block: dict[str, Any] | None = None
    texts: list[str] = []
    for frame in frames[1:-2]:
        if frame["type"] == "content_block_start":
            assert block is None, "one block is open at a time"
            assert frame["index"] == len(message["content"])
            block, texts = dict(frame["content_block"]), []
            message["content"].append(block)
            assert block.get("input", {}) == {}
        elif frame["type"] == "content_block_delta":
            assert block is not None
            assert frame["index"] == len(message["content"]) - 1
            field = DELTA_OF[block["type"]][frame["delta"]["type"]]
            if frame["delta"]["type"] == "signature_delta":
                block["signature"] = frame["delta"]["signature"]
            else:
                texts.append(frame["delta"][field])
        else:
            assert frame["type"] == "content_block_stop"
            assert block is not None
            assert frame["index"] == len(message["content"]) - 1
            whole = "".join(texts)
            if block["type"] == "tool_use":
                block["input"] = json.loads(whole)
                assert len([text for text in texts if text]) == 1
            else:
                block["text" if block["type"] == "text" else "thinking"] = whole
            block = None
    assert block is None, "every block is closed before the end"
    last = frames[-2]
    return {**message, **last["delta"], "usage": {**message["usage"], **last["usage"]}}


def said(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The content without the empty texts that only held the line."""
    return [block for block in content if block != {"type": "text", "text": ""}]


@pytest.mark.parametrize("seed", range(300))
def test_any_answer_in_any_batches_is_grammatical_and_equals_its_fold(seed: int) -> None:
    """The assembled stream and the single body are one message, however the events were cut."""
    dice = random.Random(seed)
    events, answer = random_answer(dice)
    encoder = MessageEncoder(REPLY)
    stream = b"".join(encoder.feed(batch) for batch in random_batches(dice, events))
    assert read_stream(stream) == json.loads(body(answer, REPLY))


@pytest.mark.parametrize("seed", range(400))
def test_holds_and_openings_anywhere_change_nothing_that_is_said(seed: int) -> None:
    """Between any two batches the stream may be opened or held; the answer stays the same."""
    dice = random.Random(seed)
    events, answer = random_answer(dice)
    encoder = MessageEncoder(REPLY)
    out = []
    for batch in random_batches(dice, events):
        while dice.random() < 0.5:
            out.append(encoder.hold() if dice.random() < 0.6 else encoder.open(Usage(input=9)))
        out.append(encoder.feed(batch))
    out += [encoder.hold(), encoder.open(Usage())]
    message, whole = read_stream(b"".join(out)), json.loads(body(answer, REPLY))
    assert said(message["content"]) == said(whole["content"])
    assert message["stop_reason"] == whole["stop_reason"]
    assert message["stop_sequence"] == whole["stop_sequence"]
    assert whole["usage"].items() <= message["usage"].items()


def test_text_goes_on_in_a_held_block() -> None:
    """A text that comes after a hold uses the block that the hold opened."""
    encoder = MessageEncoder(REPLY)
    stream = encoder.open(Usage(input=3)) + encoder.hold() + encoder.hold()
    stream += encoder.feed(
        [Started(), BlockStarted(0, "text"), Delta(0, "Hi"), BlockEnded(0), STOPPED]
    )
    frames = [json.loads(data) for _, data in records(stream)]
    assert [f["type"] for f in frames] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [f["delta"]["text"] for f in frames[2:5]] == ["", "", "Hi"]


def test_a_call_after_a_hold_moves_up_by_one() -> None:
    """A held text block is closed before a call, and the call has the next index."""
    encoder = MessageEncoder(REPLY)
    stream = encoder.hold()
    stream += encoder.feed(
        [
            Started(),
            BlockStarted(0, "call", "toolu_1", "Bash"),
            Delta(0, '{"command":"ls"}'),
            BlockEnded(0),
            Finished(reason="tool_calls"),
        ]
    )
    message = read_stream(stream)
    assert message["content"] == [
        {"type": "text", "text": ""},
        {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
    ]
    assert message["stop_reason"] == "tool_use"


def test_a_hold_in_an_open_thought_is_a_thought_delta() -> None:
    """An open block is held by an empty delta of its own kind."""
    encoder = MessageEncoder(REPLY)
    encoder.feed([Started(), BlockStarted(0, "thought"), Delta(0, "hm")])
    (record,) = records(encoder.hold())
    assert json.loads(record[1])["delta"] == {"type": "thinking_delta", "thinking": ""}


def test_a_signature_leaves_whole_and_last() -> None:
    """Clients replace a signature, so its parts are joined before they are sent."""
    encoder = MessageEncoder(REPLY)
    stream = encoder.feed(
        [
            Started(),
            BlockStarted(0, "thought"),
            Delta(0, "hm", "ab"),
            Delta(0, "", "cd"),
            BlockEnded(0),
            STOPPED,
        ]
    )
    assert read_stream(stream)["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "abcd"}
    ]


def test_the_exact_bytes_of_a_short_answer() -> None:
    """The grammar as the vendor documents it, record by record."""
    encoder = MessageEncoder(REPLY)
    stream = encoder.feed([Started(usage=Usage(input=11))])
    stream += encoder.feed([BlockStarted(0, "text"), Delta(0, "Hi")])
    stream += encoder.feed([BlockEnded(0), STOPPED])
    assert stream.decode() == (
        "event: message_start\n"
        'data: {"type":"message_start","message":{"id":"answer-1","type":"message",'
        '"role":"assistant","model":"friendly","content":[],"stop_reason":null,'
        '"stop_sequence":null,"usage":{"input_tokens":11,"output_tokens":0}}}\n\n'
        "event: content_block_start\n"
        'data: {"type":"content_block_start","index":0,'
        '"content_block":{"type":"text","text":""}}\n\n'
        "event: content_block_delta\n"
        'data: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"Hi"}}\n\n'
        "event: content_block_stop\n"
        'data: {"type":"content_block_stop","index":0}\n\n'
        "event: message_delta\n"
        'data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        '"usage":{"input_tokens":11,"output_tokens":5}}\n\n'
        "event: message_stop\n"
        'data: {"type":"message_stop"}\n\n'
    )


@pytest.mark.parametrize(
    ("reason", "word", "sequence"),
    [
        ("stop", "end_turn", None),
        ("length", "max_tokens", None),
        ("tool_calls", "tool_use", None),
        ("stop_sequence", "stop_sequence", "END"),
        ("content_filter", "refusal", None),
    ],
)
def test_reasons_are_the_vendors_words(reason: Any, word: str, sequence: str | None) -> None:
    """Every reason has the vendor's word; the stop sequence is told only where it stopped."""
    end = Finished(reason=reason, stop_sequence="END")
    message = read_stream(MessageEncoder(REPLY).feed([Started(), end]))
    assert (message["stop_reason"], message["stop_sequence"]) == (word, sequence)


def test_input_is_never_zero_and_estimates_are_marked() -> None:
    """A context meter needs a number; an estimated one says so."""
    usage = Usage(input=0, output=4, cache_read=7, cache_write=2, thought=1, estimated=True)
    answer = Answer(parts=(TextPart("x"),), reason="stop", usage=usage)
    assert json.loads(body(answer, REPLY))["usage"] == {
        "input_tokens": 1,
        "output_tokens": 4,
        "cache_creation_input_tokens": 2,
        "cache_read_input_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 1},
        "estimated": True,
    }


def test_a_body_keeps_blocks_in_order() -> None:
    """Thoughts, texts and calls stand in a body as they came, arguments as an object."""
    answer = Answer(
        parts=(ThoughtPart("hm", "sig"), TextPart("a"), ToolCall("t1", "Read", '{"p": 1}')),
        reason="tool_calls",
    )
    assert json.loads(body(answer, REPLY))["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "t1", "name": "Read", "input": {"p": 1}},
    ]


def test_half_a_surrogate_pair_does_not_break_a_stream() -> None:
    """A character that UTF-8 cannot carry is replaced, and the stream goes on."""
    encoder = MessageEncoder(REPLY)
    stream = encoder.feed(
        [Started(), BlockStarted(0, "text"), Delta(0, "a\ud83db"), BlockEnded(0), STOPPED]
    )
    assert read_stream(stream)["content"][0]["text"] == "a?b"


def test_a_count_is_one_number() -> None:
    """The answer to a token count has the one field that clients read."""
    assert count_body(12) == b'{"input_tokens":12}'
