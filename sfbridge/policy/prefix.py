"""What a conversation is called, and whether its rendered beginning stays the same from turn to turn.

A server's prompt cache holds only as far as two prompts are equal byte for byte; one line that changes at
the front makes it read the whole history again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, TypeVar

from sfbridge.core.request import (
    ChatRequest,
    DocumentPart,
    ImagePart,
    OpaquePart,
    Part,
    SealedPart,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
)

# Claude Code's first system text; its values change with version, entry point and, at times, with the
# turn (anthropic-and-claude-code, section 4; github.com/ggml-org/llama.cpp/issues/20623).
_ATTRIBUTION: Final = re.compile(r"\s*x-anthropic-billing-header:[^\n]*(?:\n|\Z)", re.IGNORECASE)
_LONGEST_ID: Final = 128
_DIGEST: Final = 8

Chars = TypeVar("Chars", str, bytes)


def neutral_attribution(system: tuple[TextPart, ...]) -> tuple[TextPart, ...]:
    """The system texts without Claude Code's attribution line; the very same tuple when there is none.

    The line goes only where it opens a text: elsewhere it is something that a person wrote.
    """
    if not any(_ATTRIBUTION.match(part.text) for part in system):
        return system
    kept: list[TextPart] = []
    for part in system:
        rest = _ATTRIBUTION.sub("", part.text, count=1) if _ATTRIBUTION.match(part.text) else None
        if rest is None:
            kept.append(part)
        elif rest.strip():
            kept.append(TextPart(rest.lstrip("\n"), part.cache))
    return tuple(kept)


def conversation_key(request: ChatRequest) -> str:
    """A name for the conversation: the client's own session id, else a digest of how it begins.

    The digest is made of the system prompt (without attribution) and the first user text, which clients
    repeat in every turn. Names under different API keys never meet.
    """
    caller = request.caller
    if caller.conversation:
        name = caller.conversation[:_LONGEST_ID]
    else:
        texts = [part.text for part in neutral_attribution(request.system)]
        name = "~" + digest((*texts, "\0", _first_words(request))).hex()
    return f"{caller.key_id}/{name}" if caller.key_id else name


def _first_words(request: ChatRequest) -> str:
    """The user's first turn as text, results left out."""
    for message in request.messages:
        if message.role == "user":
            texts = [part.text for part in message.parts if isinstance(part, TextPart)]
            if any(text.strip() for text in texts):
                return "\n".join(texts)
    return ""


def common_prefix(a: Chars, b: Chars) -> int:
    """How many characters (or bytes) the two have in common from the start."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def trail(request: ChatRequest) -> tuple[str, ...]:
    """One line for each piece of a prompt, in the order in which templates render them: `name: length digest`.

    Small enough to be kept from one turn to the next; `where_broke` compares two of them. Cache marks
    move with every turn and do not count.
    """
    tools = [f"{tool.name}\0{tool.description}\0".encode() + tool.schema for tool in request.tools]
    lines = [
        _line(f"tool {tool.name}", [raw]) for tool, raw in zip(request.tools, tools, strict=True)
    ]
    lines += [
        _line(f"system text {place}", [part.text]) for place, part in enumerate(request.system, 1)
    ]
    for place, message in enumerate(request.messages, 1):
        said = [field for part in message.parts for field in fields_of(part)]
        lines.append(_line(f"message {place} ({message.role})", said))
    return tuple(lines)


def where_broke(old: Sequence[str], new: Sequence[str]) -> str:
    """Which piece of the earlier prompt the later one did not repeat, in words; empty when all are repeated.

    Both hold one string per piece that begins with the piece's name and a colon, as `trail` makes them.
    """
    for place, (before, after) in enumerate(zip(old, new, strict=False)):
        if before != after:
            was, now = _name(before), _name(after)
            what = f"{now} changed" if was == now else f"{now} stands where {was} stood"
            return f"{what}, after {place} of {len(old)} pieces"
    if len(new) < len(old):
        return f"{_name(old[len(new)])} is gone, after {len(new)} of {len(old)} pieces"
    return ""


def digest(fields: Iterable[str | bytes]) -> bytes:
    """A short digest of fields; their borders count."""
    found = blake2b(digest_size=_DIGEST)
    for field in fields:
        data = field.encode("utf-8", "surrogatepass") if isinstance(field, str) else field
        found.update(b"%d:" % len(data))
        found.update(data)
    return found.digest()


def fields_of(part: Part) -> Iterable[str | bytes]:
    """All of a part that a model would read; thoughts, which clients stop sending, are nothing."""
    match part:
        case TextPart():
            return ("text", part.text)
        case ToolCall():
            return ("call", part.id, part.name, part.arguments)
        case ToolResult():
            inner = [field for each in part.parts for field in fields_of(each)]
            return ("error" if part.is_error else "result", part.call_id, *inner)
        case ImagePart():
            return ("image", part.media_type, part.data, part.address)
        case DocumentPart():
            return ("document", part.media_type, part.data, part.text, part.title)
        case OpaquePart():
            return ("other", part.kind, bytes(part.raw))
        case ThoughtPart() | SealedPart():
            return ()


def _line(name: str, fields: Iterable[str | bytes]) -> str:
    fields = tuple(fields)
    return f"{name}: {sum(map(len, fields))} {digest(fields).hex()}"


def _name(line: str) -> str:
    return line.rpartition(":")[0] or line[:60]
