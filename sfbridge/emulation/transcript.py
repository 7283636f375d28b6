"""Earlier calls and results as text, in the very form the model is asked to write.

The bytes depend on the history alone, so a turn reads the same in every later request and a provider's
prompt cache holds. A history that looks unlike the dialect makes models stop calling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from sfbridge.core.request import (
    DocumentPart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    SealedPart,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
    text_of,
)

from .dialect import Tags, reminder, tags
from .jsontext import NotJson, Refused, has_surrogate, read, write

_SHORT: Final = 80
_AWKWARD: Final = re.compile(r'[\n\r"\\]')
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_NAMEABLE: Final = re.compile(r'[^"<>\n\r]+')


class Script:
    """How calls and results are written in one conversation.

    line_params  parameters that keep the line break before their closing tag
    pointers     whether strings inside lists of objects get raw blocks of their own
    """

    __slots__ = ("_lines", "_mark", "_pointers", "_tags")

    def __init__(self, mark: str, line_params: frozenset[str], *, pointers: bool) -> None:
        self._mark = mark
        self._tags: Tags = tags(mark)
        self._lines = line_params
        self._pointers = pointers

    def call(self, name: str, arguments: str) -> str:
        """One call. Awkward and long strings go into raw blocks, everything else into spaced JSON."""
        lines = [f'{self._tags.call} name="{_attribute(name)}">']
        try:
            value = read(arguments.strip() or "{}")
        except (NotJson, Refused):
            value = None
        if isinstance(value, dict):
            raws: list[tuple[str, str]] = []
            rest = self._without_raws(value, "", raws)
            if rest or not raws:
                lines.append(self._json(write(rest, ", ", ": ")))
            lines += [self._raw(key, text) for key, text in raws]
        else:
            lines.append(self._json(arguments))  # a client's own past; nobody will run it again
        lines.append(self._tags.call_end)
        return "\n".join(lines)

    def result(self, name: str, n: int, result: ToolResult) -> str:
        """One result, its text as it is."""
        how = "error" if result.is_error else "ok"
        text = text_of(result.parts)
        body = text + "\n" if text else ""
        head = f'{self._tags.result} name="{_attribute(name)}" n="{n}" {how}>'
        return f"{head}\n{body}{self._tags.result_end}"

    def _json(self, text: str) -> str:
        """JSON in which the mark does not stand, so that it cannot look like a tag."""
        return text.replace(self._mark, f"\\u{ord(self._mark[0]):04x}{self._mark[1:]}")

    def _raw(self, name: str, text: str) -> str:
        end = "" if name.rpartition("/")[2] in self._lines else "\n"
        return f'{self._tags.raw} name="{name}">\n{text}{end}{self._tags.raw_end}'

    def _without_raws(self, value: Any, path: str, raws: list[tuple[str, str]]) -> Any:
        """The value without the strings that leave it for raw blocks."""
        match value:
            case dict():
                kept: dict[str, Any] = {}
                for key, item in value.items():
                    name = f"{path}/{_step(key)}" if path else key
                    if isinstance(item, str) and self._goes_raw(key, name, item, nested=bool(path)):
                        raws.append((name, item))
                    elif self._pointers and isinstance(item, dict | list):
                        kept[key] = self._without_raws(item, f"{path}/{_step(key)}", raws)
                    else:
                        kept[key] = item
                return kept
            case list():
                return [
                    self._without_raws(item, f"{path}/{index}", raws)
                    for index, item in enumerate(value)
                ]
            case _:
                return value

    def _goes_raw(self, key: str, name: str, text: str, *, nested: bool) -> bool:
        if not (len(text) > _SHORT or _AWKWARD.search(text)):
            return False
        if not nested and key.startswith("/"):
            return False
        return (
            _NAMEABLE.fullmatch(name) is not None
            and bool(key)
            and self._mark not in name
            and self._mark not in text
            and not _UNPRINTABLE.search(text)
            and not has_surrogate(text)
            and not has_surrogate(name)
        )


def render(
    messages: Iterable[Message], script: Script, mark: str, *, remind: bool
) -> list[Message]:
    """The messages with calls and results as text. Thoughts are not replayed."""
    out: list[Message] = []
    calls: dict[str, tuple[str, int]] = {}
    gap = False  # a turn of thoughts alone was left out
    for message in messages:
        match message.role:
            case "assistant":
                message = Message("assistant", _spoken(message.parts, script, calls))
            case "user" if any(isinstance(part, ToolResult) for part in message.parts):
                message = Message("user", _answered(message.parts, script, calls, mark, remind))
            case _:
                pass
        if not message.parts:
            gap = True
            continue
        if gap and out and out[-1].role == message.role == "user":
            out[-1] = Message("user", (*out[-1].parts, *_set_off(message.parts)))
        else:
            out.append(message)
        gap = False
    return out


def _spoken(
    parts: tuple[Part, ...], script: Script, calls: dict[str, tuple[str, int]]
) -> tuple[Part, ...]:
    """An assistant's turn: its words and its calls, in their order."""
    out: list[Part] = []
    texts: list[str] = []
    n = 0
    for part in parts:
        match part:
            case TextPart():
                if part.text.strip():
                    texts.append(part.text.strip("\n"))
            case ToolCall():
                n += 1
                calls[part.id] = (part.name, n)
                texts.append(script.call(part.name, part.arguments))
            case ThoughtPart() | SealedPart():
                pass
            case _:
                out.append(part)
    return (TextPart("\n".join(texts)), *out) if texts else tuple(out)


def _answered(
    parts: tuple[Part, ...],
    script: Script,
    calls: dict[str, tuple[str, int]],
    mark: str,
    remind: bool,
) -> tuple[Part, ...]:
    """A user's turn with results: the results in call order, what else they held, the user's own words."""
    blocks: list[tuple[int, str]] = []
    attached: list[Part] = []
    others: list[Part] = []
    for part in parts:
        if not isinstance(part, ToolResult):
            others.append(part)
            continue
        name, n = calls.get(part.call_id, ("", 0))
        if n:
            blocks.append((n, script.result(name, n, part)))
            source = f"{name} (call {n})"
        else:
            blocks.append(
                (1 << 30, f"Result of a call that is not shown here:\n{text_of(part.parts)}")
            )
            source = "a call that is not shown here"
        for inner in part.parts:
            if isinstance(inner, ImagePart | OpaquePart) or (
                isinstance(inner, DocumentPart) and not inner.text
            ):
                what = "Document" if isinstance(inner, DocumentPart) else "Image"
                attached += [TextPart(f"{what} from {source}:"), inner]
    blocks.sort(key=lambda block: block[0])
    found: list[Part] = [TextPart("\n".join(text for _, text in blocks)), *attached, *others]
    if remind:
        found.append(TextPart(reminder(mark)))
    return tuple(_glued(found))


def _glued(parts: Iterable[Part]) -> list[Part]:
    """Neighbouring texts as one, with a blank line between them."""
    out: list[Part] = []
    for part in parts:
        if isinstance(part, TextPart):
            if not part.text:
                continue
            last = out[-1] if out else None
            if isinstance(last, TextPart):
                out[-1] = TextPart(f"{last.text}\n\n{part.text}", last.cache or part.cache)
                continue
        out.append(part)
    return out


def _set_off(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Parts that follow others in one turn, a blank line before their text."""
    first = parts[0]
    if isinstance(first, TextPart):
        return (TextPart(f"\n\n{first.text}", first.cache), *parts[1:])
    return parts


def _step(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _attribute(name: str) -> str:
    return re.sub(r'["<>\s]', "_", name)
