"""A conversation as the one string that an ask carries.

Headings are the only structure, so a line of somebody's text that begins like one is moved in by a space: nobody can
speak in another's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from sfbridge.core.request import (
    ChatRequest,
    Message,
    Role,
    TextPart,
    ToolCall,
    ToolResult,
    text_of,
)

_SYSTEM: Final = "[System]"
_BEFORE: Final = "[Conversation so far]"
_NOW: Final = "[Current request]"
_SPEAKERS: Final[Mapping[Role, str]] = {
    "user": "User",
    "assistant": "Assistant",
    "system": "System",
}
_FORGED: Final = re.compile(
    r"^(?=\[(?:System|Conversation so far|Current request)\]|(?:User|Assistant|System): |Tool result \()",
    re.MULTILINE,
)


def whole(request: ChatRequest) -> str:
    """The question that opens a new conversation: instructions, everything said before, what is asked now."""
    system = _own("\n\n".join(part.text for part in request.system))
    *before, last = request.messages
    if last.role != "user":
        before, last = [*before, last], Message("user", (TextPart("Continue."),))
    if not system and not before:
        return text_of(last.parts)
    lines: list[str] = []
    if system:
        lines += [_SYSTEM, system, ""]
    if before:
        names = _names(request.messages)
        lines += [_BEFORE, *(_turn(message, names) for message in before), ""]
    return "\n".join([*lines, _NOW, _request(last, request.messages)])


def fresh(messages: Sequence[Message], all_messages: Sequence[Message]) -> str:
    """The question that continues a conversation which the process knows: what it has not heard yet."""
    *before, last = messages
    if not before and last.role == "user":
        return _request(last, all_messages)
    names = _names(all_messages)
    return "\n".join([*(_turn(message, names) for message in before), _turn(last, names)])


def _request(message: Message, all_messages: Sequence[Message]) -> str:
    """The user's turn without a name before it; results of tools keep theirs."""
    if not any(isinstance(part, ToolResult) for part in message.parts):
        return _own(text_of(message.parts))
    return _turn(message, _names(all_messages))


def _turn(message: Message, names: Mapping[str, str]) -> str:
    lines: list[str] = []
    said: list[str] = []

    def speak() -> None:
        if said:
            lines.append(f"{_SPEAKERS[message.role]}: {_own(chr(10).join(said))}")
            said.clear()

    for part in message.parts:
        match part:
            case ToolResult():
                speak()
                name = names.get(part.call_id, "tool")
                lines.append(f"Tool result ({name}, {part.call_id}): {_own(text_of(part.parts))}")
            case ToolCall():
                said.append(f"[called {part.name} with {part.arguments}]")
            case _:
                if text := text_of((part,)):
                    said.append(text)
    speak()
    return "\n".join(lines)


def _names(messages: Sequence[Message]) -> dict[str, str]:
    return {
        part.id: part.name
        for message in messages
        for part in message.parts
        if isinstance(part, ToolCall)
    }


def _own(text: str) -> str:
    """Text in which no line can be taken for one of ours."""
    return _FORGED.sub(" ", text)
