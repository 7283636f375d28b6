"""Frames and messages of Anthropic upstreams are read tolerantly, field by field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sfbridge.formats.anthropic import (
    Block,
    DeltaBody,
    ErrorBody,
    MessageBody,
    StreamEvent,
    UsageBody,
)

EVENT = msgspec.json.Decoder(StreamEvent)
MESSAGE = msgspec.json.Decoder(MessageBody)


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        (
            '{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
            '"model":"m","content":[],"stop_reason":null,"stop_sequence":null,'
            '"usage":{"input_tokens":9,"cache_creation":{"x":1},"output_tokens":1}}}',
            StreamEvent(
                "message_start",
                message=MessageBody(
                    id="msg_1", model="m", usage=UsageBody(input_tokens=9, output_tokens=1)
                ),
            ),
        ),
        (
            '{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}',
            StreamEvent("content_block_start", index=1, content_block=Block("text")),
        ),
        (
            '{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi"}}',
            StreamEvent("content_block_delta", index=1, delta=DeltaBody("text_delta", text="Hi")),
        ),
        (
            '{"index":2,"delta":{"partial_json":"{","type":"input_json_delta"},'
            '"type":"content_block_delta"}',
            StreamEvent(
                "content_block_delta",
                index=2,
                delta=DeltaBody("input_json_delta", partial_json="{"),
            ),
        ),
        (
            '{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
            '"usage":{"output_tokens":5,"input_tokens":null}}',
            StreamEvent(
                "message_delta",
                delta=DeltaBody(stop_reason="end_turn"),
                usage=UsageBody(output_tokens=5),
            ),
        ),
        (
            '{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":9}}',
            StreamEvent("message_stop"),
        ),
        ('{"type":"ping"}', StreamEvent("ping")),
        (
            '{"type":"error","error":{"type":"overloaded_error","message":"busy"}}',
            StreamEvent("error", error=ErrorBody("overloaded_error", "busy")),
        ),
        ('{"type":"novelty","index":3,"x":{"y":[1]}}', StreamEvent("novelty", index=3)),
    ],
)
def test_frames(frame: str, event: Any) -> None:
    """Each kind of frame is read into the fields that matter; the rest is passed over."""
    assert EVENT.decode(frame) == event


def test_a_call_keeps_its_input_as_written() -> None:
    """The input of a call is the upstream's JSON literal, and empty when there is none."""
    message = MESSAGE.decode(
        '{"content":[{"type":"tool_use","id":"t","name":"f","input":{ "a" : 1.0 }},'
        '{"type":"thinking","thinking":"hm","signature":"s"}],"stop_reason":"tool_use"}'
    )
    call, thought = message.content
    assert (call.id, call.name, bytes(call.input)) == ("t", "f", b'{ "a" : 1.0 }')
    assert (thought.thinking, thought.signature, bytes(thought.input)) == ("hm", "s", b"")
    assert (message.stop_reason, message.usage) == ("tool_use", None)


def test_a_frame_without_a_type_is_refused() -> None:
    """Nothing can be made of a frame that does not say what it is."""
    with pytest.raises(msgspec.ValidationError):
        EVENT.decode("{}")
