"""The response object and its items, as JSON: what a body is, and what a stream repeats at its start and end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from sfbridge.core.answer import Answer, AnswerPart
from sfbridge.core.errors import GatewayError
from sfbridge.core.request import TextPart, ThoughtPart, ToolCall
from sfbridge.core.stream import FinishReason, Usage
from sfbridge.wire.base import Reply
from sfbridge.wire.frames import literal, quoted, sound
from sfbridge.wire.openai_chat.faults import error_body

from .tools import FREE_TEXT

# Why an answer is not whole; every other reason completes it.
CUT: Final[Mapping[FinishReason, str]] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
# What the object says of fields that the client did not set.
_SILENT: Final = {
    "instructions": b"null",
    "max_output_tokens": b"null",
    "metadata": b"{}",
    "parallel_tool_calls": b"true",
    "previous_response_id": b"null",
    "reasoning": b'{"effort":null,"summary":null}',
    "store": b"true",
    "temperature": b"null",
    "text": b'{"format":{"type":"text"}}',
    "tool_choice": b'"auto"',
    "tools": b"[]",
    "top_p": b"null",
    "truncation": b'"disabled"',
    "user": b"null",
}
_custom: Final = msgspec.json.Decoder(dict[str, Any])


class Shown:
    """The response object of one answer in each of its states. What never changes is written once."""

    def __init__(self, reply: Reply) -> None:
        self._head = b'{"id":%b,"object":"response","created_at":%d,"status":"' % (
            quoted(reply.id),
            reply.created,
        )
        told = {**_SILENT, **{name: _one_line(raw) for name, raw in reply.echo.items()}}
        fields = b"".join([b',"%b":%b' % (name.encode(), raw) for name, raw in told.items()])
        self._tail = b',"background":false,"model":' + quoted(reply.model) + fields + b"}"

    def begun(self) -> bytes:
        """While the answer is being made."""
        return self._object(b"in_progress", b"null", b"null", (), b"null")

    def ended(self, reason: FinishReason, items: Iterable[bytes], usage: Usage) -> bytes:
        """When it has ended: whole, or cut."""
        why = CUT.get(reason)
        details = b'{"reason":%b}' % quoted(why) if why else b"null"
        status = b"incomplete" if why else b"completed"
        return self._object(status, b"null", details, items, literal(usage_body(usage)))

    def failed(self, error: GatewayError, items: Iterable[bytes]) -> bytes:
        """When it broke off."""
        told = error_body(error)
        shown = {"code": told["code"] or "server_error", "message": told["message"]}
        return self._object(b"failed", literal(shown), b"null", items, b"null")

    def _object(
        self, status: bytes, error: bytes, details: bytes, items: Iterable[bytes], usage: bytes
    ) -> bytes:
        return (
            self._head
            + status
            + b'","error":%b,"incomplete_details":%b,"output":[%b],"usage":%b'
            % (error, details, b",".join(items), usage)
            + self._tail
        )


class Items:
    """The items of one answer. Their ids come from the answer's, so that each names its answer."""

    def __init__(self, reply: Reply) -> None:
        self._stem = reply.id.partition("_")[2]
        self._forms = reply.forms

    def id(self, prefix: str, index: int) -> str:
        return f"{prefix}_{self._stem}{index:02d}"

    def message(self, index: int, text: str, status: str) -> dict[str, Any]:
        said = {"type": "output_text", "text": sound(text), "annotations": [], "logprobs": []}
        return {
            "id": self.id("msg", index),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [said],
        }

    def thought(self, index: int, text: str, signature: str) -> dict[str, Any]:
        item: dict[str, Any] = {
            "id": self.id("rs", index),
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": sound(text)}] if text else [],
        }
        return {**item, "encrypted_content": signature} if signature else item

    def call(self, index: int, call: ToolCall, status: str = "completed") -> dict[str, Any]:
        """A call in its client's form. One that has only begun has no arguments yet."""
        form = self._forms.get(call.name)
        begun = status != "completed"
        shown = {"status": status, "call_id": sound(call.id)}
        name = sound(form.name if form else call.name)
        if form and form.custom:
            shown |= {"name": name, "input": "" if begun else free_text(call.arguments)}
            kind, prefix = "custom_tool_call", "ctc"
        else:
            shown |= {"name": name, "arguments": "" if begun else sound(call.arguments) or "{}"}
            kind, prefix = "function_call", "fc"
        if form and form.namespace:
            shown["namespace"] = sound(form.namespace)
        return {"id": self.id(prefix, index), "type": kind, **shown}

    def part(self, index: int, part: AnswerPart, cut: bool) -> dict[str, Any]:
        """The item of one part; `cut` when the answer ends within it, which only words can show."""
        match part:
            case TextPart(text=text):
                return self.message(index, text, "incomplete" if cut else "completed")
            case ThoughtPart(text=text, signature=signature):
                return self.thought(index, text, signature)
            case ToolCall():
                return self.call(index, part)


def body(answer: Answer, reply: Reply) -> bytes:
    """The whole answer as one response object."""
    items, last = Items(reply), len(answer.parts) - 1
    cut = answer.reason in CUT
    shown = [
        literal(items.part(index, part, cut and index == last))
        for index, part in enumerate(answer.parts)
    ]
    return Shown(reply).ended(answer.reason, shown, answer.usage)


def usage_body(usage: Usage) -> dict[str, Any]:
    """Usage in the vendor's fields, whose details clients insist on; input counts cached tokens in."""
    read = (usage.input or 0) + (usage.cache_read or 0) + (usage.cache_write or 0)
    written = usage.output or 0
    found: dict[str, Any] = {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": usage.cache_read or 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": usage.thought or 0},
        "total_tokens": read + written,
    }
    if usage.estimated:
        found["estimated"] = True
    return found


def free_text(arguments: str) -> str:
    """The text of a call whose tool takes free text; whatever else was written where there is none."""
    found = _custom.decode(arguments).get(FREE_TEXT)
    return sound(found if isinstance(found, str) else arguments)


def _one_line(raw: Raw) -> bytes:
    """A field as its client wrote it, fit for a frame of an event stream."""
    written = bytes(raw)
    if b"\n" in written or b"\r" in written:
        return msgspec.json.format(written, indent=-1)
    return written
