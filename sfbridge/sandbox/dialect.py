"""Tool calls as text, for surfaces without tools: the model reads the form out of the prompt and uses it.

A prompt teaches the form with an example tag `<tool_call MARK name="...">` and a `<tools>` block of one JSON
object per line. Nothing is known beforehand: neither the mark, nor whether there is one.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from .conversation import (
    Call,
    Choice,
    Conversation,
    Made,
    Offered,
    Result,
    Said,
    Turn,
    place_of_ask,
    with_choice,
)

_LINE_PARAMETERS: Final = frozenset(("content", "contents", "file_text", "diff", "patch"))
_MOST_IN_JSON: Final = 80

ChoiceLine = tuple[Choice, str, bool]

_EXAMPLE: Final = re.compile(r"<tool_call(?:[ \t]+([A-Za-z][A-Za-z0-9]{2,15}))?[ \t]+name=")
_NAME: Final = re.compile(r"name=[\"']([^\"'\n]*)[\"']")
# The last lines of a user turn that tell whether calls are wanted.
_NONE: Final = re.compile(r"\bwithout (?:any )?(?:tool )?calls?\b", re.IGNORECASE)
_ONE: Final = re.compile(r"\bone call at most\b|\bat most one call\b", re.IGNORECASE)
_MUST: Final = re.compile(
    r"\b(?:needs|must (?:make|contain)) (?:a|exactly one|at least one) (?:tool )?call\b",
    re.IGNORECASE,
)
# What is said of earlier calls where no tools are on offer any more.
_PAST: Final = re.compile(r"\btags marked ([A-Za-z][A-Za-z0-9]{2,15})\b", re.IGNORECASE)
_AUTO: Final[ChoiceLine] = ("auto", "", True)


class Taught(NamedTuple):
    """What a prompt teaches: the mark (may be empty) and the tools."""

    mark: str
    tools: tuple[Offered, ...]


class _Listed(msgspec.Struct, frozen=True):
    name: str
    description: str = ""
    parameters: dict[str, object] = {}


_listed = msgspec.json.Decoder(_Listed)


def taught(text: str) -> Taught | None:
    """The dialect that a prompt teaches; None when it teaches none."""
    end = text.rfind("\n</tools>")
    while end >= 0 and (start := text.rfind("<tools>\n", 0, end)) >= 0:
        examples = _EXAMPLE.findall(text[:start])
        if examples and (tools := _tools(text[start:end].split("\n")[1:])):
            return Taught(examples[-1], tools)
        end = text.rfind("\n</tools>", 0, start)
    past = _PAST.search(text)
    return Taught(past.group(1), ()) if past else None


def understood(conversation: Conversation) -> Conversation:
    """The conversation with tools, calls and results read out of its texts, where they are taught there."""
    if conversation.tools:
        return conversation
    lesson = taught("\n".join(said.text for said in conversation.said if said.role == "system"))
    if lesson is None:
        return conversation
    read = [_read(turn, lesson) for turn in conversation.said]
    found = replace(
        conversation,
        said=tuple(said for said, _ in read),
        tools=lesson.tools,
        mark=lesson.mark,
    )
    # a correction stands after the turn with the line, so the last line of all counts
    lines = [line for _, line in read[place_of_ask(found.said) :] if line != _AUTO]
    return with_choice(found, lines[-1]) if lines else found


def rendered(turn: Turn, mark: str) -> str:
    """A turn as text: prose, then calls."""
    parts = [turn.text] if turn.text else []
    return "\n".join([*parts, *(_call(call, mark) for call in turn.calls)])


def _call(call: Call, mark: str) -> str:
    tag = f" {mark}" if mark else ""
    short = call.arguments
    raw: list[str] = []
    if isinstance(call.arguments, dict):
        short = {k: v for k, v in call.arguments.items() if not _goes_raw(v)}
        raw = [_raw(k, v, tag) for k, v in call.arguments.items() if _goes_raw(v)]
    body = msgspec.json.encode(short).decode()
    return "\n".join([f'<tool_call{tag} name="{call.name}">', body, *raw, f"</tool_call{tag}>"])


def _goes_raw(value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    return len(value) > _MOST_IN_JSON or any(mark in value for mark in '\n"\\')


def _raw(name: str, value: str, tag: str) -> str:
    """A string outside the JSON: lines end as they are, other values get a line break before the closer."""
    framing = "" if name in _LINE_PARAMETERS else "\n"
    return f'<raw{tag} name="{name}">\n{value}{framing}</raw{tag}>'


def _tools(lines: list[str]) -> tuple[Offered, ...]:
    found = []
    for line in lines:
        try:
            tool = _listed.decode(line)
        except msgspec.MsgspecError:
            return ()
        found.append(Offered(tool.name, tool.description, dict(tool.parameters)))
    return tuple(found)


def _read(turn: Said, lesson: Taught) -> tuple[Said, ChoiceLine]:
    tag = rf"[ \t]+{re.escape(lesson.mark)}" if lesson.mark else ""
    if turn.role == "assistant":
        opener = re.compile(rf"<tool_call{tag}[ \t]+name=[\"'][^\"'\n]*[\"']")
        hits = [_NAME.search(hit) for hit in opener.findall(turn.text)]
        names = [hit.group(1) for hit in hits if hit]
        prose = opener.split(turn.text, maxsplit=1)[0].strip()
        return replace(turn, text=prose, calls=tuple(Made(name) for name in names)), _AUTO
    if turn.role != "user":
        return turn, _AUTO
    results = re.compile(
        rf"<tool_result{tag}\b([^>\n]*)>\n?(.*?)\n?</tool_result{tag}[ \t]*>", re.DOTALL
    )
    found = tuple(_result(head, body) for head, body in results.findall(turn.text))
    words, line = _choice(results.sub("", turn.text).strip(), lesson.tools)
    rest = [text for text in words.split("\n") if not re.search(rf"<tool_call{tag}[ \t/>]", text)]
    return replace(turn, text="\n".join(rest).strip(), results=found), line


def _result(head: str, body: str) -> Result:
    name = _NAME.search(head)
    return Result(
        name.group(1) if name else "", body, bool(re.search(r"\berror\b", _NAME.sub("", head)))
    )


def _choice(text: str, tools: tuple[Offered, ...]) -> tuple[str, ChoiceLine]:
    """The words without a last line about calls, and what that line says."""
    rest, _, line = text.rpartition("\n")
    parallel = not _ONE.search(line)
    if _NONE.search(line):
        return rest.strip(), ("none", "", parallel)
    if _MUST.search(line):
        name = _NAME.search(line)
        if name and any(tool.name == name.group(1) for tool in tools):
            return rest.strip(), ("named", name.group(1), parallel)
        return rest.strip(), ("required", "", parallel)
    return (text, _AUTO) if parallel else (rest.strip(), ("auto", "", False))
