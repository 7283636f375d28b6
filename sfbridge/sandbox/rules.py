"""What the sandbox model says when no scenario speaks for it. The first rule that applies answers.

1. A call is demanded (tool choice): call the demanded tool, arguments filled from the prompt.
2. A calculator is offered and the user asks for arithmetic: call it with the expression.
3. "Use/call/run/invoke [the tool] X" and X is offered: call X; "… X and Y" calls both at once.
4. The tool `format_final_json_response` is offered: call it with an object that fits its schema.
5. JSON is asked for, by a schema in the prompt or in words: an object that fits.
6. Tools have answered since the user asked: say what they answered.
7. "Say hello": hello. Anything else: `Echo:` and the user's words, at most 2,000 characters.

Rules 2 and 3 need that no tool has answered since the user asked, so a result ends the calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from .conversation import Ask, Call, Conversation, Offered, Schema, Turn, ask_of
from .samples import expression_in, first_string, fitting

HELLO: Final = "Hello! This is the sandbox org speaking."
_FINAL_TOOL: Final = "format_final_json_response"
_MOST_ECHOED: Final = 2000
_MOST_OBJECTS: Final = 50
_MOST_READ: Final = 10_000
_FENCED: Final = re.compile(
    r"^[ \t]*```(?:json)?[ \t]*\n(.*?)\n[ \t]*```", re.DOTALL | re.MULTILINE
)
_OBJECT: Final = re.compile(r"^\{", re.MULTILINE)
_JSON_ASKED: Final = re.compile(
    r"\b(?:answer|reply|respond|output|return|give)\b[^\n]{0,80}\bJSON\b", re.IGNORECASE
)
_KEY: Final = re.compile(r"\b(?:key|field|property|attribute)\s+[\"'`]?(\w+)", re.IGNORECASE)
_json_here: Final[Callable[[str, int], tuple[Any, int]]] = json.JSONDecoder().raw_decode
_TYPES: Final = frozenset(("object", "array", "string", "number", "integer", "boolean", "null"))
_HELLO_ASKED: Final = re.compile(r"\bsay\s+hello\b", re.IGNORECASE)
_AIM: Final = r"\b(?:call|use|invoke|run)\s+(?:(?:the|a|an|your|tools?|functions?)\s+)*[\"'`]?"
_ALSO: Final = r"[\"'`]?(?:\s+tools?)?(?:\s*,|\s+and)\s+(?:the\s+)?[\"'`]?"


def decide(conversation: Conversation) -> Turn:
    """The next turn by the rules above."""
    ask = ask_of(conversation)
    words = words_of(ask.text)
    for rule in _RULES:
        turn = rule(conversation, ask, words)
        if turn is not None:
            return turn
    return Turn(HELLO if _HELLO_ASKED.search(words) else f"Echo: {ask.text[:_MOST_ECHOED]}")


def words_of(text: str) -> str:
    """A user's prose, without code blocks and JSON objects on lines of their own; of long prose both ends."""
    text = _FENCED.sub(" ", text)
    for start, end, _ in reversed(_objects(text)):
        text = f"{text[:start]} {text[end:]}"
    text = text.strip()
    return text if len(text) <= 2 * _MOST_READ else f"{text[:_MOST_READ]}\n{text[-_MOST_READ:]}"


def call_of(tool: Offered, words: str) -> Call:
    """A call of `tool` for what `words` ask; the point of the call goes into its main string."""
    arguments = fitting({**tool.schema, "type": "object"}, words)
    main = first_string(tool.schema)
    if main and is_calculator(tool) and (expression := expression_in(words)):
        arguments[main] = expression
    return Call(tool.name, arguments)


def is_calculator(tool: Offered) -> bool:
    told = f"{tool.name} {tool.description}".lower()
    return ("calculat" in told or "arithmetic" in told) and bool(first_string(tool.schema))


def _demanded(conversation: Conversation, _: Ask, words: str) -> Turn | None:
    tools = conversation.tools
    if not tools or conversation.choice not in ("required", "named"):
        return None
    if conversation.choice == "named":
        tools = tuple(tool for tool in tools if tool.name == conversation.named) or tools
    wanted = [tool for tool in tools if is_calculator(tool) and expression_in(words)]
    wanted += _aimed_at(tools, words)
    return Turn(calls=(call_of((wanted or tools)[0], words),))


def _calculation(conversation: Conversation, ask: Ask, words: str) -> Turn | None:
    if conversation.choice == "none" or ask.results:
        return None
    tool = next((tool for tool in conversation.tools if is_calculator(tool)), None)
    if tool is None or not (expression_in(words) or _aimed_at((tool,), words)):
        return None
    return Turn(calls=(call_of(tool, words),))


def _named_tools(conversation: Conversation, ask: Ask, words: str) -> Turn | None:
    if conversation.choice == "none" or ask.results:
        return None
    tools = _aimed_at(conversation.tools, words)
    if not tools:
        return None
    if not conversation.parallel:
        tools = tools[:1]
    return Turn(calls=tuple(call_of(tool, words) for tool in tools))


def _aimed_at(tools: tuple[Offered, ...], words: str) -> list[Offered]:
    """The tools that the words say to call, in the order in which they name them."""
    if not tools:
        return []
    named = {tool.name.lower(): tool for tool in tools}
    one = "|".join(re.escape(name) for name in sorted(named, key=len, reverse=True))
    aim = re.compile(f"{_AIM}(?:{one})\\b(?:{_ALSO}(?:{one})\\b)*", re.IGNORECASE)
    found: list[Offered] = []
    for hit in aim.finditer(words):
        span = re.sub(f"^{_AIM}", "", hit.group(0), flags=re.IGNORECASE)
        found += [
            named[name.lower()] for name in re.findall(f"\\b(?:{one})\\b", span, re.IGNORECASE)
        ]
    return [tool for place, tool in enumerate(found) if tool not in found[:place]]


def _final_form(conversation: Conversation, ask: Ask, words: str) -> Turn | None:
    tool = next((tool for tool in conversation.tools if tool.name == _FINAL_TOOL), None)
    done = any(result.name == _FINAL_TOOL and not result.failed for result in ask.results)
    if tool is None or done or conversation.choice == "none":
        return None
    return Turn(calls=(Call(tool.name, fitting(tool.schema, _known(ask, words))),))


def _json(conversation: Conversation, ask: Ask, words: str) -> Turn | None:
    schema = conversation.schema or _schema_in(conversation, ask)
    if schema is None and _json_is_asked(conversation, words):
        keys = [key for key in _KEY.findall(words) if key.lower() not in ("with", "value", "of")]
        key = keys[0] if keys else "answer"
        schema = {"type": "object", "properties": {key: {"type": "string"}}}
    if schema is None:
        return None
    return Turn(msgspec.json.encode(fitting(schema, _known(ask, words))).decode())


def _known(ask: Ask, words: str) -> str:
    """What tools answered, newest first, before the words of the user."""
    return "\n".join([*(result.text for result in reversed(ask.results)), words])


def _json_is_asked(conversation: Conversation, words: str) -> bool:
    """In the user's words; in the system's only without tools, as agents' prompts speak of JSON at length."""
    if _JSON_ASKED.search(words):
        return True
    system = "\n".join(said.text for said in conversation.said if said.role == "system")
    return not conversation.tools and bool(_JSON_ASKED.search(system))


def _schema_in(conversation: Conversation, ask: Ask) -> Schema | None:
    """The last schema of the user's request, else of the system text."""
    system = [said.text for said in conversation.said if said.role == "system"]
    for text in (ask.text, *reversed(system)):
        schemas: list[Schema] = [value for _, _, value in _objects(text) if _is_schema(value)]
        if schemas:
            return schemas[-1]
    return None


def _objects(text: str) -> list[tuple[int, int, dict[str, Any]]]:
    """The JSON objects that begin a line, with their places; the last ones of many."""
    found: list[tuple[int, int, dict[str, Any]]] = []
    for opener in list(_OBJECT.finditer(text))[-_MOST_OBJECTS:]:
        if found and opener.start() < found[-1][1]:
            continue
        try:
            value, end = _json_here(text, opener.start())
        except (json.JSONDecodeError, RecursionError):
            continue
        found.append((opener.start(), end, value))
    return found


def _is_schema(found: dict[str, Any]) -> bool:
    if "parameters" in found:  # a tool
        return False
    shaped = isinstance(found.get("properties"), dict) or "$ref" in found or "anyOf" in found
    return shaped or found.get("type") in _TYPES


def _report(conversation: Conversation, ask: Ask, _: str) -> Turn | None:
    if not ask.results:
        return None
    calculators = {tool.name for tool in conversation.tools if is_calculator(tool)}
    lines = []
    for result in ask.results:
        told = result.text.strip()[:_MOST_ECHOED] or "nothing"
        if result.failed:
            lines.append(f"Tool {result.name} failed: {told}")
        elif result.name in calculators:
            lines.append(f"The result is {told}.")
        else:
            lines.append(f"Tool {result.name} answered: {told}")
    return Turn("\n".join(lines))


_RULES: Final[tuple[Callable[[Conversation, Ask, str], Turn | None], ...]] = (
    _demanded,
    _calculation,
    _named_tools,
    _final_form,
    _json,
    _report,
)
