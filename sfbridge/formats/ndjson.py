"""Lines of JSON as programs print them: cut out of a byte stream, noise between them left out.

Noise is what does not look like an object, a warning on the wrong stream for example; whoever decodes a line
that does look like one decides what a broken one means.
"""

from __future__ import annotations

from typing import Final

MOST_BYTES: Final = 16 * 1024 * 1024


class LongLine(ValueError):
    """One line is larger than the reader will hold."""


class Lines:
    """Reads a byte stream in any chunking. A line counts when its line feed has come."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._held: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The objects that `chunk` completes, undecoded. Raises LongLine when a line outgrows the bound."""
        head, feed, rest = chunk.rpartition(b"\n")
        if not feed:
            self._hold(rest)
            return []
        self._held.append(head)
        lines = b"".join(self._held).split(b"\n")
        self._held.clear()
        self._size = 0
        self._hold(rest)
        return [line for line in map(bytes.strip, lines) if line.startswith(b"{")]

    def _hold(self, part: bytes) -> None:
        if part:
            self._size += len(part)
            if self._size > self._most:
                raise LongLine(f"a line is larger than {self._most} bytes")
            self._held.append(part)
