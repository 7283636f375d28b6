"""Answers of the OpenAI dialect read without any network: every cut, every numbering of calls, every end."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfbridge.core.errors import GatewayError
from sfbridge.core.sequencer import Sequencer
from sfbridge.core.stream import Closed, Delta, Finished, Opened, Piece, Text, Thought, Usage
from sfbridge.upstream.openai.answer import StreamReader, whole_answer
from sfbridge.upstream.openai.faults import Asked

ASKED = Asked(model="tiny", size=400, window=4096)
DONE = b"data: [DONE]\n\n"


def frame(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    body = {"id": "c1", "model": "tiny", "choices": [choice], **more}
    return b"data: %b\n\n" % json.dumps(body).encode()


def usage(**numbers: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [], "usage": numbers}).encode()


def read(*chunks: bytes) -> list[Piece]:
    reader = StreamReader(ASKED)
    pieces = [piece for chunk in chunks for piece in reader.feed(chunk)]
    return pieces + reader.drain()


def events(pieces: list[Piece]) -> list[Any]:
    sequencer = Sequencer(lambda n: f"made_{n}")
    found = sequencer.feed(pieces)
    sequencer.drain()
    return found


def calls(pieces: list[Piece]) -> list[tuple[str, Any]]:
    found, name = [], ""
    for event in events(pieces):
        if getattr(event, "kind", "") == "call":
            name = event.name
        elif isinstance(event, Delta) and name:
            found.append((name, json.loads(event.text)))
            name = ""
    return found


STREAM = (
    frame({"role": "assistant", "content": ""})
    + frame({"reasoning_content": "Hm."})
    + frame({"content": "Hé"})
    + frame({"content": "llo 😀"})
    + frame(
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}]}
    )
    + frame({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]})
    + frame({}, "tool_calls")
    + usage(prompt_tokens=9, completion_tokens=3, prompt_tokens_details={"cached_tokens": 4})
    + DONE
)


def test_a_whole_stream_is_read() -> None:
    """Thoughts, words, a call, the end and the counts of one stream become pieces in their order."""
    pieces = read(STREAM)
    assert pieces[0] == Opened(model="tiny", id="c1")
    assert pieces[1:4] == [Thought("Hm."), Text("Hé"), Text("llo 😀")]
    assert calls(pieces) == [("f", {"x": 1})]
    counts = Usage(input=5, output=3, cache_read=4)
    assert pieces[-1] == Closed(reason="tool_calls", raw="tool_calls", usage=counts)


def test_no_cut_is_an_end() -> None:
    """However many bytes of a stream arrive, nothing short of its finish reason makes it whole."""
    whole = STREAM.index(b'"finish_reason": "tool_calls"')
    end = STREAM.index(b"\n\n", whole) + 2
    for cut in range(len(STREAM)):
        reader = StreamReader(ASKED)
        pieces = reader.feed(STREAM[:cut])
        if cut < end:
            assert not any(isinstance(piece, Closed) for piece in pieces)
            with pytest.raises(GatewayError) as caught:
                reader.drain()
            assert caught.value.code == "upstream_truncated"
        else:
            assert isinstance((pieces + reader.drain())[-1], Closed)


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
@settings(max_examples=60, deadline=None)
def test_packets_may_fall_anywhere(cuts: list[int]) -> None:
    """Any division into packets gives the same text, calls and end."""
    places = [0, *sorted(set(cuts)), len(STREAM)]
    chunks = [STREAM[a:b] for a, b in itertools.pairwise(places)]
    assert events(read(*chunks))[-1] == events(read(STREAM))[-1]
    assert calls(read(*chunks)) == [("f", {"x": 1})]


WANTED = [("get", {"city": "Oslo"}), ("get", {"city": "Bergen"}), ("set", {"at": {"h": 1}})]


@pytest.mark.parametrize("indexes", ["right", "all 0", "null", "gaps"])
@pytest.mark.parametrize("ids", ["each time", "once", "never"])
@pytest.mark.parametrize("names", ["once", "each time"])
def test_calls_survive_every_numbering(indexes: str, ids: str, names: str) -> None:
    """The calls come out as they were meant, however a server numbers, identifies and names fragments."""
    chunks = []
    for place, (name, arguments) in enumerate(WANTED):
        text = json.dumps(arguments)
        for start in range(0, len(text), 6):
            function = {"arguments": text[start : start + 6]}
            if start == 0 or names == "each time":
                function["name"] = name
            piece: dict[str, Any] = {"function": function}
            numbers = {"right": place, "all 0": 0, "null": None, "gaps": place * 3}
            piece["index"] = numbers[indexes]
            if ids == "each time" or (ids == "once" and start == 0):
                piece["id"] = f"call_{place}"
            chunks.append(frame({"tool_calls": [piece]}))
    assert calls(read(*chunks, frame({}, "tool_calls"), DONE)) == WANTED


@pytest.mark.parametrize(
    "chunks",
    [
        [
            {
                "tool_calls": [
                    {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":1}'}}
                ]
            }
        ],
        [
            {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]},
            {"tool_calls": []},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":1}'}}]},
        ],
        [
            {
                "tool_calls": [
                    {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}
                ]
            }
        ],
    ],
    ids=["with the opening", "beside an empty list", "as an object"],
)
@pytest.mark.parametrize("last", [False, True], ids=["before the end", "in the last frame"])
def test_arguments_are_never_lost(chunks: list[dict[str, Any]], last: bool) -> None:
    """Arguments count wherever they stand: in the first fragment, after empty ones, in the final frame."""
    frames = [frame(delta) for delta in chunks]
    if last:
        frames[-1] = frame(chunks[-1], "tool_calls")
    assert calls(read(*frames, *([] if last else [frame({}, "tool_calls")]), DONE)) == [
        ("f", {"x": 1})
    ]


def test_interleaved_calls_stay_apart() -> None:
    """Fragments of two calls in turn belong to the call of their index."""
    chunks = [
        frame({"tool_calls": [
            {"index": i, "id": f"c{i}", "function": {"name": f"f{i}", "arguments": "{"}} for i in (0, 1)
        ]})
    ]  # fmt: skip
    chunks += [
        frame({"tool_calls": [{"index": i, "function": {"arguments": piece}}]})
        for piece in ('"a"', ":", "1}")
        for i in (0, 1)
    ]
    assert calls(read(*chunks, frame({}, "tool_calls"))) == [("f0", {"a": 1}), ("f1", {"a": 1})]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", "stop"), ("eos", "stop"), ("length", "length"), ("content_filter", "content_filter"),
        ("max_tokens", "length"), ("something new", "stop"),
    ],
)  # fmt: skip
def test_finish_reasons_have_our_words(raw: str, reason: str) -> None:
    """Every server's word for the end becomes ours; the raw one stays beside it."""
    finished = events(read(frame({"content": "Hi"}), frame({}, raw)))[-1]
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.raw) == (reason, raw)


@pytest.mark.parametrize("raw", ["abort", "error"])
def test_giving_up_is_no_end(raw: str) -> None:
    """A server that says it aborted the answer has failed."""
    with pytest.raises(GatewayError, match="gave the answer up"):
        read(frame({"content": "Hi"}), frame({}, raw), DONE)


def test_a_refusal_is_shown_and_told() -> None:
    """Words of refusal are text, and the end says that content was refused."""
    pieces = read(frame({"refusal": "I will not."}), frame({}, "stop"), DONE)
    assert pieces[1] == Text("I will not.")
    assert isinstance(pieces[-1], Closed)
    assert pieces[-1].reason == "content_filter"


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_a_turn_of_thoughts_alone_is_shown(name: str) -> None:
    """A turn that is all reasoning is repeated as text, so that it is not empty."""
    pieces = read(frame({name: "The answer "}), frame({name: "is 4."}), frame({}, "stop"), DONE)
    assert [p.text for p in pieces if isinstance(p, Thought)] == ["The answer ", "is 4."]
    assert [p.text for p in pieces if isinstance(p, Text)] == ["The answer is 4."]


def test_thoughts_before_a_call_stay_thoughts() -> None:
    """Reasoning that ends in a call is not text."""
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    pieces = read(
        frame({"reasoning": "Hm."}), frame({"tool_calls": [call]}), frame({}, "tool_calls")
    )
    assert not any(isinstance(piece, Text) for piece in pieces)


@pytest.mark.parametrize(
    ("numbers", "counts"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 3}, Usage(input=9, output=3)),
        ({"prompt_tokens": 0, "completion_tokens": 3}, Usage(output=3)),
        (
            {"prompt_tokens": 9, "completion_tokens": 3,
             "prompt_tokens_details": {"cached_tokens": 9},
             "completion_tokens_details": {"reasoning_tokens": 2}},
            Usage(input=0, output=3, cache_read=9, thought=2),
        ),
        ({"prompt_tokens": 9, "prompt_tokens_details": None}, Usage(input=9)),
    ],
)  # fmt: skip
def test_counts_are_told_as_the_server_has_them(numbers: dict[str, Any], counts: Usage) -> None:
    """Cached tokens are taken out of the input; a prompt of 0 tokens is taken for unknown."""
    last = read(frame({"content": "x"}), frame({}, "stop"), usage(**numbers), DONE)[-1]
    assert isinstance(last, Closed)
    assert last.usage == counts


def test_counts_beside_the_last_words_are_read() -> None:
    """Counts may stand on the last content chunk instead of on one of their own."""
    pieces = read(
        frame({"content": "x"}, "stop", usage={"prompt_tokens": 2, "completion_tokens": 1})
    )
    assert isinstance(pieces[-1], Closed)
    assert pieces[-1].usage == Usage(input=2, output=1)


@pytest.mark.parametrize(
    "data",
    [
        b'data: {"error":{"message":"Loading model","code":503,"type":"unavailable_error"}}\n\n',
        b'event: error\ndata: {"error":{"message":"Loading model","code":503}}\n\n',
        b'data: {"object":"error","error":{"message":"Loading model"},"choices":[]}\n\n',
    ],
)
def test_errors_between_chunks_are_errors(data: bytes) -> None:
    """An error object inside a stream fails the turn with its own kind."""
    with pytest.raises(GatewayError) as caught:
        read(frame({"content": "Hi"}), data, DONE)
    assert caught.value.kind == "overloaded"


@pytest.mark.parametrize(
    "data", [b"data: {nope\n\n", b"data: [1]\n\n", b'data: {"choices": 3}\n\n']
)
def test_garbage_is_refused(data: bytes) -> None:
    """What is not the format is a failure, not a text."""
    with pytest.raises(GatewayError) as caught:
        read(data)
    assert caught.value.code == "upstream_garbled"


# ---- whole bodies


def completion(message: dict[str, Any], finish: str | None = "stop") -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    counts = {"prompt_tokens": 5, "completion_tokens": 2}
    return json.dumps({"id": "c1", "model": "tiny", "choices": [choice], "usage": counts}).encode()


def test_a_whole_body_is_read() -> None:
    """A completion becomes the pieces of its stream."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    said = {"content": [{"type": "text", "text": "Hi"}], "reasoning": "Hm.", "tool_calls": [call]}
    pieces = whole_answer(completion(said, "tool_calls"), ASKED)
    assert pieces[1:3] == [Thought("Hm."), Text("Hi")]
    assert calls(pieces) == [("f", {"x": 1})]
    assert pieces[0] == Opened(model="tiny", id="c1", usage=Usage(input=5, output=2))


def test_no_cut_body_is_an_answer() -> None:
    """A body that ends early is garbage, wherever it ends."""
    body = completion({"content": "Hi"})
    for cut in range(len(body)):
        with pytest.raises(GatewayError):
            whole_answer(body[:cut], ASKED)


@pytest.mark.parametrize(
    "body",
    [b'{"choices":[]}', b'{"choices":null}', b'{"error":"no"}', b'{"choices":[{"message":{}}]}'],
)
def test_a_body_without_an_answer_is_a_failure(body: bytes) -> None:
    """A 200 that holds no choice, or an error, or nothing, never becomes a turn."""
    with pytest.raises(GatewayError):
        whole_answer(body, ASKED)


def overflow(window: int, *, size: int = 400, output: int = 0, sure: bool = True) -> Asked:
    return Asked(model="tiny", size=size, output=output, window=window, sure=sure)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (overflow(99), "context_length_exceeded"),
        (overflow(150, output=51), "context_length_exceeded"),
        (overflow(150, output=50), "upstream_truncated"),
        (overflow(99, sure=False), "upstream_truncated"),
    ],
)
@pytest.mark.parametrize("stream", [b"", b": ping\n\n"])
def test_a_stream_of_nothing_is_an_overflow_where_the_numbers_say_so(
    asked: Asked, code: str, stream: bytes
) -> None:
    """llama-cpp-python begins a stream before it counts: beyond a window that somebody told, that is why it is empty."""
    reader = StreamReader(asked)
    assert reader.feed(stream) == []
    with pytest.raises(GatewayError) as caught:
        reader.drain()
    assert caught.value.code == code
    if code == "context_length_exceeded":
        assert asked.window is not None
        assert caught.value.tokens == (max(100, asked.window + 1), asked.window)


def test_a_stream_that_began_is_cut_whatever_the_numbers_say() -> None:
    """Words that came show that the prompt had fitted."""
    reader = StreamReader(overflow(10))
    reader.feed(frame({"content": "Half"}))
    with pytest.raises(GatewayError) as caught:
        reader.drain()
    assert caught.value.code == "upstream_truncated"


@pytest.mark.parametrize(
    ("told", "window", "overflows"), [(5000, 4096, True), (50, 60, False), (0, 99, True)]
)
def test_a_whole_answer_without_words_is_an_overflow_where_the_prompt_does_not_fit(
    told: int, window: int, overflows: bool
) -> None:
    """LM Studio ends such a turn in good order, with nothing in it; the server's own count goes before our estimate."""
    asked = overflow(window)
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}
    whole = {"choices": [choice], "usage": {"prompt_tokens": told, "completion_tokens": 0}}
    streamed = frame({"content": ""}, "stop") + usage(prompt_tokens=told) + DONE
    for read_it in (
        lambda: whole_answer(json.dumps(whole).encode(), asked),
        lambda: StreamReader(asked).feed(streamed),
    ):
        if not overflows:
            assert isinstance(read_it()[-1], Closed)
            continue
        with pytest.raises(GatewayError) as caught:
            read_it()
        assert caught.value.kind == "context_overflow"
