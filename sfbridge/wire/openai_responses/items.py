"""Items of a Responses body -> system texts and turns. Apart from `decode`, which reads the rest.

Items are flat: one turn of the model is a run of thoughts, words and calls, one turn of its tools a run of
outputs. Paths are the client's own as they stand: `input[0].content[1].text`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from sfbridge.core.request import (
    Message,
    OpaquePart,
    Part,
    Role,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
)
from sfbridge.formats import openai_responses as o
from sfbridge.wire.frames import literal
from sfbridge.wire.reading import bracketed, invalid, mistyped
from sfbridge.wire.tools import call_of

from .parts import DIALECT, parts_of
from .tools import FREE_TEXT, inner_name

T = TypeVar("T")
U = TypeVar("U")

REFERENCE: Final = "item_reference"
# What a vendor's own tools did. They are not run here, and what came of them stands in the answer's text.
_RECORDS: Final = frozenset(
    (
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
        "tool_search_call",
        "tool_search_output",
        "additional_tools",
    )
)
_CALLS: Final = frozenset(("function_call", "custom_tool_call"))
_OUTPUTS: Final = frozenset(("function_call_output", "custom_tool_call_output"))

_head: Final = msgspec.json.Decoder(o.ItemHead)
_message: Final = msgspec.json.Decoder(o.MessageItem[o.RequestPart])
_loose_message: Final = msgspec.json.Decoder(o.MessageItem[Raw])
_call: Final = msgspec.json.Decoder(o.CallItem)
_custom: Final = msgspec.json.Decoder(o.CustomCallItem)
_output: Final = msgspec.json.Decoder(o.OutputItem[o.RequestPart])
_loose_output: Final = msgspec.json.Decoder(o.OutputItem[Raw])
_reasoning: Final = msgspec.json.Decoder(o.ReasoningItem)

Sent = o.MessageItem[o.RequestPart] | o.MessageItem[Raw]
Given = o.OutputItem[o.RequestPart] | o.OutputItem[Raw]


class Conversation:
    """Takes items one by one.

    left_out    what was passed over, ready for a request's extras
    references  ids of items that stand elsewhere, and are missing here
    """

    def __init__(self, system: Iterable[TextPart], earlier: Iterable[Message]) -> None:
        self.system = list(system)
        self.messages = list(earlier)
        self.left_out: dict[str, Raw] = {}
        self.references: list[str] = []
        self._role: Role = "user"
        self._run: list[Part] = []
        self._worded = False

    def take(self, raw: Raw, path: str) -> None:
        """Add one item. Raises GatewayError with its path."""
        kind, role = head_of(raw, path)
        if kind == "message":
            self._say(_either(raw, _message, _loose_message, path), role, path)
        elif kind in _OUTPUTS:
            self._more("user", _result(_either(raw, _output, _loose_output, path), path))
        elif kind in _CALLS:
            self._more("assistant", _call_of(raw, kind, path))
        elif kind == "reasoning":
            if (part := _thought(_read(raw, _reasoning, path))) is not None:
                self._more("assistant", part)
        elif kind == REFERENCE:
            self.references.append(_named(raw, path))
        elif kind in _RECORDS:
            self.left_out[f"input.{kind}"] = Raw(literal(kind))
        else:
            self._more("user", OpaquePart(dialect=DIALECT, kind=kind, raw=raw, path=path))

    def close(self) -> None:
        """End the turn that is being put together."""
        if self._run:
            self.messages.append(Message(self._role, tuple(self._run)))
            self._run.clear()
        self._worded = False

    def _say(self, message: Sent, role: str, path: str) -> None:
        parts = parts_of(message.content, path + ".content")
        match role:
            case "assistant":
                if self._worded or self._role != "assistant":
                    self.close()
                self._role, self._worded = "assistant", True
                self._run += parts
            case "user":
                self.close()
                self.messages.append(Message("user", parts))
            case "system" | "developer":
                self.close()
                self._instruct(parts, role, path)
            case other:
                raise invalid(
                    path + ".role", f"{other!r} is not one of system, developer, user, assistant"
                )

    def _instruct(self, parts: tuple[Part, ...], role: str, path: str) -> None:
        texts = tuple(part for part in parts if isinstance(part, TextPart))
        if len(texts) < len(parts):
            raise invalid(path + ".content", f"a {role} message holds text only")
        if not self.messages:
            self.system.extend(texts)
        elif texts:
            self.messages.append(Message("system", texts))

    def _more(self, role: Role, part: Part) -> None:
        if self._role != role:
            self.close()
            self._role = role
        self._run.append(part)


def conversation_of(
    items: Iterable[Raw], system: Iterable[TextPart], earlier: Iterable[Message] = ()
) -> Conversation:
    """The whole conversation; `system` and the `earlier` messages stand before the items."""
    conversation = Conversation(system, earlier)
    for index, raw in enumerate(items):
        conversation.take(raw, f"input[{index}]")
    conversation.close()
    return conversation


def head_of(raw: Raw, path: str) -> tuple[str, str]:
    """The kind and the role of an item; what has a role and no type is a message."""
    head = _read(raw, _head, path)
    kind = head.type
    if kind is None:
        if head.role is None and head.id:
            return REFERENCE, ""
        kind = "message"
    return kind, head.role or ""


def reference_in(raw: Raw) -> str:
    """The id of the item that this one stands for; empty when it is an item itself."""
    head = _head.decode(raw)
    refers = head.type == REFERENCE or (head.type is None and head.role is None)
    return (head.id or "") if refers else ""


def _named(raw: Raw, path: str) -> str:
    name = reference_in(raw)
    if not name:
        raise invalid(path + ".id", "this field is required")
    return name


def _read(raw: Raw, decoder: msgspec.json.Decoder[T], path: str) -> T:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise mistyped(error, path, bracketed) from None


def _either(
    raw: Raw, strict: msgspec.json.Decoder[T], loose: msgspec.json.Decoder[U], path: str
) -> T | U:
    """The item; with raw parts when one of them is of an unknown kind, or to find the path of a fault."""
    try:
        return strict.decode(raw)
    except msgspec.ValidationError:
        return _read(raw, loose, path)


def _call_of(raw: Raw, kind: str, path: str) -> ToolCall:
    """A call under the name by which its tool is known inside (see `tools`)."""
    if kind == "custom_tool_call":
        custom = _read(raw, _custom, path)
        arguments = literal({FREE_TEXT: custom.input}).decode()
        return ToolCall(custom.call_id, inner_name(custom.namespace, custom.name), arguments)
    call = _read(raw, _call, path)
    name = inner_name(call.namespace, call.name)
    return call_of(call.call_id, name, call.arguments, path + ".arguments")


def _result(item: Given, path: str) -> ToolResult:
    return ToolResult(item.call_id, parts_of(item.output, path + ".output"))


def _thought(item: o.ReasoningItem) -> ThoughtPart | None:
    """The thought as its model had it. Its seal is the signature that came with it, so both go back together."""
    texts = [part.text for part in item.summary or item.content or () if part.text]
    seal = item.encrypted_content or ""
    return ThoughtPart("\n\n".join(texts), seal) if texts or seal else None
