"""Lines of the `claude` command -> pieces."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfbridge.core.errors import GatewayError
from sfbridge.core.stream import (
    Activity,
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
from sfbridge.formats.claude_cli import Line
from sfbridge.upstream.claude_cli.reading import Reader

NAMES = {"mcp__c__look": "look", "mcp__c__count": "count"}
USAGE = {"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": 2}


def play(reader: Reader, *lines: dict[str, Any]) -> list[Piece]:
    out: list[Piece] = []
    for body in lines:
        raw = json.dumps(body).encode()
        out += reader.feed(msgspec.json.decode(raw, type=Line), raw)
    return out


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "stream_event", "event": {"type": kind, **more}, "parent_tool_use_id": None}


def start(message_id: str = "m1") -> dict[str, Any]:
    return event(
        "message_start", message={"id": message_id, "model": "opus", "content": [], "usage": USAGE}
    )


def text(words: str, index: int = 0) -> dict[str, Any]:
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": words})


def call(index: int, call_id: str, name: str, arguments: str) -> list[dict[str, Any]]:
    block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
    delta = {"type": "input_json_delta", "partial_json": arguments}
    return [
        event("content_block_start", index=index, content_block=block),
        event("content_block_delta", index=index, delta=delta),
        event("content_block_stop", index=index),
    ]


def stop(reason: str) -> list[dict[str, Any]]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [event("message_delta", delta=delta, usage={"output_tokens": 9}), event("message_stop")]


def result(**more: Any) -> dict[str, Any]:
    return {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "result": "",
        "usage": USAGE,
        **more,
    }


OPENED = Opened(model="opus", id="m1", usage=Usage(input=5, output=1, cache_read=2))
COUNTED = Usage(input=5, output=9, cache_read=2)


def test_words_and_thoughts() -> None:
    """Words and thoughts leave as they come; the turn is over with the result line."""
    thought = {"type": "thinking_delta", "thinking": "Hm."}
    signed = {"type": "signature_delta", "signature": "sig"}
    reader = Reader({}, limited=False)
    pieces = play(
        reader, start(),
        event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
        event("content_block_delta", index=0, delta=thought), event("content_block_delta", index=0, delta=signed),
        event("content_block_stop", index=0), text("He", 1), text("llo", 1), *stop("end_turn"),
    )  # fmt: skip
    assert pieces == [OPENED, Thought("Hm."), Thought("", "sig"), Text("He"), Text("llo")]
    assert reader.end == ""
    assert play(reader, result()) == [Closed(reason="stop", raw="end_turn", usage=COUNTED)]
    assert reader.end == "whole"


def test_the_repeating_lines_say_nothing_twice() -> None:
    """The complete messages, which come between the events, add nothing to what was streamed."""
    repeated = {
        "type": "assistant",
        "message": {"id": "m1", "content": [{"type": "text", "text": "Hello"}]},
    }
    pieces = play(
        Reader({}, limited=False), start(), text("Hello"), repeated, *stop("end_turn"), result()
    )
    assert [piece for piece in pieces if isinstance(piece, Text)] == [Text("Hello")]


def test_calls_of_the_client_end_the_turn() -> None:
    """Calls leave under the client's names, and the turn is over before the command has made them."""
    reader = Reader(NAMES, limited=False)
    pieces = play(
        reader, start(), *call(0, "t1", "mcp__c__look", '{"q":1}'), *call(1, "t2", "mcp__c__count", "{}"),
        *stop("tool_use"),
    )  # fmt: skip
    assert pieces == [
        OPENED,
        CallOpened(0, "t1", "look"), CallArguments(0, '{"q":1}'), CallClosed(0),
        CallOpened(1, "t2", "count"), CallArguments(1, "{}"), CallClosed(1),
        Closed(reason="tool_calls", raw="tool_use", usage=COUNTED),
    ]  # fmt: skip
    assert (reader.end, reader.waiting) == ("calls", ["t1", "t2"])


def test_its_own_tools_are_its_own_affair() -> None:
    """Calls of the command's own tools are noted and never shown; its messages are told apart by a blank line, and
    their tokens summed up."""
    reader = Reader(NAMES, limited=False)
    pieces = play(
        reader, start(), text("Let me see."), *call(1, "t1", "Bash", '{"c":"ls"}'), *stop("tool_use"),
        {"type": "user", "message": {"content": "files"}}, start("m2"), text("Two files."), *stop("end_turn"),
        result(),
    )  # fmt: skip
    assert pieces[1:-1] == [Text("Let me see."), Activity("tool", "Bash"), Text("\n\nTwo files.")]
    assert pieces[-1] == Closed(
        reason="stop", raw="end_turn", usage=Usage(input=10, output=18, cache_read=4)
    )


def test_sub_agents_are_not_heard() -> None:
    """Lines that belong to a sub-agent of the command's own are no part of the answer."""
    line = {**text("psst"), "parent_tool_use_id": "t9"}
    assert play(Reader({}, limited=False), start(), line) == [OPENED]


def test_a_message_that_was_not_streamed() -> None:
    """Where the command fell back to whole messages, their blocks are the answer."""
    message = {"id": "m1", "model": "opus", "stop_reason": "end_turn", "usage": USAGE,
               "content": [{"type": "text", "text": "Hello"}]}  # fmt: skip
    pieces = play(Reader({}, limited=False), {"type": "assistant", "message": message}, result())
    assert pieces[:2] == [OPENED, Text("Hello")]


def test_calls_that_were_not_streamed() -> None:
    """There, the turn is over when the command makes the first of its calls."""
    blocks = [
        {"type": "tool_use", "id": f"t{n}", "name": "mcp__c__look", "input": {"q": n}}
        for n in (1, 2)
    ]
    lines = [
        {"type": "assistant", "message": {"id": "m1", "model": "opus", "content": [b]}}
        for b in blocks
    ]
    reader = Reader(NAMES, limited=False)
    pieces = play(reader, *lines)
    assert [p for p in pieces if isinstance(p, CallArguments)] == [
        CallArguments(0, '{"q": 1}'), CallArguments(1, '{"q": 2}'),
    ]  # fmt: skip
    (closed,) = reader.called()
    assert isinstance(closed, Closed)
    assert (closed.reason, reader.end, reader.waiting) == ("tool_calls", "calls", ["t1", "t2"])
    assert reader.called() == []


def test_a_limit_of_the_client_ends_the_turn() -> None:
    """Only a client that set a limit is told that it was reached; otherwise the command goes on in one text."""
    cut = [start(), text("As far"), *stop("max_tokens")]
    reader = Reader({}, limited=True)
    assert play(reader, *cut)[-1] == Closed(reason="length", raw="max_tokens", usage=COUNTED)
    assert reader.end == "limit"
    reader = Reader({}, limited=False)
    pieces = play(reader, *cut, start("m2"), text(" as it goes"), *stop("end_turn"), result())
    assert [p.text for p in pieces if isinstance(p, Text)] == ["As far", " as it goes"]


@pytest.mark.parametrize(
    "after",
    [start("m2"), {"type": "system", "subtype": "api_retry"}, result(),
     {"type": "assistant", "message": {"id": "m2", "content": []}}],
)  # fmt: skip
def test_a_message_that_broke_off(after: dict[str, Any]) -> None:
    """An answer that would begin anew after its first words is a failure; before them nothing is lost."""
    with pytest.raises(GatewayError) as caught:
        play(Reader({}, limited=False), start(), text("It be"), after)
    assert caught.value.code == "upstream_cut"
    reader = Reader({}, limited=False)
    pieces = play(reader, start(), {"type": "system", "subtype": "api_retry"}, start("m2"), text("Hello"),
                  *stop("end_turn"), result())  # fmt: skip
    assert [p for p in pieces if isinstance(p, Text)] == [Text("Hello")]


def test_an_answer_in_the_result_alone() -> None:
    """A text that only the result line has is the answer; streamed text is, when the result has none."""
    pieces = play(Reader({}, limited=False), result(result="Hello"))
    assert pieces == [
        Text("Hello"),
        Closed(reason="stop", usage=Usage(input=5, output=1, cache_read=2)),
    ]


def test_a_refusal_of_the_model() -> None:
    """A model that declines has its own reason."""
    pieces = play(Reader({}, limited=False), start(), text("No."), *stop("refusal"), result())
    assert pieces[-1] == Closed(reason="content_filter", raw="refusal", usage=COUNTED)


@pytest.mark.parametrize(
    ("line", "kind", "code"),
    [
        ({"is_error": True, "api_error_status": 429}, "rate_limited", "upstream_429"),
        ({"is_error": True, "api_error_status": 401, "result": "Invalid API key"}, "upstream_login", "cli_login"),
        ({"is_error": True, "result": "Not logged in"}, "upstream_login", "cli_login"),
        ({"is_error": True, "api_error_status": 404}, "not_found", "model_not_found"),
        ({"is_error": True, "api_error_status": 500}, "upstream_failed", "cli_failed"),
        ({"subtype": "error_max_turns"}, "upstream_failed", "cli_failed"),
        ({"subtype": "error_during_execution", "is_error": True, "errors": ["No conversation found with session ID: x"]},
         "upstream_failed", "cli_session_lost"),
    ],
)  # fmt: skip
def test_failures(line: dict[str, Any], kind: str, code: str) -> None:
    """Success is what the result line says and nothing else."""
    with pytest.raises(GatewayError) as caught:
        play(Reader({}, limited=False), result(**line))
    assert (caught.value.kind, caught.value.code) == (kind, code)


def test_the_word_of_the_answer_counts_too() -> None:
    """Failures without a status are known by the word on the answer's line."""
    line = {"type": "assistant", "error": "billing_error", "message": {"id": "x", "content": []}}
    with pytest.raises(GatewayError) as caught:
        play(
            Reader({}, limited=False),
            line,
            result(is_error=True, result="Credit balance is too low"),
        )
    assert caught.value.code == "cli_billing"


def test_too_long_a_prompt_is_counted() -> None:
    """The numbers that the command tells of a long prompt are passed on."""
    told = "Prompt is too long · the request is ~210,000 tokens (limit 200,000) but this conversation is only ~19"
    with pytest.raises(GatewayError) as caught:
        play(Reader({}, limited=False), result(is_error=True, api_error_status=400, result=told))
    assert (caught.value.kind, caught.value.tokens) == ("context_overflow", (210000, 200000))


WORDS = st.sampled_from(
    ["stream_event", "assistant", "system", "result", "user", "message_start", "content_block_delta",
     "content_block_start", "content_block_stop", "message_delta", "message_stop", "text_delta", "text", "tool_use",
     "input_json_delta", "mcp__c__look", "Bash", "end_turn", "tool_use", "max_tokens", "success", "m1", "", "api_retry"]
)  # fmt: skip
KEYS = st.sampled_from(
    ["type", "subtype", "event", "message", "index", "delta", "content_block", "text", "partial_json", "id", "name",
     "input", "content", "stop_reason", "is_error", "result", "usage", "error", "parent_tool_use_id", "thinking"]
)  # fmt: skip
VALUES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(-1, 3),
    lambda inner: st.dictionaries(KEYS, inner, max_size=5) | st.lists(inner, max_size=2),
    max_leaves=8,
)


@settings(max_examples=100)
@given(st.lists(st.fixed_dictionaries({"type": WORDS}, optional={
    "event": VALUES, "message": VALUES, "subtype": WORDS, "result": VALUES, "is_error": VALUES, "usage": VALUES,
}), max_size=8))  # fmt: skip
def test_anything_gives_pieces_or_a_failure(lines: list[dict[str, Any]]) -> None:
    """Whatever a line holds, it is read, passed over, or a failure of the upstream."""
    with suppress(GatewayError):
        play(Reader(NAMES, limited=True), *lines)
