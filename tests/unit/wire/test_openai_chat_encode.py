"""Events -> chat completion chunks: the grammar that every measured client accepts."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from wire_streams import REPLY, random_answer, random_batches, records

from sfbridge.core.answer import Answer
from sfbridge.core.request import TextPart, ToolCall
from sfbridge.core.stream import BlockEnded, BlockStarted, Delta, Finished, Started, Usage
from sfbridge.wire.openai_chat.encode import ChunkEncoder, body

WITH_USAGE = msgspec.structs.replace(REPLY, stream_usage=True)


def read_stream(stream: bytes, usage_asked: bool) -> dict[str, Any]:
    """Check every rule of the grammar and return the message, reason and usage a client assembles."""
    found = records(stream)
    assert all(event == "" for event, _ in found)
    assert found[-1][1] == "[DONE]"
    chunks = [json.loads(data) for _, data in found[:-1]]
    for chunk in chunks:
        assert chunk["object"] == "chat.completion.chunk"
        assert (chunk["id"], chunk["created"]) == (REPLY.id, REPLY.created)
        assert chunk["model"] == REPLY.model
    usage = None
    if usage_asked:
        last = chunks.pop()
        assert last["choices"] == []
        usage = last["usage"]
    assert all("usage" not in chunk for chunk in chunks)
    choices = [chunk["choices"][0] for chunk in chunks]
    assert all(len(chunk["choices"]) == 1 for chunk in chunks)
    assert all(choice["index"] == 0 for choice in choices)
    assert all(choice["finish_reason"] is None for choice in choices[:-1])
    assert choices[-1]["delta"] == {}
    message: dict[str, Any] = dict(choices[0]["delta"])
    assert message["role"] == "assistant"
    for choice in choices[1:-1]:
        (field,) = choice["delta"]
        if field == "tool_calls":
            (call,) = choice["delta"]["tool_calls"]
            calls = message.setdefault("tool_calls", [])
            assert call.pop("index") == len(calls)
            calls.append(call)
        else:
            message[field] = (message.get(field) or "") + choice["delta"][field]
    return {"message": message, "finish_reason": choices[-1]["finish_reason"], "usage": usage}


@pytest.mark.parametrize("seed", range(300))
def test_any_answer_in_any_batches_is_grammatical_and_equals_its_fold(seed: int) -> None:
    """The assembled stream and the single body are one answer, however the events were cut."""
    dice = random.Random(seed)
    events, answer = random_answer(dice)
    asked = dice.random() < 0.5
    encoder = ChunkEncoder(WITH_USAGE if asked else REPLY)
    out = []
    for batch in random_batches(dice, events):
        if dice.random() < 0.2:
            out.append(encoder.open(Usage()) + encoder.hold())
        out.append(encoder.feed(batch))
    streamed = read_stream(b"".join(out), asked)
    whole = json.loads(body(answer, REPLY))
    (choice,) = whole["choices"]
    assert choice["message"].pop("refusal") is None
    choice["message"]["content"] = choice["message"]["content"] or ""
    streamed["message"]["content"] = streamed["message"]["content"] or ""
    assert streamed["message"] == choice["message"]
    assert streamed["finish_reason"] == choice["finish_reason"]
    assert streamed["usage"] == (whole["usage"] if asked else None)


def test_the_exact_bytes_of_a_short_answer() -> None:
    """Role, text, finish, usage and end, each in a record of its own."""
    encoder = ChunkEncoder(WITH_USAGE)
    stream = encoder.feed([Started(), BlockStarted(0, "text"), Delta(0, "Hi")])
    end = Finished(reason="stop", usage=Usage(input=11, output=5))
    stream += encoder.feed([BlockEnded(0), end])
    head = (
        'data: {"id":"answer-1","object":"chat.completion.chunk","created":1700000000,'
        '"model":"friendly","choices":['
    )
    tail = ',"logprobs":null,"finish_reason":null}]}\n\n'
    assert stream.decode() == (
        head + '{"index":0,"delta":{"role":"assistant","content":""}' + tail
        + head + '{"index":0,"delta":{"content":"Hi"}' + tail
        + head + '{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
        + head + '],"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16}}\n\n'
        + "data: [DONE]\n\n"
    )  # fmt: skip


def test_an_answer_that_starts_with_a_call_has_null_content() -> None:
    """The first delta's content is null before a call, and the call leaves whole in one delta."""
    stream = ChunkEncoder(REPLY).feed(
        [
            Started(),
            BlockStarted(0, "call", "call_1", "calculator"),
            Delta(0, '{"input":"6*7"}'),
            BlockEnded(0),
            Finished(reason="tool_calls"),
        ]
    )
    deltas = [json.loads(data)["choices"][0]["delta"] for _, data in records(stream)[:-1]]
    assert deltas == [
        {"role": "assistant", "content": None},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "calculator", "arguments": '{"input":"6*7"}'},
                }
            ]
        },
        {},
    ]


def test_an_early_opening_is_not_repeated() -> None:
    """The role is told once, also when the stream was opened before the upstream spoke."""
    encoder = ChunkEncoder(REPLY)
    assert b'"role":"assistant"' in encoder.open(Usage(input=4))
    assert encoder.open(Usage(input=4)) == b""
    assert encoder.feed([Started()]) == b""
    assert encoder.hold() == b""


def test_nothing_is_written_for_an_empty_batch() -> None:
    """No event, no bytes."""
    assert ChunkEncoder(REPLY).feed([]) == b""


def test_usage_counts_cached_tokens_as_prompt_and_marks_estimates() -> None:
    """Prompt tokens are all that was read; the details tell which of them were cached."""
    usage = Usage(input=5, output=4, cache_read=7, cache_write=2, thought=1, estimated=True)
    answer = Answer(parts=(TextPart("x"),), reason="stop", usage=usage)
    assert json.loads(body(answer, REPLY))["usage"] == {
        "prompt_tokens": 14,
        "completion_tokens": 4,
        "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 1},
        "estimated": True,
    }


def test_unknown_usage_is_zero_without_details() -> None:
    """The totals are always there; a detail that nobody knows is not."""
    answer = Answer(parts=(TextPart("x"),), reason="stop")
    assert json.loads(body(answer, REPLY))["usage"] == {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
    }


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ((ToolCall("c", "t", "{}"),), None),
        ((TextPart("a"), ToolCall("c", "t", "{}"), TextPart("b")), "ab"),
        ((), ""),
    ],
)
def test_content_is_null_only_beside_calls_alone(parts: Any, content: str | None) -> None:
    """Texts are joined; null means that there are calls and no text."""
    answer = Answer(parts=parts, reason="stop")
    (choice,) = json.loads(body(answer, REPLY))["choices"]
    assert choice["message"]["content"] == content


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("stop_sequence", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
    ],
)
def test_reasons_are_the_vendors_words(reason: Any, word: str) -> None:
    """Every reason has one of the four words that clients know."""
    stream = ChunkEncoder(REPLY).feed([Started(), Finished(reason=reason)])
    assert read_stream(stream, False)["finish_reason"] == word
