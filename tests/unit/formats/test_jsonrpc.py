"""JSON-RPC in language-server frames: any chunking gives the same bodies, bounds hold, messages are told apart."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from sfbridge.formats.jsonrpc import (
    MOST_HEADER,
    BrokenFrames,
    Fault,
    Frames,
    NotAMessage,
    Notification,
    Reply,
    Request,
    frame,
    message,
    reply,
    request,
)

BODIES = st.lists(st.text(alphabet='aé好😀\r\n{}:"', max_size=30).map(str.encode), max_size=6)
HEADS = st.sampled_from(
    ["Content-Length: %d\r\n\r\n", "content-length:%d\r\n\r\n",
     "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nCONTENT-LENGTH:  %d\r\n\r\n"]
)  # fmt: skip


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[a:b] for a, b in pairwise(edges)]


@given(BODIES, HEADS, st.lists(st.integers(0, 10_000), max_size=12))
@settings(max_examples=100, deadline=None)
def test_any_chunking_gives_the_same_bodies(
    bodies: list[bytes], head: str, places: list[int]
) -> None:
    """However the stream is cut, also inside headers and characters, its bodies come out whole and in order."""
    stream = b"".join((head % len(body)).encode() + body for body in bodies)
    frames = Frames()
    assert [found for chunk in cut(stream, places) for found in frames.feed(chunk)] == bodies


@given(st.binary(max_size=300), st.lists(st.integers(0, 10_000), max_size=6))
@settings(max_examples=100, deadline=None)
def test_noise_is_refused_or_waited_for(noise: bytes, places: list[int]) -> None:
    """Bytes that are no frames raise BrokenFrames or nothing, never another exception."""
    frames = Frames()
    try:
        found = [body for chunk in cut(noise, places) for body in frames.feed(chunk)]
    except BrokenFrames:
        return
    for body in found:
        try:
            message(body)
        except NotAMessage:
            continue


def test_the_length_counts_bytes() -> None:
    """A body of 127 characters, ten of them more than one byte, is announced with 137."""
    body = (
        '{"jsonrpc":"2.0","id":7,"method":"chat/answer","params":{"requestId":"r-1","sessionId":"s-1",'
        '"text":"你好，世界","overwrite":false}}'
    )
    assert len(body) == 127
    assert frame(body.encode()).startswith(b"Content-Length: 137\r\n\r\n{")


@pytest.mark.parametrize(
    "stream",
    [
        b"Content-Type: x\r\n\r\n{}",
        b"Content-Length: -1\r\n\r\n{}",
        b"Content-Length: 12a\r\n\r\n{}",
        b"Content-Length: 33554433\r\n\r\n",
        b"Content-Length: 99999999999999999999\r\n\r\n",
        b"x" * (MOST_HEADER + 1),
        b"x" * (MOST_HEADER + 1) + b"\r\n\r\n",
    ],
)
def test_bounds_and_broken_headers_are_refused(stream: bytes) -> None:
    """No length, a length that is none, too large a body and an endless header end the stream, in one chunk or many."""
    with pytest.raises(BrokenFrames):
        Frames().feed(stream)
    frames = Frames()
    with pytest.raises(BrokenFrames):
        for place in range(0, len(stream), 1000):
            frames.feed(stream[place : place + 1000])


def test_a_bare_object_is_taken_where_nothing_is_pending() -> None:
    """A chunk that is one JSON object without a header is a body; within a frame it is that frame's."""
    frames = Frames()
    assert frames.feed(b'{"id":1}') == [b'{"id":1}']
    assert frames.feed(b"Content-Length: 2\r\n\r\n") == []
    assert frames.feed(b"{}") == [b"{}"]


def test_messages_are_told_by_their_method() -> None:
    """Requests, notifications and replies are told apart although ids of both directions collide."""
    assert message(b'{"id":5,"method":"m","params":{"a":1}}') == Request(5, "m", Raw(b'{"a":1}'))
    assert message(b'{"id":"5","method":"m"}') == Request("5", "m", Raw(b"null"))
    assert message(b'{"method":"m","params":[]}') == Notification("m", Raw(b"[]"))
    assert message(b'{"id":5,"result":true}') == Reply("5", Raw(b"true"), None)
    assert message(b'{"id":"5","result":{}}') == Reply("5", Raw(b"{}"), None)
    failed = message(b'{"id":5,"error":{"code":-32601,"message":"no","data":1}}')
    assert failed == Reply("5", Raw(b"null"), Fault(-32601, "no"))
    assert message(b'{"id":null,"error":{"code":-32700}}') == Reply(
        "None", Raw(b"null"), Fault(-32700)
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"a":1}', b'{"id":[]}', b"\xff"])
def test_other_bodies_are_no_messages(body: bytes) -> None:
    """What is no JSON-RPC message is refused as such."""
    with pytest.raises(NotAMessage):
        message(body)


def test_what_is_written_is_read() -> None:
    """A request and a reply come out as they went in."""
    frames = Frames()
    first, second = frames.feed(request(3, "ping", {}) + reply("x", {"é": None}))
    assert message(first) == Request(3, "ping", Raw(b"{}"))
    assert json.loads(second) == {"jsonrpc": "2.0", "id": "x", "result": {"é": None}}
