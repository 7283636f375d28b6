"""Tool calls as text: the model finds the form in the prompt and keeps to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from org_desk import ASK, CALCULATOR, Desk

from sfbridge.sandbox.conversation import Call, Conversation, Made, Result, Said, Turn
from sfbridge.sandbox.dialect import rendered, taught, understood

WRITE = {
    "name": "Write",
    "parameters": {"type": "object", "properties": {"content": {"type": "string"}}},
}
LESSON = """Be brief.

# Tools
The tools listed below can be called. A call has exactly this form:

<tool_call k7f2 name="TOOL">
{"parameter": "value"}
</tool_call k7f2>

<tools>
CALCULATOR
WRITE
</tools>

Examples:
<tool_call k7f2 name="calculator">
{"input": "1+1"}
</tool_call k7f2>"""
LESSON = LESSON.replace("CALCULATOR", json.dumps(CALCULATOR)).replace("WRITE", json.dumps(WRITE))
CALL = '<tool_call k7f2 name="calculator">\n{"input":"6*7"}\n</tool_call k7f2>'
REMINDER = 'Calls: <tool_call k7f2 name="…"> JSON </tool_call k7f2>. Otherwise answer normally.'
RESULT = '<tool_result k7f2 name="calculator" n="1" ok>\n42\n</tool_result k7f2>\n' + REMINDER


def talk(*texts: str, system: str = LESSON) -> Conversation:
    said = [Said(role="system", text=system)]
    for place, text in enumerate(texts):
        said.append(Said(role="assistant" if place % 2 else "user", text=text))
    return Conversation(said=tuple(said), everything="\n".join(turn.text for turn in said))


def test_lesson() -> None:
    """Mark and tools are read from the prompt; the last list counts, and only with an example before it."""
    lesson = taught(LESSON)
    assert lesson is not None
    assert lesson.mark == "k7f2"
    assert [tool.name for tool in lesson.tools] == ["calculator", "Write"]
    assert taught("<tools>\n{}\n</tools>\n" + LESSON) == lesson
    unmarked = taught(LESSON.replace(" k7f2", ""))
    assert unmarked is not None
    assert unmarked.mark == ""
    for text in ("", "Be brief.", "<tools>\nBash\n</tools>", LESSON.partition("<tools>")[0]):
        assert taught(text) is None


def test_history() -> None:
    """Calls, results and reminders are told from words."""
    said = understood(talk(ASK, f"Sure.\n{CALL}", RESULT)).said
    assert said[1:] == (
        Said(role="user", text=ASK),
        Said(role="assistant", text="Sure.", calls=(Made("calculator"),)),
        Said(role="user", results=(Result("calculator", "42"),)),
    )
    failed = RESULT.replace(" ok>", " error>") + "\n\nTry another."
    assert understood(talk(ASK, CALL, failed)).said[-1] == Said(
        role="user", text="Try another.", results=(Result("calculator", "42", True),)
    )


@pytest.mark.parametrize(
    ("line", "choice", "named", "parallel"),
    [
        ("", "auto", "", True),
        ("Answer this in plain words, without calls.", "none", "", True),
        (
            'This answer needs a call of one of the tools: <tool_call k7f2 name="…">.',
            "required",
            "",
            True,
        ),
        (
            'This answer needs a call of Write: <tool_call k7f2 name="Write">. One call at most.',
            "named",
            "Write",
            False,
        ),
        ("One call at most.", "auto", "", False),
    ],
)
def test_choice_lines(line: str, choice: str, named: str, parallel: bool) -> None:
    """The last line of a user turn says whether calls are wanted, and is no part of the words."""
    for texts in ((f"hi\n\n{line}",), (f"hi\n\n{line}", CALL, "The call could not be used: …")):
        found = understood(talk(*texts))
        assert (found.choice, found.named, found.parallel) == (choice, named, parallel)
        assert found.said[1].text == "hi"


def test_past_calls_without_tools() -> None:
    """Where no tools are on offer any more, earlier calls and results are still understood."""
    system = "Tags marked k7f2 in earlier turns are tool calls and their results. No tools are available now."
    found = understood(talk(ASK, CALL, RESULT, system=system))
    assert found.tools == ()
    assert found.said[-1].results == (Result("calculator", "42"),)


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ({}, "{}"),
        ({"command": "ls", "n": 1}, '{"command":"ls","n":1}'),
        (
            {"path": "a", "content": "x\n"},
            '{"path":"a"}\n<raw k7f2 name="content">\nx\n</raw k7f2>',
        ),
        ({"content": "a\nb"}, '{}\n<raw k7f2 name="content">\na\nb</raw k7f2>'),
        ({"old": 'say "x"'}, '{}\n<raw k7f2 name="old">\nsay "x"\n</raw k7f2>'),
        ({"old": "a\n"}, '{}\n<raw k7f2 name="old">\na\n\n</raw k7f2>'),
        ({"note": "y" * 81}, '{}\n<raw k7f2 name="note">\n' + "y" * 81 + "\n</raw k7f2>"),
        ({"content": ""}, '{"content":""}'),
        ({"edits": [{"new": "a\nb"}]}, '{"edits":[{"new":"a\\nb"}]}'),
        ([1], "[1]"),
    ],
)
def test_rendering(arguments: Any, body: str) -> None:
    """Short arguments stand in the JSON, awkward strings outside it, whole files without framing."""
    text = rendered(Turn("Now.", (Call("T", arguments),)), "k7f2")
    assert text == f'Now.\n<tool_call k7f2 name="T">\n{body}\n</tool_call k7f2>'


def test_rendering_without_mark() -> None:
    """A dialect without mark gets tags without mark."""
    assert rendered(Turn("", (Call("T", {}),)), "") == '<tool_call name="T">\n{}\n</tool_call>'


async def test_tool_loop_on_the_platform(desk: Desk) -> None:
    """On the surface without tools the whole loop runs as text."""
    assert await desk.says(ASK, system=LESSON) == CALL
    assert await desk.says(ASK, CALL, RESULT, system=LESSON) == "The result is 42."
    assert await desk.says("hi", system=LESSON) == "Echo: hi"


async def test_faults_of_calls_as_text(desk: Desk) -> None:
    """A call can break its schema until it is asked for again, or be cut by the output limit."""
    broken = await desk.says(ASK, system=LESSON, model="sandbox-bad-call")
    assert '{"input":{"broken":true}}' in broken
    asked = "The call of calculator could not be used:\n- /input: expected text\n\nWrite it again."
    assert await desk.says(ASK, broken, asked, system=LESSON, model="sandbox-bad-call") == CALL
    cut = await desk.says(ASK, system=LESSON, model="sandbox-cut-call")
    assert cut == CALL[: len(CALL) // 2]
