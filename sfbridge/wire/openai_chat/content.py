"""Messages of a chat completions body -> system texts and turns. Apart from `decode`, which reads the rest.

Paths are the client's own as they stand: `messages[0].content[1].text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import (
    ImagePart,
    Message,
    OpaquePart,
    Part,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
)
from sfbridge.formats import openai_chat as o
from sfbridge.wire.pictures import picture
from sfbridge.wire.reading import bracketed, invalid, mistyped
from sfbridge.wire.tools import call_of

DIALECT: Final = "openai_chat"
Sent = o.RequestMessage[o.RequestPart] | o.RequestMessage[Raw]

_part: Final[msgspec.json.Decoder[o.RequestPart]] = msgspec.json.Decoder(o.RequestPart)
_type: Final = msgspec.json.Decoder(o.PartType)


class Conversation:
    """Takes messages one by one; adjacent tool messages become the results of one user message."""

    def __init__(self) -> None:
        self.system: list[TextPart] = []
        self.messages: list[Message] = []
        self._results: list[Part] = []

    def take(self, message: Sent, path: str) -> None:
        """Add one message. Raises GatewayError with its path."""
        if message.role == "tool":
            self._results.append(_result(message, path))
            return
        self.close()
        match message.role:
            case "user":
                self.messages.append(Message("user", parts_of(message.content, path + ".content")))
            case "assistant":
                self.messages.append(Message("assistant", _answer_parts(message, path)))
            case "system" | "developer":
                self._instruct(_texts(message, path))
            case "function":
                raise retired(path + ".role", "role: tool with a tool_call_id")
            case other:
                raise invalid(
                    path + ".role",
                    f"{other!r} is not one of system, developer, user, assistant, tool",
                )

    def close(self) -> None:
        """End a run of tool messages."""
        if self._results:
            self.messages.append(Message("user", tuple(self._results)))
            self._results.clear()

    def _instruct(self, texts: tuple[TextPart, ...]) -> None:
        if not self.messages:
            self.system.extend(texts)
        elif texts:
            self.messages.append(Message("system", texts))


def conversation_of(messages: Iterable[Sent]) -> Conversation:
    """The whole conversation, its leading system and developer messages apart."""
    conversation = Conversation()
    for index, message in enumerate(messages):
        conversation.take(message, f"messages[{index}]")
    conversation.close()
    return conversation


def parts_of(content: str | Sequence[o.RequestPart | Raw] | None, path: str) -> tuple[Part, ...]:
    """The parts of one message. Empty texts say nothing and are left out."""
    if content is None or isinstance(content, str):
        return (TextPart(content),) if content else ()
    parts: list[Part] = []
    for index, item in enumerate(content):
        at = f"{path}[{index}]"
        known = _known(item, at) if isinstance(item, Raw) else item
        match known:
            case o.TextContent(text=text) | o.RefusalContent(refusal=text):
                if text:
                    parts.append(TextPart(text, bool(getattr(known, "cache_control", None))))
            case o.ImageContent():
                parts.append(_image(known, at))
            case OpaquePart():
                parts.append(known)
    return tuple(parts)


def retired(path: str, instead: str) -> GatewayError:
    """The vendor's first form of tool calling, whose answers today's form could not be read as."""
    return GatewayError(
        "unsupported", f"{path}: this retired form is not supported; use {instead}", param=path
    )


def _texts(message: Sent, path: str) -> tuple[TextPart, ...]:
    parts = parts_of(message.content, path + ".content")
    texts = tuple(part for part in parts if isinstance(part, TextPart))
    if len(texts) < len(parts):
        raise invalid(path + ".content", f"a {message.role} message holds text only")
    return texts


def _answer_parts(message: Sent, path: str) -> tuple[Part, ...]:
    if message.function_call is not None:
        raise retired(path + ".function_call", "tool_calls")
    parts: list[Part] = []
    if message.reasoning_content:
        parts.append(ThoughtPart(message.reasoning_content))
    parts.extend(parts_of(message.content, path + ".content"))
    if message.refusal:
        parts.append(TextPart(message.refusal))
    for index, call in enumerate(message.tool_calls or ()):
        parts.append(_call(call, f"{path}.tool_calls[{index}]"))
    return tuple(parts)


def _call(call: o.CallBody, path: str) -> ToolCall:
    function = call.function
    if function is None:
        if call.type in (None, "function"):
            raise invalid(path + ".function", "this field is required")
        raise GatewayError(
            "unsupported",
            f"{path}.type: calls of the kind {call.type!r} are not supported",
            param=path + ".type",
        )
    return call_of(call.id, function.name, function.arguments, path + ".function.arguments")


def _result(message: Sent, path: str) -> ToolResult:
    if not message.tool_call_id:
        raise invalid(path + ".tool_call_id", "this field is required")
    return ToolResult(message.tool_call_id, parts_of(message.content, path + ".content"))


def _image(part: o.ImageContent, path: str) -> ImagePart:
    given = part.image_url
    url = given if isinstance(given, str) else given.url
    place = path + (".image_url" if isinstance(given, str) else ".image_url.url")
    return picture(url, place, path)


def _known(raw: Raw, path: str) -> o.RequestPart | OpaquePart:
    try:
        return _part.decode(raw)
    except msgspec.ValidationError as error:
        try:
            kind = _type.decode(raw).type
        except msgspec.ValidationError:
            kind = "text"
        if kind in o.PART_TYPES:
            raise mistyped(error, path, bracketed) from None
        return OpaquePart(dialect=DIALECT, kind=kind, raw=raw, path=path)
