"""The binary AWS event stream (`application/vnd.amazon.eventstream`): framing only, checksums included.

Source: the AWS SDK documentation of the `vnd.amazon.eventstream` encoding. All integers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple
from zlib import crc32

MOST_BYTES: Final = 24 * 1024 * 1024
_PRELUDE: Final = struct.Struct(">III")
_NUMBER: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">H")
_OVERHEAD: Final = 16
_STRING: Final = 7
# Header value types of a fixed size: true, false, byte, short, int, long; timestamp, uuid.
_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


class BrokenFrame(ValueError):
    """The bytes are not a well-formed event stream."""


class Frame(NamedTuple):
    """One message: its string headers (shared between frames, not to be changed), and the payload untouched."""

    headers: dict[str, str]
    payload: bytes


def encode_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message with string headers. Names take up to 255 bytes, values up to 65,535."""
    block = b"".join(
        bytes((len(key := name.encode()),)) + key + b"\x07" + _LENGTH.pack(len(word)) + word
        for name, value in headers.items()
        for word in (value.encode(),)
    )
    sizes = struct.pack(">II", len(block) + len(payload) + _OVERHEAD, len(block))
    message = b"".join((sizes, _NUMBER.pack(crc32(sizes)), block, payload))
    return message + _NUMBER.pack(crc32(message))


class Frames:
    """Reads a byte stream in any chunking. Raises BrokenFrame at the first byte that cannot be right."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._held = bytearray()
        self._block = b""
        self._headers: dict[str, str] = {}

    def feed(self, chunk: bytes) -> list[Frame]:
        """The messages that `chunk` completes."""
        self._held += chunk
        found: list[Frame] = []
        start, end = 0, len(self._held)
        while end - start >= _PRELUDE.size:
            total, header_size, prelude_sum = _PRELUDE.unpack_from(self._held, start)
            if crc32(self._held[start : start + 8]) != prelude_sum:
                raise BrokenFrame("the checksum of a prelude does not fit")
            if not header_size + _OVERHEAD <= total <= self._most:
                raise BrokenFrame("a frame has impossible sizes")
            if end - start < total:
                break
            found.append(self._read(bytes(self._held[start : start + total]), header_size))
            start += total
        del self._held[:start]
        return found

    def drain(self) -> None:
        """Raise BrokenFrame when the stream ended inside a message."""
        if self._held:
            raise BrokenFrame("the stream ended inside a frame")

    def _read(self, message: bytes, header_size: int) -> Frame:
        (whole_sum,) = _NUMBER.unpack_from(message, len(message) - 4)
        if crc32(message[:-4]) != whole_sum:
            raise BrokenFrame("the checksum of a frame does not fit")
        end = _PRELUDE.size + header_size
        block = message[_PRELUDE.size : end]
        if (
            block != self._block
        ):  # the frames of one stream have the same headers, but for the last ones
            self._headers = _headers(block)
            self._block = block
        return Frame(self._headers, message[end:-4])


def _headers(block: bytes) -> dict[str, str]:
    """The string headers of a block; values of other types are stepped over."""
    found: dict[str, str] = {}
    place = 0
    try:
        while place < len(block):
            name_end = place + 1 + block[place]
            name = block[place + 1 : name_end].decode()
            kind = block[name_end]
            place = name_end + 1
            if kind in _FIXED:
                place += _FIXED[kind]
            elif kind in (6, _STRING):
                value_start = place + 2
                place = value_start + _LENGTH.unpack_from(block, place)[0]
                if kind == _STRING:
                    found[name] = block[value_start:place].decode()
            else:
                raise BrokenFrame("a header has an unknown type")
    except (IndexError, struct.error, UnicodeDecodeError):
        raise BrokenFrame("the headers of a frame cannot be read") from None
    if place != len(block):
        raise BrokenFrame("the headers of a frame end beyond their block")
    return found
