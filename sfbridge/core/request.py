"""The neutral request: what any client may ask, in no vendor's words.

Everything is frozen, so that a policy changes a request by copying it (`msgspec.structs.replace`).
Tool results are parts of a user message, the richer of the two vendors' habits, so block order survives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from msgspec import Raw, Struct, field

Role = Literal["user", "assistant", "system"]
ChoiceMode = Literal["auto", "none", "required", "named"]
ShapeKind = Literal["text", "json", "schema"]


class TextPart(Struct, frozen=True, gc=False):
    """Plain text. `cache` keeps a client's cache mark for upstreams of the same dialect."""

    text: str
    cache: bool = False


class ImagePart(Struct, frozen=True, kw_only=True, gc=False):
    """A picture: base64 `data` or an `address`, never both; `path` is its place in the client's words."""

    media_type: str = ""
    data: str = ""
    address: str = ""
    path: str = ""


class DocumentPart(Struct, frozen=True, kw_only=True, gc=False):
    """A document (PDF, plain text): base64 `data`, or `text` when it is readable as it is."""

    media_type: str = ""
    data: str = ""
    text: str = ""
    title: str = ""
    path: str = ""


class ThoughtPart(Struct, frozen=True, gc=False):
    """Visible reasoning. The signature belongs to the upstream that issued it and to no other."""

    text: str
    signature: str = ""


class SealedPart(Struct, frozen=True, gc=False):
    """Reasoning that only its issuer can read (Anthropic's `redacted_thinking`)."""

    data: str


class ToolCall(Struct, frozen=True, gc=False):
    """A call the model made. `arguments` is the JSON text of one object, byte-exact."""

    id: str
    name: str
    arguments: str


class ToolResult(Struct, frozen=True):
    """What a tool answered to the call `call_id`."""

    call_id: str
    parts: tuple[Part, ...] = ()
    is_error: bool = False


class OpaquePart(Struct, frozen=True, kw_only=True):
    """A block we do not understand, kept for an upstream of the same dialect, refused by name elsewhere."""

    dialect: str
    kind: str
    raw: Raw
    path: str = ""


Part = (
    TextPart
    | ImagePart
    | DocumentPart
    | ThoughtPart
    | SealedPart
    | ToolCall
    | ToolResult
    | OpaquePart
)


class Message(Struct, frozen=True):
    """One turn. A `system` message here stands where the client put it, in mid-conversation."""

    role: Role
    parts: tuple[Part, ...]


class Tool(Struct, frozen=True, kw_only=True):
    """A tool the client offers. `schema` is the JSON Schema of its arguments, as the client wrote it."""

    name: str
    description: str = ""
    schema: Raw = field(default_factory=lambda: Raw(b'{"type":"object"}'))
    strict: bool = False


class ToolChoice(Struct, frozen=True, gc=False):
    """Whether the model may, must or must not call; `name` goes with `named`; `parallel` False means one call."""

    mode: ChoiceMode = "auto"
    name: str = ""
    parallel: bool = True


class Sampling(Struct, frozen=True, kw_only=True, gc=False):
    """Tuning knobs. None means that the client did not say, which differs from any value."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


class Thinking(Struct, frozen=True, gc=False):
    """How much to think: a token `budget`, or an `effort` word, or neither (the model decides)."""

    budget: int | None = None
    effort: str = ""


class Shape(Struct, frozen=True):
    """The form of the answer: free text, any JSON object, or JSON that fits `schema`."""

    kind: ShapeKind = "text"
    schema: Raw | None = None
    name: str = ""


class Caller(Struct, frozen=True, kw_only=True, gc=False):
    """All that policies may know about who asks. `conversation` is a client's own session id, if it sent one;
    `hides_tool_events` asks not to be shown the tools that an upstream runs by itself."""

    key_id: str = ""
    client: str = ""
    conversation: str = ""
    user: str = ""
    hides_tool_events: bool = False


class ChatRequest(Struct, frozen=True, kw_only=True):
    """One request for one answer.

    `truncate` lets whoever answers cut the history to the model's window.
    `words` gives the client's own name of a knob where it differs from ours
    (`{"max_output": "max_completion_tokens"}`), so that reports speak the client's language.
    `extras` holds unknown top-level fields as raw JSON; `dialect` is the protocol that they belong to.
    """

    model: str
    messages: tuple[Message, ...]
    system: tuple[TextPart, ...] = ()
    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice()
    sampling: Sampling = Sampling()
    max_output: int | None = None
    stop: tuple[str, ...] = ()
    thinking: Thinking | None = None
    shape: Shape = Shape()
    truncate: bool = False
    stream: bool = False
    caller: Caller = Caller()
    words: dict[str, str] = {}
    extras: dict[str, Raw] = {}
    dialect: str = ""


def text_of(parts: tuple[Any, ...]) -> str:
    """The plain text of parts, tool results included, each on lines of its own."""
    return lines_of(_texts(parts))


def lines_of(texts: Iterable[str], gap: str = "\n") -> str:
    """Texts one after the other, with a gap between two neighbours that bring no line break themselves."""
    out: list[str] = []
    for text in texts:
        if out and not out[-1].endswith("\n") and not text.startswith("\n"):
            out.append(gap)
        out.append(text)
    return "".join(out)


def _texts(parts: tuple[Any, ...]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, TextPart) or (isinstance(part, DocumentPart) and part.text):
            yield part.text
        elif isinstance(part, ToolResult):
            yield text_of(part.parts)
