"""The binary event stream: framing, checksums, bounds."""

from __future__ import annotations

import struct
from contextlib import suppress
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfbridge.formats.eventstream import BrokenFrame, Frame, Frames, encode_frame

HEADERS = st.dictionaries(st.text(max_size=20), st.text(max_size=60), max_size=4)
FRAMES = st.lists(st.builds(Frame, HEADERS, st.binary(max_size=80)), max_size=4)


def written(frames: list[Frame]) -> bytes:
    return b"".join(encode_frame(frame.headers, frame.payload) for frame in frames)


@given(FRAMES, st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_any_chunking_reads_back_what_was_written(frames: list[Frame], size: int) -> None:
    """Frames come back as they were written, however the bytes are cut."""
    stream, reader = written(frames), Frames()
    found = []
    for place in range(0, len(stream), size):
        found += reader.feed(stream[place : place + size])
    reader.drain()
    assert found == frames


@given(st.binary(max_size=300), st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_noise_raises_broken_frame_or_waits(noise: bytes, size: int) -> None:
    """Bytes that are no event stream raise BrokenFrame, and never anything else."""
    reader = Frames()
    try:
        for place in range(0, len(noise), size):
            reader.feed(noise[place : place + size])
        reader.drain()
    except BrokenFrame:
        pass


@given(st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_noise_behind_good_sums_raises_broken_frame_only(noise: bytes) -> None:
    """A header block of noise under right checksums raises BrokenFrame, or is read, and nothing else."""
    sizes = struct.pack(">II", len(noise) + 16, len(noise))
    message = sizes + struct.pack(">I", crc32(sizes)) + noise
    with suppress(BrokenFrame):
        Frames().feed(message + struct.pack(">I", crc32(message)))


def test_every_flipped_bit_is_noticed() -> None:
    """One wrong bit anywhere in a frame raises, at the latest when the frame should have ended."""
    good = encode_frame({":message-type": "event", ":event-type": "chunk"}, b'{"bytes":"e30="}')
    for place in range(len(good) * 8):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << place % 8
        reader = Frames()
        with pytest.raises(BrokenFrame):
            reader.feed(bytes(bad))
            reader.drain()


def test_the_bytes_of_the_format() -> None:
    """An empty message is the sixteen bytes that the format prescribes."""
    sizes = bytes((0, 0, 0, 16, 0, 0, 0, 0))
    body = sizes + crc32(sizes).to_bytes(4, "big")
    assert encode_frame({}, b"") == body + crc32(body).to_bytes(4, "big")


def test_values_of_other_types_are_stepped_over() -> None:
    """Headers that are not strings do not hide the ones that are."""
    block = (
        b"\x01t\x00" + b"\x01i\x04\x00\x00\x00\x07" + b"\x01b\x06\x00\x02xy" + b"\x01s\x07\x00\x01v"
    )
    sizes = struct.pack(">II", len(block) + 16, len(block))
    message = sizes + struct.pack(">I", crc32(sizes)) + block
    assert Frames().feed(message + struct.pack(">I", crc32(message))) == [Frame({"s": "v"}, b"")]


def test_a_frame_beyond_the_bound_is_refused_at_its_prelude() -> None:
    """A huge frame raises before its bytes are waited for."""
    sizes = struct.pack(">II", 5000, 0)
    with pytest.raises(BrokenFrame):
        Frames(most_bytes=4096).feed(sizes + struct.pack(">I", crc32(sizes)))


def test_an_unfinished_frame_is_left_over() -> None:
    """A stream that ends inside a frame is told by `drain`."""
    reader = Frames()
    reader.feed(encode_frame({}, b"abc")[:-1])
    with pytest.raises(BrokenFrame):
        reader.drain()
