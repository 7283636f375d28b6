"""Answers in the Anthropic dialect, read as pieces."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sfbridge.core.errors import GatewayError
from sfbridge.core.sequencer import Sequencer
from sfbridge.core.stream import (  # fmt: skip
    CallArguments,
    CallClosed,
    CallOpened,
    Closed,
    Opened,
    Piece,
    Text,
    Thought,
    Usage,
)
from sfbridge.formats.eventstream import encode_frame
from sfbridge.upstream.salesforce.bedrock_answer import BedrockReader, whole_message
from sfbridge.upstream.salesforce.faults import Asked

ASKED = Asked(model="sfdc_ai__DefaultBedrockAnthropicClaude46Sonnet")
CHUNK = {":message-type": "event", ":event-type": "chunk", ":content-type": "application/json"}


def frame(event: dict[str, Any]) -> bytes:
    data = base64.b64encode(json.dumps(event).encode()).decode()
    return encode_frame(CHUNK, json.dumps({"bytes": data, "p": "abc"}).encode())


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


BEGIN = {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6", "content": [], "stop_reason": None, "usage": {"input_tokens": 12, "output_tokens": 1, "cache_read_input_tokens": 3}}}  # fmt: skip
END = {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 99, "outputTokenCount": 98, "invocationLatency": 5, "firstByteLatency": 1}}  # fmt: skip


def ended(reason: str, sequence: str | None = None) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": sequence}, "usage": {"output_tokens": 20}}  # fmt: skip


RECORDED = [
    BEGIN,
    {"type": "ping"},
    start(0, type="text", text=""),
    delta(0, "text_delta", text="Let me "),
    delta(0, "text_delta", text="look é€."),
    stop(0),
    start(1, type="tool_use", id="toolu_1", name="get_weather", input={}),
    delta(1, "input_json_delta", partial_json=""),
    delta(1, "input_json_delta", partial_json='{"city":'),
    delta(1, "input_json_delta", partial_json=' "Oslo"}'),
    stop(1),
    ended("tool_use"),
    END,
]
STREAM = b"".join(frame(event) for event in RECORDED)


def read(*events: dict[str, Any]) -> list[Piece]:
    reader = BedrockReader(ASKED)
    pieces = reader.feed(b"".join(frame(event) for event in events))
    return pieces + reader.drain()


def calls(pieces: list[Piece]) -> list[tuple[str, str, str]]:
    """(id, name, arguments) of every call that was closed."""
    closed = {piece.key for piece in pieces if isinstance(piece, CallClosed)}
    return [
        (
            piece.id,
            piece.name,
            "".join(p.json for p in pieces if isinstance(p, CallArguments) and p.key == piece.key),
        )
        for piece in pieces
        if isinstance(piece, CallOpened) and piece.key in closed
    ]


def test_a_recorded_answer_becomes_its_pieces() -> None:
    """Text, call, end and usage arrive as they were said."""
    pieces = read(*RECORDED)
    assert pieces[0] == Opened(
        model="claude-sonnet-4-6", id="msg_1", usage=Usage(input=12, output=1, cache_read=3)
    )
    assert [p.text for p in pieces if isinstance(p, Text)] == ["Let me ", "look é€."]
    assert calls(pieces) == [("toolu_1", "get_weather", '{"city": "Oslo"}')]
    assert pieces[-1] == Closed(
        reason="tool_calls", raw="tool_use", usage=Usage(input=12, output=20, cache_read=3)
    )


def test_any_chunking_gives_the_same_pieces() -> None:
    """However the bytes are cut, the pieces are the same."""
    whole = read(*RECORDED)
    for size in (1, 2, 3, 7, 64, 1000):
        reader = BedrockReader(ASKED)
        pieces: list[Piece] = []
        for place in range(0, len(STREAM), size):
            pieces += reader.feed(STREAM[place : place + size])
        assert pieces == whole
        assert reader.closed


def test_a_stream_cut_anywhere_is_never_whole() -> None:
    """No cut of a recorded answer yields the terminal piece; the end of the transport is a failure."""
    for cut in range(len(STREAM)):
        reader = BedrockReader(ASKED)
        pieces = reader.feed(STREAM[:cut])
        assert not any(isinstance(piece, Closed) for piece in pieces)
        with pytest.raises(GatewayError) as caught:
            reader.drain()
        assert (caught.value.kind, caught.value.code) == ("upstream_failed", "upstream_truncated")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [("end_turn", "stop"), ("max_tokens", "length"), ("stop_sequence", "stop_sequence"), ("refusal", "content_filter"), ("pause_turn", "stop"), ("model_context_window_exceeded", "length"), ("new_word", "stop")],
)  # fmt: skip
def test_stop_reasons(raw: str, reason: str) -> None:
    """Anthropic's reasons become ours, its own word is kept."""
    end = read(BEGIN, start(0, type="text", text="x"), stop(0), ended(raw, "END"), END)[-1]
    assert isinstance(end, Closed)
    assert (end.reason, end.raw, end.stop_sequence) == (reason, raw, "END")


def test_arguments_that_come_with_the_beginning_only() -> None:
    """A call whose input stands in its first frame keeps it; deltas, if there are any, replace it."""
    opening = start(0, type="tool_use", id="t", name="f", input={"a": 1})
    assert calls(read(BEGIN, opening, stop(0), ended("tool_use"), END)) == [("t", "f", '{"a": 1}')]
    more = delta(0, "input_json_delta", partial_json='{"a":2}')
    assert calls(read(BEGIN, opening, more, stop(0), ended("tool_use"), END)) == [("t", "f", '{"a":2}')]  # fmt: skip


def test_parallel_calls_stay_apart() -> None:
    """Two calls whose fragments arrive interleaved keep their own arguments."""
    pieces = read(
        BEGIN,
        start(0, type="tool_use", id="a", name="f", input={}),
        start(1, type="tool_use", id="b", name="g", input={}),
        delta(1, "input_json_delta", partial_json='{"b":'),
        delta(0, "input_json_delta", partial_json='{"a":1}'),
        delta(1, "input_json_delta", partial_json="2}"),
        stop(0),
        stop(1),
        ended("tool_use"),
        END,
    )
    got = [(p.id, p.name) for p in pieces if isinstance(p, CallOpened)]
    assert got == [("a", "f"), ("b", "g")]
    sequencer = Sequencer(lambda n: f"made_{n}")
    sequencer.feed(pieces)
    sequencer.drain()
    told = {p.key: "" for p in pieces if isinstance(p, CallOpened)}
    for piece in pieces:
        if isinstance(piece, CallArguments):
            told[piece.key] += piece.json
    assert list(told.values()) == ['{"a":1}', '{"b":2}']


def test_a_call_cut_by_the_limit_is_not_closed() -> None:
    """The output limit inside a call leaves it open, even though its block was ended; earlier ones count."""
    pieces = read(
        BEGIN,
        start(0, type="tool_use", id="a", name="f", input={}),
        delta(0, "input_json_delta", partial_json='{"a":1}'),
        stop(0),
        start(1, type="tool_use", id="b", name="g", input={}),
        delta(1, "input_json_delta", partial_json='{"b":'),
        stop(1),
        ended("max_tokens"),
        END,
    )
    assert calls(pieces) == [("a", "f", '{"a":1}')]
    sequencer = Sequencer(lambda n: f"made_{n}")
    sequencer.feed(pieces)
    sequencer.drain()


def test_thoughts_keep_their_signature() -> None:
    """Visible reasoning arrives as thoughts, its signature with it."""
    pieces = read(
        BEGIN,
        start(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Hm."),
        delta(0, "signature_delta", signature="c2ln"),
        stop(0),
        start(1, type="text", text=""),
        delta(1, "text_delta", text="Yes."),
        stop(1),
        ended("end_turn"),
        END,
    )
    assert [p for p in pieces if isinstance(p, Thought)] == [Thought("Hm."), Thought("", "c2ln")]


def test_usage_of_bedrock_fills_in_only() -> None:
    """Bedrock's own counts are used where the model reported none."""
    silent = {"type": "message_start", "message": {"id": "m", "model": "c", "content": []}}
    pieces = read(
        silent,
        start(0, type="text", text="x"),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        END,
    )
    assert isinstance(pieces[-1], Closed)
    assert pieces[-1].usage == Usage(input=99, output=98)


@pytest.mark.parametrize(
    ("headers", "payload", "kind"),
    [
        ({":message-type": "exception", ":exception-type": "throttlingException"}, b'{"message":"x"}', "rate_limited"),
        ({":message-type": "exception", ":exception-type": "modelStreamErrorException"}, b'{"message":"x"}', "upstream_failed"),
        ({":message-type": "error", ":error-code": "InternalServerException"}, b"", "upstream_failed"),
        (CHUNK, b'{"message":"no bytes here","errorCode":"INTERNAL_ERROR"}', "upstream_failed"),
        (CHUNK, b'{"bytes":"not base64!"}', "upstream_failed"),
        (CHUNK, b'{"bytes":"bm90IGpzb24="}', "upstream_failed"),
    ],
)  # fmt: skip
def test_failures_in_mid_stream(headers: dict[str, str], payload: bytes, kind: str) -> None:
    """Exception frames, error frames and garbled ones fail the answer instead of ending it."""
    reader = BedrockReader(ASKED)
    reader.feed(frame(BEGIN))
    with pytest.raises(GatewayError) as caught:
        reader.feed(encode_frame(headers, payload))
    assert caught.value.kind == kind


def test_an_error_event_fails_the_answer() -> None:
    """Anthropic's own error event is a failure of its kind."""
    with pytest.raises(GatewayError) as caught:
        read(
            BEGIN, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        )
    assert caught.value.kind == "overloaded"


def test_arguments_without_a_call_fail_the_answer() -> None:
    """A fragment of a call that never began is a failure, not a call without a name."""
    with pytest.raises(GatewayError):
        read(BEGIN, delta(4, "input_json_delta", partial_json="{}"))


def test_bytes_that_are_no_event_stream_fail_the_answer() -> None:
    """A page or a text where frames should be is a failure of the upstream."""
    with pytest.raises(GatewayError) as caught:
        BedrockReader(ASKED).feed(b"<html><body>502 Bad Gateway</body></html>")
    assert caught.value.code == "upstream_garbled"


WHOLE = {"id": "msg_2", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6", "content": [{"type": "text", "text": "Hi."}, {"type": "tool_use", "id": "t", "name": "f", "input": {"x": [1, "é"]}}], "stop_reason": "tool_use", "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 7}}  # fmt: skip


def test_a_whole_message() -> None:
    """An answer in one body becomes the same pieces as a stream would."""
    pieces = whole_message(json.dumps(WHOLE).encode(), ASKED)
    assert [p.text for p in pieces if isinstance(p, Text)] == ["Hi."]
    ((call_id, name, arguments),) = calls(pieces)
    assert (call_id, name, json.loads(arguments)) == ("t", "f", {"x": [1, "é"]})
    assert pieces[-1] == Closed(reason="tool_calls", raw="tool_use", usage=Usage(input=5, output=7))


def test_a_whole_message_cut_by_the_limit() -> None:
    """A call at the end of an answer that the limit ended stays open."""
    pieces = whole_message(json.dumps({**WHOLE, "stop_reason": "max_tokens"}).encode(), ASKED)
    assert calls(pieces) == []


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"errorCode":"LIMIT_EXCEEDED","messageCode":"E1","message":"x"}', "rate_limited"),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', "overloaded"),
        (b"<html>", "upstream_failed"),
        (b"{}", "upstream_failed"),
        (b"", "upstream_failed"),
    ],
)
def test_a_whole_body_that_is_an_error(data: bytes, kind: str) -> None:
    """A 200 with an error for a body is an error."""
    with pytest.raises(GatewayError) as caught:
        whole_message(data, ASKED)
    assert caught.value.kind == kind
