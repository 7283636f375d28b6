"""Server-sent events: what the standard says, in any chunking, in bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfbridge.formats.sse import BrokenStream, Events, SseEvent, frame

TOKENS = [b"data: a", b"data:b", b"data", b"event: x", b"event:", b": note", b"id: 1", b"retry: 5",
          b"\n", b"\r", b"\r\n", b"\n\n", b"\xef\xbb\xbf", "data: é€😀".encode(), b"data:  two", b"datax: y"]  # fmt: skip
STREAMS = st.lists(st.sampled_from(TOKENS), max_size=25).map(b"".join)


def by_the_standard(stream: bytes) -> list[SseEvent]:
    """The standard's own procedure, one line after the other."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found, name, data = [], "", []
    for line in text.split(b"\n")[:-1]:
        if not line:
            if data:
                found.append(SseEvent(name, b"\n".join(data)))
            name, data = "", []
            continue
        if line.startswith(b":"):
            continue
        word, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if word == b"data":
            data.append(value)
        elif word == b"event":
            name = value.decode()
    return found


def read(*chunks: bytes) -> list[SseEvent]:
    reader = Events()
    return [event for chunk in chunks for event in reader.feed(chunk)]


@given(STREAMS, st.lists(st.integers(1, 9), min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_chunking_gives_the_events_of_the_standard(stream: bytes, sizes: list[int]) -> None:
    """However a stream is cut, its events are those of the standard's procedure."""
    chunks, place, turn = [], 0, 0
    while place < len(stream):
        size = sizes[turn % len(sizes)]
        chunks.append(stream[place : place + size])
        place, turn = place + size, turn + 1
    assert read(*chunks) == by_the_standard(stream)
    assert read(stream) == by_the_standard(stream)


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_noise_never_raises(noise: bytes) -> None:
    """Bytes that are no event stream give events or nothing, never an exception."""
    reader = Events()
    for place in range(0, len(noise), 7):
        reader.feed(noise[place : place + 7])


@given(st.text(alphabet="ab \n\r:é", max_size=30), st.sampled_from(["", "generation", "x"]))
@settings(max_examples=100, deadline=None)
def test_a_frame_is_read_back(text: str, name: str) -> None:
    """What `frame` writes, the reader gives back, with every line ending as a line feed."""
    expected = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    assert read(frame(text.encode(), name)) == [SseEvent(name, expected)]


def test_frame_bytes() -> None:
    """A frame is exactly what the standard prints."""
    assert frame(b"{}") == b"data: {}\n\n"
    assert frame(b"a\nb", "x") == b"event: x\ndata: a\ndata: b\n\n"


def test_an_event_without_its_blank_line_does_not_count() -> None:
    """A stream that ends inside an event has not sent that event."""
    assert read(b"data: a\n\ndata: b\n") == [SseEvent("", b"a")]


def test_a_byte_order_mark_may_arrive_in_pieces() -> None:
    """The mark at the beginning is dropped, later ones are content."""
    assert read(b"\xef", b"\xbb", b"\xbfdata: a\n\n") == [SseEvent("", b"a")]
    assert read(b"data: \xef\xbb\xbf\n\n") == [SseEvent("", b"\xef\xbb\xbf")]


def test_a_carriage_return_at_the_end_of_a_chunk_ends_its_line_at_once() -> None:
    """An event that ends with a lone carriage return is not held back for a line feed that may come."""
    reader = Events()
    assert reader.feed(b"data: a\r\r") == [SseEvent("", b"a")]
    assert reader.feed(b"\ndata: b\r\n\r\n") == [SseEvent("", b"b")]


def test_an_endless_event_is_refused() -> None:
    """An event beyond the bound raises instead of filling the memory."""
    reader = Events(most_bytes=100)
    with pytest.raises(BrokenStream):
        for _ in range(20):
            reader.feed(b"data: 0123456789\n")
