"""Single slips of form, in our own tags and in foreign ones, each with what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sfbridge.core.request import ChatRequest, Tool
from sfbridge.core.stream import FinishReason, Text
from sfbridge.emulation import Dressed, Reader

M = "k7f2x"
P = "parameter"
TOOLS = (
    Tool(
        name="Bash",
        schema=msgspec.Raw(
            b'{"type":"object","properties":{"command":{"type":"string"},"timeout":{"type":"number"}},'
            b'"required":["command"],"additionalProperties":false}'
        ),
    ),
    Tool(name="Now"),
    Tool(name="NOW2"),
    Tool(name="now2"),
)
DRESSED = Dressed(request=ChatRequest(model="m", messages=()), mark=M, tools=TOOLS)


def read(text: str, reason: FinishReason = "stop") -> tuple[list[Any], int, str, dict[str, int]]:
    """Calls, number of faults, words, counts; the same whole and character by character."""
    found = []
    for size in (1, len(text)):
        reader = Reader(DRESSED)
        pieces = [p for at in range(0, len(text), size) for p in reader.feed(text[at : at + size])]
        verdict = reader.drain(reason)
        words = "".join(p.text for p in (*pieces, *verdict.pieces) if isinstance(p, Text))
        calls = [(call.name, json.loads(call.arguments)) for call in verdict.calls]
        assert all(fault.problems for fault in verdict.faults)
        found.append((calls, len(verdict.faults), words, verdict.notes))
    assert found[0] == found[1]
    return found[0]


LS = ("Bash", {"command": "ls"})
OPEN = f'<tool_call {M} name="Bash">\n'
END = f"\n</tool_call {M}>"


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        (f'<tool_call {M}>\n{{"name":"Bash","arguments":{{"command":"ls"}}}}{END}', {"inner": 1}),
        (f'<tool_call {M} name=\'Bash\'>\n{{"command":"ls"}}{END}', {}),
        (f'<tool_call {M} name = Bash >{{"command":"ls"}}</tool_call {M}>', {}),
        (f'{OPEN}```json\n{{"command":"ls"}}\n```\n</tool_call>', {"fence": 1, "closer": 1}),
        (f"{OPEN}{{'command': 'ls'}}\n</tool_call>", {"pydict": 1, "closer": 1}),
        (f'{OPEN}{{"command":"ls"}}\n</tool_call>\nDone.', {"closer": 1, "trailing_text": 1}),
        (f'{OPEN}<raw {M} name="command">\nls\n</raw>{END}', {"rawnonce": 1}),
        (f'{OPEN}<raw {M} name="command">ls</raw {M}>', {"noclose": 1}),
        (f'{OPEN}<raw {M} name="command">\r\nls\r\n</raw {M}>{END}', {}),
        (
            '<tool_call>\n{"name":"Bash","arguments":{"command":"ls"}}',
            {"salvaged:hermes": 1, "noclose": 1},
        ),
        (
            '<tool_call>[{"name":"Bash","arguments":"{\\"command\\":\\"ls\\"}"}]</tool_call>',
            {"salvaged:hermes": 1},
        ),
        (
            '<tool_call name="Bash">\n<raw name="command">\nls\n</raw>\n</tool_call>',
            {"salvaged:unmarked": 1},
        ),
        (
            f"<think>\nhm\n</think>\n\n<function=Bash><{P}=command>ls</{P}></function>",
            {"salvaged:qwen3coder": 1},
        ),
    ],
)
def test_slip_is_understood_and_counted(text: str, notes: dict[str, int]) -> None:
    """A slip that leaves no doubt costs nothing but its count."""
    assert read(text) == ([LS], 0, "", notes)


@pytest.mark.parametrize(
    "text",
    [
        f'{OPEN}{{"command":"ls"}}\nDone.',
        f'{OPEN}{{"command":"ls"}}\n{{"command":"ls"}}{END}',
        f'{OPEN}{{"timeout":1}}\nand\n<raw {M} name="command">\nls\n</raw {M}>\nmore{END}',
        f'{OPEN}<raw {M} name="command">\nls{END}',
        f"{OPEN}<raw {M} name=command>\nls\n</raw {M}>{END}",
        f'{OPEN}<raw {M} name="command">\nls\n</raw>',
        f'{OPEN}<raw {M} name="command">\na </raw> b\n</raw>\n</tool_call>',
        f'<tool_call {M} name="Now2">{{}}{END}',
        f"<tool_call {M}>{{}}{END}",
        f"<tool_call {M}>not json{END}",
        f'<tool_call>\n{{"name":"Bash","arguments":{{"command":"ls"}}}}\n</tool_call {M}>',
        f'Now a <raw {M} name="command">\nls\n</raw {M}>',
        '<tool_call>\n{"name":"Bash","arguments":{"command":"\\d"}}\n</tool_call>',
        '<tool_call>\n{"name":"Bash","arguments":{"command":"ls"}\n</tool_call>',
        '<tool_call>\n{"name":"Bash","arguments":{"command":"ls"}}\nthat was it',
        '{"name":"Bash","arguments":{"command":"ls"}',
        '{"name":"Bash","arguments":{"command":"echo \\$HOME"}}',
        '{"name":"Bash","arguments":{"cmd":"ls"}}',
        f"<function=Bash>\n<{P}=command>\nls\n</{P}>\n<{P}=x>\n1\n</{P}>\n</function>",
        f"<function=Bash>\n<{P}=command>\nls\n</{P}>\n",
        f"<function=Bash>\n<{P}=command>\nls",
        f"<function=Bash>\n<{P}=command>\na\n</{P}>\n<{P}=command>\nb\n</{P}>\n</function>",
        '<tool_call name="Bash">\n<raw name="command">\n</raw>\n</raw>\n</tool_call>',
        '<tool_call name="Bash">\n<raw name="command">\nls\n</raw>\n',
        '<tool_call name="Bash">\n{"command":"ls"} or so\n</tool_call>',
    ],
)
def test_doubt_is_asked_about(text: str) -> None:
    """A call that cannot be read without doubt is a fault, and nothing of it is delivered."""
    _, faults, words, _ = read(text)
    assert faults >= 1
    assert M not in words


@pytest.mark.parametrize(
    "text",
    [
        '{"name":"Bash","version":"5.2"}',
        '{"name":"Bash"}',
        '{"name":"Ann","arguments":{}}',
        '[{"name":"Bash","arguments":{"command":"ls"}},{"name":"Ann","arguments":{}}]',
        '{"name":"Bash","arguments":{"command":"ls"}}\nThat is how a call looks.',
        "```json\n[1, 2]\n```",
        "```python\n{'name': 'Bash'}\n```",
        "[x] done\n[ ] to do",
        "{not json at all",
        "<tool_call> is a tag of Hermes models.",
        "<function_calls> holds <invoke> elements.",
        'Use\n\n    ```\n    <tool_call name="Bash">\n    ```\n',
    ],
)
def test_answer_that_only_resembles_a_call_is_an_answer(text: str) -> None:
    """JSON and syntax that is no call of a known tool reaches the client as it is."""
    assert read(text) == ([], 0, text, {})


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>\n",
        '<tool_call>\n{"na',
        '<tool_call>\n{"name":"Bash","arguments":{"command":"l',
        "<function=Ba",
        f"<function=Bash>\n<{P}=command>\nl",
        "<function_calls>\n<invoke na",
        '<tool_call name="Bash">\n<raw name="command">\nl',
        '{"name":"Bash","arguments":{"command":"l',
    ],
)
def test_foreign_call_that_the_limit_cut_is_dropped(text: str) -> None:
    """At the output limit nothing of an unfinished call leaves, in any dialect."""
    assert read(f"I look.\n{text}" if text[0] == "<" else text, "length") == (
        [],
        0,
        "I look." if text[0] == "<" else "",
        {"truncated_call": 1},
    )


def test_fenced_example_behind_a_foreign_call_is_no_second_call() -> None:
    """Behind a salvaged call, openers count only outside fences."""
    call = '<tool_call>\n{"name":"Bash","arguments":{"command":"ls"}}\n</tool_call>\n'
    calls, faults, _, notes = read(f"{call}For example:\n```\n{call}```\n")
    assert (calls, faults, notes["salvaged:hermes"]) == ([LS], 0, 1)


def test_too_many_foreign_calls_are_text() -> None:
    """Beyond sixty-four foreign calls the answer is not taken for calls at all."""
    call = '<tool_call>\n{"name":"Now","arguments":{}}\n</tool_call>\n'
    calls, faults, words, _ = read(call * 70)
    assert (calls, faults, words) == ([], 0, call * 70)
