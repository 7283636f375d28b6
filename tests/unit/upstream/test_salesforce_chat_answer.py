"""Answers in the gateway's chat dialect, read as pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sfbridge.core.errors import GatewayError
from sfbridge.core.stream import (
    CallArguments,
    CallClosed,
    CallOpened,
    Closed,
    Opened,
    Piece,
    Text,
    Usage,
)
from sfbridge.formats.sse import frame
from sfbridge.upstream.salesforce.chat_answer import ChatReader, whole_answer
from sfbridge.upstream.salesforce.faults import Asked

ASKED = Asked(model="sfdc_ai__DefaultGPT4Omni")


def part(
    content: str | None = "",
    reason: str | None = None,
    *,
    calls: list[dict[str, Any]] | None = None,
    parameters: dict[str, Any] | None = None,
) -> bytes:
    generation: dict[str, Any] = {"id": "g1", "role": "assistant", "content": content}
    generation["parameters"] = {"finish_reason": reason, "index": 0}
    if calls is not None:
        generation["tool_invocations"] = calls
    details: dict[str, Any] = {"generations": [generation], "parameters": parameters}
    return frame(
        json.dumps({"id": "chatcmpl-x", "generation_details": details}).encode(), "generation"
    )


def usage_only(**usage: int) -> bytes:
    body = {"id": "chatcmpl-x", "generation_details": {"parameters": {"usage": usage}}}
    return frame(json.dumps(body).encode(), "generation")


MODEL = {"provider": "openai", "model": "gpt-5.4", "object": "chat.completion.chunk"}
DONE = frame(b"[DONE]", "generation")
SCORES = (
    frame(b"{}", "scoringStarted")
    + frame(json.dumps({"id": "chatcmpl-x", "generation_details": {"generations": [{"content": "Paris."}]}}).encode(), "scores")
    + frame(b"{}", "scoringCompleted")
)  # fmt: skip
BODY = part("Par", parameters=MODEL) + part("is.")
WHOLE = BODY + part("", "stop") + usage_only(prompt_tokens=9, completion_tokens=2)


def read(stream: bytes, size: int = 1 << 20) -> list[Piece]:
    reader = ChatReader(ASKED)
    pieces: list[Piece] = []
    for place in range(0, len(stream), size):
        pieces += reader.feed(stream[place : place + size])
    return pieces + reader.drain()


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Text))


@pytest.mark.parametrize(
    "tail", [DONE + SCORES, SCORES + DONE, frame(b"DONE"), frame(b"[DONE]"), SCORES, b""]
)
@pytest.mark.parametrize("size", [1, 13, 1 << 20])
def test_every_ending_ends_once(tail: bytes, size: int) -> None:
    """Sentinel, scoring or nothing: the text is told once, and one terminal piece with the late usage."""
    pieces = read(WHOLE + tail, size)
    assert text(pieces) == "Paris."
    assert pieces[0] == Opened(model="gpt-5.4", id="chatcmpl-x")
    assert [p for p in pieces if isinstance(p, Closed)] == [
        Closed(reason="stop", raw="stop", usage=Usage(input=9, output=2))
    ]


def test_a_stream_cut_before_its_finish_reason_is_never_whole() -> None:
    """No cut before the frame with the finish reason yields the terminal piece."""
    stream = BODY + part("", "stop")
    for cut in range(len(stream)):
        reader = ChatReader(ASKED)
        pieces = reader.feed(stream[:cut])
        assert not any(isinstance(piece, Closed) for piece in pieces)
        with pytest.raises(GatewayError) as caught:
            reader.drain()
        assert caught.value.code == "upstream_truncated"


def test_the_answer_is_settled_by_its_finish_reason() -> None:
    """After the finish reason nothing must be waited for without end, but usage may still come."""
    reader = ChatReader(ASKED)
    reader.feed(BODY)
    assert not reader.settled
    reader.feed(part("", "stop"))
    assert reader.settled
    assert not reader.closed


def fragment(index: int | None, call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:  # fmt: skip
    function: dict[str, Any] = {"arguments": arguments}
    if name is not None:
        function["name"] = name
    return {"id": call_id, "type": "function", "index": index, "function": function}


@pytest.mark.parametrize("index", [0, None], ids=["by-index", "null-id-is-the-current-one"])
def test_both_styles_of_tool_deltas(index: int | None) -> None:
    """Fragments keyed by index and fragments without an id give the same call."""
    pieces = read(
        part("", calls=[fragment(index, "call_1", "get_weather", "")])
        + part("", calls=[fragment(index, None, None, '{"city":')])
        + part(None, calls=[fragment(index, None, None, '"Oslo"}')])
        + part("", "tool_calls", calls=[])
        + DONE
    )
    assert pieces[1:-1] == [
        CallOpened(0, "call_1", "get_weather"),
        CallArguments(0, '{"city":"Oslo"}'),
        CallClosed(0),
    ]
    assert pieces[-1] == Closed(reason="tool_calls", raw="tool_calls")


def test_calls_in_the_last_frame_only() -> None:
    """A call that comes with the finish reason is not lost."""
    pieces = read(part("", "tool_calls", calls=[fragment(0, "c", "f", '{"a":1}')]) + DONE)
    assert CallArguments(0, '{"a":1}') in pieces
    assert CallClosed(0) in pieces


def test_a_call_cut_by_the_limit_is_not_closed() -> None:
    """The output limit inside a call leaves it open."""
    pieces = read(part("", "length", calls=[fragment(0, "c", "f", '{"a":')]) + DONE)
    assert not any(isinstance(piece, CallClosed) for piece in pieces)
    assert pieces[-1] == Closed(reason="length", raw="length")


@pytest.mark.parametrize(
    ("failing", "kind"),
    [
        (frame(b'{"errorCode":"LIMIT_EXCEEDED","message":"x"}', "error"), "rate_limited"),
        (frame(b'{"errorCode":"INTERNAL_ERROR","messageCode":"E1","message":"x"}', "generation"), "upstream_failed"),
        (frame(b'{"error_code":"LIMIT_EXCEEDED","message_code":"E1","message":"x"}'), "rate_limited"),
        (frame(b'{"generation_details":', "generation"), "upstream_failed"),
        (frame(b"", "error"), "upstream_failed"),
    ],
)  # fmt: skip
def test_failures_in_mid_stream(failing: bytes, kind: str) -> None:
    """An error event, an error object and broken JSON fail the answer."""
    reader = ChatReader(ASKED)
    reader.feed(BODY)
    with pytest.raises(GatewayError) as caught:
        reader.feed(failing)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("raw", "reason"),
    [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("end_turn", "stop"), ("stop_sequence", "stop_sequence"), ("tool_use", "tool_calls"), ("odd", "stop")],
)  # fmt: skip
def test_providers_reasons_in_any_case(raw: str, reason: str) -> None:
    """Unnormalised words of the providers are understood, unknown ones are an ordinary end."""
    end = read(part("x", raw))[-1]
    assert isinstance(end, Closed)
    assert (end.reason, end.raw) == (reason, raw)


def whole(**changes: Any) -> bytes:
    generation = {"id": "u", "role": "assistant", "content": "Hi.", "parameters": {"finish_reason": "stop"}, **changes}  # fmt: skip
    return json.dumps({"id": "c", "generation_details": {"generations": [generation], "parameters": {"model": "gpt-5.4", "usage": {"prompt_tokens": 50, "completion_tokens": 12, "prompt_tokens_details": {"cached_tokens": 40}, "completion_tokens_details": {"reasoning_tokens": 3}}}}}).encode()  # fmt: skip


def test_a_whole_answer() -> None:
    """An answer in one body: text, end, and usage with cached tokens apart."""
    usage = Usage(input=10, output=12, cache_read=40, thought=3)
    assert whole_answer(whole(), ASKED) == [
        Opened(model="gpt-5.4", id="c", usage=usage),
        Text("Hi."),
        Closed(reason="stop", raw="stop", usage=usage),
    ]


def test_a_whole_answer_with_calls() -> None:
    """Calls in one body arrive closed, in order."""
    calls = [fragment(0, "a", "f", "{}"), fragment(1, "b", "f", '{"x":1}')]
    pieces = whole_answer(
        whole(content=None, tool_invocations=calls, parameters={"finish_reason": "tool_calls"}),
        ASKED,
    )
    assert [p.id for p in pieces if isinstance(p, CallOpened)] == ["a", "b"]
    assert sum(isinstance(p, CallClosed) for p in pieces) == 2


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b'{"errorCode":"LIMIT_EXCEEDED","message":"x"}', "rate_limited", "upstream_429"),
        (b'{"generation_details":{"generations":[]}}', "upstream_failed", "upstream_empty"),
        (b"<html>", "upstream_failed", "upstream_garbled"),
        (b"", "upstream_failed", "upstream_garbled"),
    ],
)
def test_a_whole_body_that_is_no_answer(data: bytes, kind: str, code: str) -> None:
    """A 200 without an answer in it is an error of its own kind."""
    with pytest.raises(GatewayError) as caught:
        whole_answer(data, ASKED)
    assert (caught.value.kind, caught.value.code) == (kind, code)
