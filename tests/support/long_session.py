"""A long session as Claude Code sends it: the whole history each turn, cache marks that move, a first
system line that changes, reminders behind results, thoughts, parallel calls."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from sfbridge.core.request import (
    ChatRequest,
    Message,
    Part,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
    text_of,
)
from sfbridge.wire.anthropic import anthropic

SESSION = "11111111-2222-3333-4444-555555555555"
NAMES = ("Read", "Bash", "Grep", "Edit", "Glob", "WebFetch", "TodoWrite", "Task")
_WORDS = ("def", "value", "return", "import", "self", "path", "result", "# note", "if", "else:")
_ephemeral = {"type": "ephemeral"}


class LongSession:
    """Call `grow` for each turn and `body` or `request` for what the client sends then.

    tools   bytes of the tool list, about
    system  characters of the system prompt
    """

    def __init__(self, seed: int, *, tools: int = 20_000, system: int = 8_000) -> None:
        self.random = Random(seed)
        self.turns = 0
        self._tools = self._offers(tools)
        self._system = self.prose(system)
        self._messages: list[dict[str, Any]] = [
            {
                "role": "user",
                "content": [
                    {
                        "type": "text",
                        "text": "<system-reminder>\nA small library.\n</system-reminder>",
                    },
                    {"type": "text", "text": "Make every test in tests/ pass, then tidy the API."},
                ],
            },
            {"role": "system", "content": [{"type": "text", "text": "# Environment\nlinux"}]},
        ]

    def prose(self, characters: int) -> str:
        words: list[str] = []
        length = 0
        while length < characters:
            word = self.random.choice(_WORDS) + self.random.choice((" ", " ", " ", "\n"))
            words.append(word)
            length += len(word)
        return "".join(words)[:characters].rstrip() + "."

    def grow(self) -> None:
        """The model says something and calls one or two tools; their results of 1 to 30 kB come back."""
        self.turns += 1
        said: list[dict[str, Any]] = []
        if self.turns % 3 == 0:
            said.append({"type": "thinking", "thinking": self.prose(300), "signature": "c2ln"})
        if self.random.random() < 0.6:
            said.append({"type": "text", "text": self.prose(self.random.randrange(40, 900))})
        results: list[dict[str, Any]] = []
        for number in range(2 if self.turns % 5 == 0 else 1):
            call_id = f"toolu_{self.turns:03}{number}"
            name = self.random.choice(NAMES)
            arguments = {"file_path": f"/src/module_{self.turns}.py", "note": self.prose(60)}
            said.append({"type": "tool_use", "id": call_id, "name": name, "input": arguments})
            size = int(10 ** self.random.uniform(3, 4.48))
            results.append(
                {
                    "type": "tool_result",
                    "tool_use_id": call_id,
                    "content": [{"type": "text", "text": self.prose(size)}],
                    **({"is_error": True} if self.random.random() < 0.1 else {}),
                }
            )
        if self.turns % 7 == 0:
            results.append(
                {"type": "text", "text": "<system-reminder>\nUse the list.\n</system-reminder>"}
            )
        if self.turns % 11 == 0:
            results.append({"type": "text", "text": f"Now part {self.turns}: {self.prose(120)}"})
        self._messages += [
            {"role": "assistant", "content": said},
            {"role": "user", "content": results},
        ]

    def body(self) -> bytes:
        """The request of this turn."""
        messages = json.loads(json.dumps(self._messages))
        for message in messages[-2:]:
            message["content"][-1]["cache_control"] = _ephemeral
        attribution = f"x-anthropic-billing-header: cc_version=2.1.329.{self.turns:03x}; cch={self.turns * 7919:05x};"
        return json.dumps(
            {
                "model": "claude-sonnet-4-6",
                "max_tokens": 32_000,
                "stream": True,
                "system": [
                    {"type": "text", "text": attribution},
                    {"type": "text", "text": "You are Claude Code.", "cache_control": _ephemeral},
                    {"type": "text", "text": self._system, "cache_control": _ephemeral},
                ],
                "tools": self._tools,
                "messages": messages,
                "metadata": {"user_id": json.dumps({"session_id": SESSION})},
            }
        ).encode()

    def request(self) -> ChatRequest:
        """The same as the front door reads it."""
        headers = {"x-claude-code-session-id": SESSION}
        return anthropic.decode(self.body(), headers).request

    def _offers(self, size: int) -> list[dict[str, Any]]:
        each = max(0, size // len(NAMES) - 250)
        return [
            {
                "name": name,
                "description": self.prose(each),
                "input_schema": {
                    "type": "object",
                    "properties": {"file_path": {"type": "string"}, "note": {"type": "string"}},
                    "required": ["file_path"],
                },
            }
            for name in NAMES
        ]


def rendered(request: ChatRequest) -> str:
    """The prompt as a plain chat template writes it: tools, system, messages, nothing at the end."""
    tools = [
        f"{tool.name}: {tool.description} {bytes(tool.schema).decode()}" for tool in request.tools
    ]
    turns = [
        f"<|{message.role}|>\n" + "\n".join(_written(part) for part in message.parts) + "<|end|>\n"
        for message in request.messages
    ]
    return "\n".join([*tools, *(part.text for part in request.system), *turns])


def assert_pairs_whole(messages: tuple[Message, ...]) -> None:
    """Every call is answered once, directly after its turn, and nothing else is."""
    for place, message in enumerate(messages):
        calls = [part.id for part in message.parts if isinstance(part, ToolCall)]
        results = [part.call_id for part in message.parts if isinstance(part, ToolResult)]
        if calls:
            front = messages[place + 1].parts[: len(calls)]
            assert [part.call_id for part in front if isinstance(part, ToolResult)] == calls
        if results:
            before = messages[place - 1].parts
            assert [part.id for part in before if isinstance(part, ToolCall)] == results


def _written(part: Part) -> str:
    match part:
        case TextPart() | ThoughtPart():
            return part.text
        case ToolCall():
            return f"<call {part.id} {part.name}>{part.arguments}</call>"
        case ToolResult():
            return f"<result {part.call_id} {part.is_error}>{text_of(part.parts)}</result>"
        case _:
            return repr(part)
