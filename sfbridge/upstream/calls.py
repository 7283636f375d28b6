"""Fragments of tool calls -> whole calls, whichever way the server numbers them.

Seen in the field: right indexes, every index 0, no index, gaps; an id with each fragment, once, never; the
name once or with each fragment. One rule covers them: the index names a place, a new id there opens a new
call, a fragment without an id belongs to the last call of its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from sfbridge.core.errors import GatewayError
from sfbridge.core.stream import CallArguments, CallClosed, CallOpened, Piece


class Function(Protocol):
    """The name and a piece of the argument text, as a JSON string or as an object."""

    @property
    def name(self) -> str | None: ...
    @property
    def arguments(self) -> Raw: ...


class Fragment(Protocol):
    """A piece of a tool call as the formats of several vendors have it."""

    @property
    def id(self) -> str | None: ...
    @property
    def index(self) -> int | None: ...
    @property
    def function(self) -> Function | None: ...


_string = msgspec.json.Decoder(str)
_object = msgspec.json.Decoder(dict[str, Any])


class Calls:
    """Gathers the fragments of one answer."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int, _Call] = {}

    def add(self, fragment: Fragment) -> None:
        """One fragment, or a whole call, in the order in which the stream had it."""
        function = fragment.function
        name = (function.name if function is not None else None) or ""
        arguments = _text(function.arguments) if function is not None else ""
        call = self._call_of(fragment.id or "", fragment.index, name, arguments)
        if call is None:
            call = _Call()
            self._calls.append(call)
        if fragment.id:
            call.id = fragment.id
            self._by_id[fragment.id] = call
        if fragment.index is not None:
            call.index = fragment.index
            self._by_index[fragment.index] = call
        call.name = call.name or name
        call.json.append(arguments)

    def pieces(self, *, cut: bool) -> list[Piece]:
        """Every call, in order. When the output limit cut the answer, the last one stays open."""
        out: list[Piece] = []
        for key, call in enumerate(self._calls):
            if not call.name:
                raise GatewayError(
                    "upstream_failed",
                    "The upstream sent a tool call without a name.",
                    code="upstream_garbled",
                )
            out += (CallOpened(key, call.id, call.name), CallArguments(key, "".join(call.json)))
            if not (cut and key == len(self._calls) - 1):
                out.append(CallClosed(key))
        return out

    def _call_of(self, call_id: str, index: int | None, name: str, arguments: str) -> _Call | None:
        """The call that a fragment continues; None when it begins one."""
        known = self._by_id.get(call_id) if call_id else None
        if known is not None and not (name and _elsewhere(known, index)):
            return known
        if index is not None:
            last = self._by_index.get(index)
        else:
            last = self._calls[-1] if self._calls else None
        if last is None:
            return None
        if call_id:
            return last if not last.id and not _begins(last, name, arguments) else None
        return None if _begins(last, name, arguments) else last


class _Call:
    """One call whose fragments are still arriving."""

    __slots__ = ("id", "index", "json", "name")

    def __init__(self) -> None:
        self.id = ""
        self.index: int | None = None
        self.name = ""
        self.json: list[str] = []


def _elsewhere(call: _Call, index: int | None) -> bool:
    """Whether a fragment with the id of `call` stands at another place: some providers repeat ids."""
    return index is not None and call.index is not None and call.index != index


def _begins(last: _Call, name: str, arguments: str) -> bool:
    """Whether a fragment at the place of `last` is the beginning of another call, for want of an id.

    Another name says so; the same name does when the arguments are complete and begin anew.
    """
    if not name or not last.name:
        return False
    if name != last.name:
        return True
    return arguments.lstrip().startswith("{") and _complete(last.json)


def _complete(parts: Iterable[str]) -> bool:
    try:
        _object.decode("".join(parts))
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def _text(arguments: Raw) -> str:
    """The argument text: a JSON string's content, or an object as it is written."""
    raw = bytes(arguments).strip()
    if raw.startswith(b'"'):
        return _string.decode(raw)
    return "" if raw in (b"", b"null") else raw.decode()
