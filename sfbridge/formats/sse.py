"""Server-sent events as the WHATWG standard has them: writing one event, and reading a byte stream.

Data stays bytes: what comes in is nearly always JSON, which is decoded from bytes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MOST_BYTES: Final = 16 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_ONE_LINE: Final = b"data: "
_NAMED: Final = b"event: "


class BrokenStream(ValueError):
    """The stream breaks a bound: one event is larger than the reader will hold."""


class SseEvent(NamedTuple):
    """One event; `event` is empty where the stream named none (a browser would say "message")."""

    event: str
    data: bytes


def frame(data: bytes, event: str = "") -> bytes:
    """One event as it goes over the wire. Data of several lines becomes several `data` lines."""
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    if event:
        return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
    return b"data: %b\n\n" % data


class Events:
    """Reads a byte stream in any chunking. An event counts when its blank line has come, never before."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._after_cr = False
        self._head: bytes | None = b""
        self._name_line, self._name = b"", ""

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that `chunk` completes. Raises BrokenStream when an event outgrows the bound."""
        if self._head is not None:
            chunk = self._without_bom(chunk)
        if self._after_cr and chunk:
            chunk = chunk[1:] if chunk[:1] == b"\n" else chunk
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not chunk:
            return []
        if self._held and (b"\n\n" in chunk or self._blank_line_closes(chunk)):
            self._held.append(chunk)
            chunk = b"".join(self._held)
            self._held.clear()
            self._held_bytes = 0
        elif self._held or b"\n\n" not in chunk:
            self._hold(chunk)
            return []
        blocks = chunk.split(b"\n\n")
        rest = blocks.pop()
        if rest:
            self._hold(rest)
        return self._events(blocks)

    def _events(self, blocks: list[bytes]) -> list[SseEvent]:
        found: list[SseEvent] = []
        for block in blocks:
            if block.startswith(_ONE_LINE) and b"\n" not in block:
                found.append(SseEvent("", block[6:]))
            elif (event := self._named(block)) is not None:
                found.append(event)
        return found

    def _named(self, block: bytes) -> SseEvent | None:
        """The event of a block; short work for a name and one line of data, which most streams repeat."""
        first, _, second = block.partition(b"\n")
        plain = first.startswith(_NAMED) and second.startswith(_ONE_LINE)
        if not plain or b"\n" in second:
            return _read(block)
        if first != self._name_line:
            self._name_line, self._name = first, first[7:].decode("utf-8", "replace")
        return SseEvent(self._name, second[6:])

    def _blank_line_closes(self, chunk: bytes) -> bool:
        return chunk[:1] == b"\n" and self._held[-1].endswith(b"\n")

    def _hold(self, part: bytes) -> None:
        self._held_bytes += len(part)
        if self._held_bytes > self._most:
            raise BrokenStream(f"an event is larger than {self._most} bytes")
        self._held.append(part)

    def _without_bom(self, chunk: bytes) -> bytes:
        """The stream without its byte order mark, which may arrive in pieces."""
        head = (self._head or b"") + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)


def _read(block: bytes) -> SseEvent | None:
    """The event of the lines between two blank lines; None when none of them is data."""
    name = ""
    lines: list[bytes] = []
    for line in block.split(b"\n"):
        word, _, value = line.partition(b":")
        if word == b"data":
            lines.append(value.removeprefix(b" "))
        elif word == b"event":
            name = value.removeprefix(b" ").decode("utf-8", "replace")
    return SseEvent(name, b"\n".join(lines)) if lines else None
