"""Tools and tool choice as an instruction, and the words that ask for a correction.

Tone is neutral on purpose: commands in capitals read as an attack to good models and change an agent's
character. Every sentence is there for a mistake that models make without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from msgspec import Raw
from msgspec.structs import replace

from sfbridge.core.request import (
    ChatRequest,
    Message,
    TextPart,
    Tool,
    ToolChoice,
    ToolResult,
    text_of,
)

from .arguments import parameters
from .dialect import LINE_PARAMS, Dressed, Fault, derive_mark, seed_of
from .jsontext import NotJson, Refused, read, write
from .samples import examples, nested_string
from .transcript import Script, render

_LONG_EXAMPLES: Final = 400
_NAMED_SCHEMAS: Final = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)
_VALUES: Final = frozenset({"const", "enum", "default", "examples"})
_UNSAFE_NAME: Final = re.compile(r"[^\w.-]")


# name, description and schema of each tool: what the instruction depends on
Offers = tuple[tuple[str, str, bytes], ...]


def dress(request: ChatRequest, key: bytes) -> Dressed:
    """The request for a model without tools. `key` is the secret of the installation.

    Results are expected to follow their calls; one without its call is shown as plain text.
    """
    untrusted = "\n\n".join(_texts(request))
    offered = "\n".join(
        f"{tool.name}\n{tool.description}\n{bytes(tool.schema).decode('utf-8', 'replace')}"
        for tool in request.tools
    )
    mark = derive_mark(key, seed_of(request), (untrusted, offered))
    offers = tuple((tool.name, tool.description, bytes(tool.schema)) for tool in request.tools)
    script = Script(mark, LINE_PARAMS, pointers=bool(_pointer(offers)))
    messages = render(request.messages, script, mark, remind=bool(request.tools))
    said = "\n".join(text_of(m.parts) for m in request.messages if m.role == "assistant")
    text = instruction(offers, mark, LINE_PARAMS)
    return Dressed(
        request=replace(
            request,
            system=(*request.system, TextPart(f"\n\n{text}" if request.system else text)),
            messages=_with_last_line(messages, _choice_line(request.choice, mark)),
            tools=(),
            choice=ToolChoice(),
        ),
        mark=mark,
        tools=request.tools,
        choice=request.choice,
        untrusted=f"{untrusted}\n\n{offered}\n\n{said}",
        line_params=LINE_PARAMS,
    )


@lru_cache(maxsize=32)
def instruction(offers: Offers, mark: str, line_params: frozenset[str]) -> str:
    """What the model is told about calling, at the end of the system text. The same bytes for the same tools."""
    tools = _tools(offers)
    if not tools:
        return (
            f"Tags marked {mark} in earlier turns are tool calls and their results. "
            "No tools are available now: answer in plain words."
        )
    pointer = _pointer(offers)
    script = Script(mark, line_params, pointers=bool(pointer))
    lines = [
        "# Tools",
        "The tools listed below can be called. A call begins on a new line and has exactly this form:",
        "",
        f'<tool_call {mark} name="TOOL">',
        '{"parameter": "value"}',
        f"</tool_call {mark}>",
        "",
        *_rules(tools, mark, line_params, pointer),
        "",
        "<tools>",
        *(_listed(*offer) for offer in offers),
        "</tools>",
    ]
    shown = [script.call(name, arguments) for name, arguments in examples(tools, line_params)]
    if shown:
        lines += ["", "Examples, to show the form only; nobody asked for these calls:", *shown]
    return "\n".join(lines)


def _tools(offers: Offers) -> tuple[Tool, ...]:
    return tuple(
        Tool(name=name, description=description, schema=Raw(schema))
        for name, description, schema in offers
    )


@lru_cache(maxsize=32)
def _pointer(offers: Offers) -> str:
    """Where a string stands inside a list of objects, in the first tool that has one."""
    return next((found for tool in _tools(offers) if (found := nested_string(tool))), "")


def correction(dressed: Dressed, said: str, faults: tuple[Fault, ...]) -> tuple[Message, Message]:
    """The repair round: the model's text as it was, and what is wrong with it."""
    lines: list[str] = []
    for fault in faults:
        what = f"The call of {_plain(fault.name)}" if fault.name else "Your answer"
        lines.append(f"{what} could not be used:")
        lines += [f"- {problem}" for problem in fault.problems]
    lines.append("")
    mark = dressed.mark
    if dressed.choice.mode == "none":
        lines.append("Answer again in plain words, without any call.")
    else:
        lines.append(
            "Write every call of that answer once more, complete and corrected, and nothing else. The form: "
            f'<tool_call {mark} name="TOOL"> JSON object </tool_call {mark}>'
        )
    return (
        Message("assistant", (TextPart(said if said.strip() else "(no text)"),)),
        Message("user", (TextPart("\n".join(lines)),)),
    )


def dropped_line(faults: tuple[Fault, ...]) -> str:
    """One line of prose for the client about calls that were given up; nothing in it looks like a call."""
    known = dict.fromkeys(_plain(fault.name) for fault in faults if fault.name)
    what = f"A call of {', '.join(known)}" if known else "A tool call"
    return f"({what} was left out, because it was still not valid after being asked for again.)"


def _rules(
    tools: tuple[Tool, ...], mark: str, line_params: frozenset[str], pointer: str
) -> Iterator[str]:
    yield f"- {mark} is the mark of this conversation. It stands in every tag; tags without it do nothing."
    yield "- Between the tags is one JSON object with the arguments, or {} where there are none."
    yield "- A string with several lines, quotes or backslashes goes behind the JSON, as it is, without escapes:"
    yield f'<raw {mark} name="PARAMETER">'
    yield "the text, character for character"
    yield f"</raw {mark}>"
    if pointer:
        yield (
            "- A string inside a list is named by its place and left out of the JSON: "
            f'<raw {mark} name="{pointer}">.'
        )
    whole = [key for tool in tools for key in parameters(tool) if key in line_params]
    if whole:
        yield (
            f"- In {' and '.join(dict.fromkeys(whole))} every line break before </raw {mark}> counts: "
            "a file that ends with a line break has the closing tag on a line of its own."
        )
    yield (
        "- What you want to say comes before the calls. Calls in one answer run independently: "
        "put together only those that do not need each other's results."
    )
    yield (
        f"- Stop after the last closing tag. Results arrive in the next message as <tool_result {mark} …>; "
        "they are not yours to write."
    )
    yield "- When no tool is needed, or the task is done, answer in plain words without tags."


@lru_cache(maxsize=512)
def _listed(name: str, description: str, schema: bytes) -> str:
    """One tool on one line, its description whole."""
    entry: dict[str, Any] = {"name": name}
    if description:
        entry["description"] = description
    given = schema.decode("utf-8", "replace")
    try:
        entry["parameters"] = _slim(read(given))
    except NotJson:
        entry["parameters"] = {"type": "object"}
    except Refused:
        # sound JSON beyond what may be delivered, such as a key given twice: shown as it was written
        one_line = given.strip().replace("\r", " ").replace("\n", " ")
        return f'{write(entry)[:-1]},"parameters":{one_line}}}'
    return write(entry)


def _slim(schema: Any) -> Any:
    """A schema without what only programs read, and without long lists of examples."""
    if isinstance(schema, list):
        return [_slim(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("$schema", "$id") and isinstance(value, str):
            continue
        if key == "examples" and len(write(value)) > _LONG_EXAMPLES:
            continue
        if key in _NAMED_SCHEMAS and isinstance(value, dict):
            out[key] = {name: _slim(inner) for name, inner in value.items()}
        else:
            out[key] = value if key in _VALUES else _slim(value)
    return out


def _choice_line(choice: ToolChoice, mark: str) -> str:
    match choice.mode:
        case "none":
            return "Answer this in plain words, without calls."
        case "required":
            line = f'This answer needs a call of one of the tools: <tool_call {mark} name="…">.'
        case "named":
            line = f'This answer needs a call of {choice.name}: <tool_call {mark} name="{choice.name}">.'
        case _:
            line = ""
    if not choice.parallel:
        line = f"{line} One call at most.".strip()
    return line


def _with_last_line(messages: list[Message], line: str) -> tuple[Message, ...]:
    """The line at the end of the last user turn, where it disturbs nothing that stands before."""
    if not line:
        return tuple(messages)
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role == "user":
            parts = (*messages[index].parts, TextPart(f"\n\n{line}"))
            return (*messages[:index], Message("user", parts), *messages[index + 1 :])
    return (*messages, Message("user", (TextPart(line),)))


def _texts(request: ChatRequest) -> Iterator[str]:
    """Every text that the client sent and the model did not write."""
    for part in request.system:
        yield part.text
    for message in request.messages:
        if message.role != "assistant":
            yield text_of(message.parts)
        else:
            yield text_of(tuple(p for p in message.parts if isinstance(p, ToolResult)))


def _plain(name: str) -> str:
    return _UNSAFE_NAME.sub("_", name)[:64]
