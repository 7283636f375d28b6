"""JSON-RPC 2.0 in the framing of language servers (`Content-Length` headers): a byte stream in any chunking ->
bodies -> messages, and back.

Ids of the two directions have nothing to do with each other, so a message is told by its `method` first.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

MOST_HEADER: Final = 8 * 1024
MOST_BODY: Final = 32 * 1024 * 1024

METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602

_END: Final = b"\r\n\r\n"
_NOTHING: Final = Raw(b"null")


class BrokenFrames(ValueError):
    """The stream breaks a bound or the framing; what follows cannot be told apart any more."""


class NotAMessage(ValueError):
    """A body that is no JSON-RPC message. The framing around it is intact."""


class Fault(Struct, frozen=True):
    """The error of a reply."""

    code: int = 0
    message: str = ""


class Request(NamedTuple):
    """Something the other side wants answered. `id` goes back as it came."""

    id: int | str
    method: str
    params: Raw


class Notification(NamedTuple):
    method: str
    params: Raw


class Reply(NamedTuple):
    """An answer; ids are compared as text, because some servers give a number back as a string."""

    id: str
    result: Raw
    fault: Fault | None


Message = Request | Notification | Reply


class _Body(Struct, frozen=True):
    id: int | str | float | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: Raw = _NOTHING
    result: Raw = _NOTHING
    error: Fault | None = None


_decoder: Final = msgspec.json.Decoder(_Body)
_encode: Final = msgspec.json.Encoder().encode


class Frames:
    """Reads a byte stream in any chunking; a body counts when its last byte has come."""

    def __init__(self, most_body: int = MOST_BODY) -> None:
        self._most = most_body
        self._held = bytearray()
        self._wanted = -1  # bytes of the body whose header was read; -1: a header comes next

    def feed(self, chunk: bytes) -> list[bytes]:
        """The bodies that `chunk` completes. Raises BrokenFrames.

        A chunk that stands for itself and begins with `{` is taken for a body without its header.
        """
        if not self._held and self._wanted < 0 and chunk[:1] == b"{":
            return [chunk]
        self._held += chunk
        found: list[bytes] = []
        while self._ready():
            found.append(bytes(self._held[: self._wanted]))
            del self._held[: self._wanted]
            self._wanted = -1
        return found

    def _ready(self) -> bool:
        """Whether a whole body stands at the front."""
        if self._wanted < 0:
            end = self._held.find(_END, 0, MOST_HEADER + len(_END))
            if end < 0:
                if len(self._held) > MOST_HEADER:
                    raise BrokenFrames(f"a header is longer than {MOST_HEADER} bytes")
                return False
            self._wanted = self._length(bytes(self._held[:end]))
            del self._held[: end + len(_END)]
        return len(self._held) >= self._wanted

    def _length(self, header: bytes) -> int:
        for line in header.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() != b"content-length":
                continue
            digits = value.strip()
            if not digits.isdigit() or len(digits) > len(str(self._most)):
                raise BrokenFrames("a Content-Length is not a possible number")
            length = int(digits)
            if length > self._most:
                raise BrokenFrames(f"a body is larger than {self._most} bytes")
            return length
        raise BrokenFrames("a header has no Content-Length")


def message(body: bytes) -> Message:
    """The message of one body. Raises NotAMessage."""
    try:
        found = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise NotAMessage(f"{len(body)} bytes are no JSON-RPC message") from None
    if isinstance(found.method, str):
        if isinstance(found.id, int | str):
            return Request(found.id, found.method, found.params)
        return Notification(found.method, found.params)
    if found.id is UNSET:
        raise NotAMessage(f"{len(body)} bytes have neither a method nor an id")
    return Reply(_key(found.id), found.result, found.error)


def request(number: int, method: str, params: Any) -> bytes:
    """A request as one frame. `params` is an object, also where a method has no parameters."""
    return frame(_encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))


def reply(to: int | str, result: Any) -> bytes:
    """The answer to a request of the other side, as one frame."""
    return frame(_encode({"jsonrpc": "2.0", "id": to, "result": result}))


def frame(body: bytes) -> bytes:
    """One body with its header. The length counts bytes, not characters."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def _key(given: int | str | float | UnsetType | None) -> str:
    return str(int(given)) if isinstance(given, float) and given.is_integer() else str(given)
