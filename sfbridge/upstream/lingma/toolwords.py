"""Tool events in the many words of the process -> `ToolSeen`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from .signals import Phase, ToolSeen

# REQUEST_FINISHED is missing on purpose: it tells of the request, not of the call.
PHASES: Final[Mapping[str, Phase]] = {
    "init": "start",
    "pending": "start",
    "running": "running",
    "in_progress": "running",
    "finished": "result",
    "completed": "result",
    "success": "result",
    "error": "error",
    "failed": "error",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}
# The value of a field that is absent; msgspec reads no `Raw | None`.
NOTHING: Final = Raw(b"null")
_SAYS_NOTHING: Final = frozenset((b"null", b"{}", b"[]", b'""'))


class _Function(Struct, frozen=True):
    name: str = ""
    arguments: Raw = NOTHING


class _Item(Struct, frozen=True):
    """An entry of a list in `extra`; no public capture shows its exact form, so every likely name is read."""

    id: str = ""
    toolCallId: str = ""  # noqa: N815  the process' own words
    callId: str = ""  # noqa: N815
    name: str = ""
    toolName: str = ""  # noqa: N815
    status: str = ""
    toolCallStatus: str = ""  # noqa: N815
    function: _Function | None = None
    arguments: Raw = NOTHING
    parameters: Raw = NOTHING
    input: Raw = NOTHING
    result: Raw = NOTHING
    results: Raw = NOTHING
    output: Raw = NOTHING


class _Extra(Struct, frozen=True):
    toolCalls: list[_Item] = []  # noqa: N815
    tool_calls: list[_Item] = []
    tools: list[_Item] = []
    toolEvents: list[_Item] = []  # noqa: N815


_extra: Final = msgspec.json.Decoder(_Extra, strict=False)


def phase_of(word: str | None) -> Phase | None:
    return PHASES.get((word or "").lower())


def telling(raw: Raw) -> Raw | None:
    """The raw value, None where it says nothing."""
    return None if bytes(raw) in _SAYS_NOTHING else raw


def in_extra(extra: Raw) -> list[ToolSeen]:
    """The tool events that the `extra` of an answer or a finish may hold."""
    if b"ool" not in bytes(extra):
        return []
    try:
        found = _extra.decode(extra)
    except msgspec.MsgspecError:
        return []
    items = (*found.toolCalls, *found.tool_calls, *found.tools, *found.toolEvents)
    return [seen for item in items if (seen := _seen(item)) is not None]


def _seen(item: _Item) -> ToolSeen | None:
    call = item.id or item.toolCallId or item.callId
    if not call:
        return None
    function = item.function or _Function()
    output = telling(item.result) or telling(item.results) or telling(item.output)
    phase = phase_of(item.status or item.toolCallStatus)
    return ToolSeen(
        id=call,
        phase=phase or ("result" if output is not None else "start"),
        name=item.name or item.toolName or function.name,
        arguments=telling(item.arguments)
        or telling(item.parameters)
        or telling(item.input)
        or telling(function.arguments),
        output=output,
    )
