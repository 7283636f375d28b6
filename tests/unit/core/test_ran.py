"""Tools that an upstream ran by itself: between blocks, and nothing of the answer's ending."""

from __future__ import annotations

import json
from typing import Any

import pytest
from wire_streams import REPLY, records

from sfbridge.core.answer import Fold
from sfbridge.core.errors import GatewayError
from sfbridge.core.request import TextPart
from sfbridge.core.sequencer import Sequencer
from sfbridge.core.stream import (
    Activity,
    BlockEnded,
    BlockStarted,
    Closed,
    Delta,
    Event,
    Finished,
    Piece,
    Ran,
    Started,
    Text,
)
from sfbridge.wire.anthropic.encode import MessageEncoder
from sfbridge.wire.anthropic.encode import body as message_body
from sfbridge.wire.openai_chat.encode import ChunkEncoder
from sfbridge.wire.openai_chat.encode import body as completion_body

FIRST = Ran(id="lingma_1", name="read", arguments='{"a": 1}', output="text")
SECOND = Ran(id="lingma_2", name="grep", output=None)
PIECES: list[Piece] = [Text("a"), Activity("tool", "read"), FIRST, SECOND, Text("b"), Closed()]


def run(*pieces: Piece) -> list[Event]:
    machine = Sequencer(lambda n: f"made_{n}")
    events = machine.feed(pieces)
    machine.drain()
    return events


def test_they_stand_between_blocks() -> None:
    """A block that was open ends before, the next one has the next index, the reason stays."""
    kinds = [type(event) for event in run(*PIECES)]
    block = [BlockStarted, Delta, BlockEnded]
    assert kinds == [Started, *block, Ran, Ran, *block, Finished]
    assert [event.index for event in run(*PIECES) if isinstance(event, BlockStarted)] == [0, 1]
    assert run(*PIECES)[-1] == Finished(reason="stop")


def test_an_answer_of_nothing_else_is_none_too_few() -> None:
    """Tools alone are an answer; after the end nothing may come."""
    assert [type(event) for event in run(FIRST, Closed())] == [Started, Ran, Finished]
    with pytest.raises(GatewayError, match="after its end"):
        run(Text("a"), Closed(), FIRST)


def test_they_are_no_part_of_what_was_said() -> None:
    """A fold keeps them beside the parts, with their places."""
    fold = Fold()
    fold.feed(run(*PIECES))
    answer = fold.answer()
    assert answer.parts == (TextPart("a"), TextPart("b"))
    assert answer.ran == ((1, FIRST), (1, SECOND))


def folded() -> Any:
    fold = Fold()
    fold.feed(run(*PIECES))
    return fold.answer()


def test_a_message_has_them_as_blocks_in_order() -> None:
    """Anthropic clients see call and result as blocks, streamed and whole alike."""
    frames = [json.loads(data) for _, data in records(MessageEncoder(REPLY).feed(run(*PIECES)))]
    begun = [f["content_block"] for f in frames if f["type"] == "content_block_start"]
    assert [f["index"] for f in frames if f["type"] == "content_block_start"] == [0, 1, 2, 3, 4]
    assert [f["index"] for f in frames if f["type"] == "content_block_stop"] == [0, 1, 2, 3, 4]
    assert [block["type"] for block in begun] == [
        "text",
        "tool_use",
        "tool_result",
        "tool_use",
        "text",
    ]
    assert begun[1] == {"type": "tool_use", "id": "lingma_1", "name": "read", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "lingma_1",
              "content": [{"type": "text", "text": "text"}], "is_error": False}  # fmt: skip
    assert begun[2] == result
    whole = json.loads(message_body(folded(), REPLY))
    assert [block["type"] for block in whole["content"]] == [block["type"] for block in begun]
    assert whole["content"][1]["input"] == {"a": 1}
    assert whole["content"][2] == result
    assert whole["stop_reason"] == "end_turn"


def test_they_close_a_held_block() -> None:
    """A block that keeps a silent stream alive ends before them."""
    encoder = MessageEncoder(REPLY)
    stream = encoder.hold() + encoder.feed(run(FIRST, Closed()))
    frames = [json.loads(data) for _, data in records(stream)]
    assert [f["index"] for f in frames if f["type"] == "content_block_stop"] == [0, 1, 2]


def test_a_completion_has_calls_and_results_at_its_end() -> None:
    """OpenAI clients see calls, each whole, and results in a member of our own; the finish reason stays."""
    chunks = [
        json.loads(data)
        for _, data in records(ChunkEncoder(REPLY).feed(run(*PIECES)))
        if data != "[DONE]"
    ]
    calls = [
        call
        for chunk in chunks
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls", [])
    ]
    assert [(call["index"], call["id"]) for call in calls] == [(0, "lingma_1"), (1, "lingma_2")]
    assert calls[0]["function"] == {"name": "read", "arguments": '{"a": 1}'}
    results = [{"tool_call_id": "lingma_1", "is_error": False, "content": "text"}]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["x_tool_results"] == results
    whole = json.loads(completion_body(folded(), REPLY))["choices"][0]
    assert [call["id"] for call in whole["message"]["tool_calls"]] == ["lingma_1", "lingma_2"]
    assert whole["message"]["content"] == "ab"
    assert whole["message"]["x_tool_results"] == results
    assert whole["finish_reason"] == "stop"
