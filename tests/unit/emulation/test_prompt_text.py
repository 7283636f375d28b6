"""What the model is told: the tools whole, the form by example, the same bytes every time."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sfbridge.core.request import (
    ChatRequest,
    Message,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    text_of,
)
from sfbridge.emulation import Dressed, Fault, Reader, correction, dress, dropped_line
from sfbridge.emulation.dialect import derive_mark

KEY = b"key"


def tool(name: str, schema: Any, description: str = "") -> Tool:
    return Tool(name=name, description=description, schema=msgspec.Raw(json.dumps(schema).encode()))


EDIT = tool(
    "Edit",
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/edit",
        "type": "object",
        "properties": {
            "file_path": {"type": "string", "description": "Where."},
            "mode": {"enum": ["fast", "slow"]},
            "count": {"type": "integer", "default": 3},
            "new_string": {"type": "string"},
            "$id": {"type": "string"},
        },
        "required": ["file_path", "mode", "count"],
        "additionalProperties": False,
    },
    "Change a file.\n" + "A rule that matters. " * 60,
)
WRITE = tool(
    "Write",
    {
        "type": "object",
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
        "required": ["path", "content"],
    },
)
MULTI = tool(
    "MultiEdit",
    {
        "type": "object",
        "properties": {
            "edits": {
                "type": "array",
                "items": {"type": "object", "properties": {"old": {"type": "string"}}},
            }
        },
    },
)
CALCULATOR = tool("calculator", {"type": "object", "properties": {"input": {"type": "string"}}})
NOTHING = tool("now", {"type": "object", "properties": {}})
REQUEST = ChatRequest(
    model="m",
    system=(TextPart("You help."),),
    tools=(EDIT, WRITE),
    messages=(Message("user", (TextPart("Fix it."),)),),
)


def told(dressed: Dressed) -> str:
    return dressed.request.system[-1].text


def listed(text: str) -> list[Any]:
    block = text.partition("<tools>\n")[2].partition("\n</tools>")[0]
    return [json.loads(line) for line in block.split("\n")]


def test_request_has_no_tools_left() -> None:
    """The dressed request needs nothing of the upstream but text."""
    asked = dress(REQUEST, KEY).request
    assert (asked.tools, asked.choice) == ((), ToolChoice())
    assert asked.system[0] == REQUEST.system[0]
    assert asked.messages == REQUEST.messages


def test_tools_stand_whole_on_one_line_each() -> None:
    """Names, whole descriptions and schemas in the client's order; only what programs read is left out."""
    edit, write = listed(told(dress(REQUEST, KEY)))
    assert list(edit) == ["name", "description", "parameters"]
    assert edit["description"] == EDIT.description
    expected = json.loads(bytes(EDIT.schema))
    del expected["$schema"], expected["$id"]
    assert edit["parameters"] == expected
    assert list(edit["parameters"]["properties"]) == list(expected["properties"])
    assert write == {"name": "Write", "parameters": json.loads(bytes(WRITE.schema))}


def test_long_lists_of_examples_are_left_out() -> None:
    """Examples in a schema stay while they are short; a parameter of that name stays always."""
    schema = {
        "type": "object",
        "properties": {
            "examples": {"type": "string", "examples": ["x" * 500]},
            "b": {"type": "string", "examples": ["short"]},
        },
    }
    (entry,) = listed(
        told(dress(msgspec.structs.replace(REQUEST, tools=(tool("T", schema),)), KEY))
    )
    assert entry["parameters"]["properties"] == {
        "examples": {"type": "string"},
        "b": {"type": "string", "examples": ["short"]},
    }


@pytest.mark.parametrize(
    "tools",
    [
        (EDIT, WRITE),
        (WRITE,),
        (MULTI,),
        (CALCULATOR,),
        (NOTHING,),
        (EDIT, NOTHING, MULTI),
        (CALCULATOR, NOTHING),
    ],
    ids=lambda tools: "+".join(one.name for one in tools),
)
def test_examples_are_valid_calls_of_real_tools(tools: tuple[Tool, ...]) -> None:
    """Every example in the prompt is a call that the reader would deliver without a correction."""
    dressed = dress(msgspec.structs.replace(REQUEST, tools=tools), KEY)
    examples = told(dressed).partition("</tools>")[2]
    reader = Reader(dressed)
    reader.feed(examples)
    verdict = reader.drain("stop")
    assert verdict.faults == ()
    assert verdict.notes == {}
    assert 1 <= len(verdict.calls) <= 2
    assert {call.name for call in verdict.calls} <= {one.name for one in tools}


def test_example_of_a_file_ends_with_a_line_break() -> None:
    """Where whole files are written, the example shows how one ends."""
    dressed = dress(REQUEST, KEY)
    reader = Reader(dressed)
    reader.feed(told(dressed).partition("</tools>")[2])
    contents = [json.loads(c.arguments).get("content") for c in reader.drain("stop").calls]
    assert contents == [None, "first line\nsecond line\n"]


def test_pointers_are_taught_only_where_they_are_needed() -> None:
    """The path form of a raw block is explained only if a schema has strings inside lists of objects."""
    assert "/edits/0/old" in told(dress(msgspec.structs.replace(REQUEST, tools=(MULTI,)), KEY))
    assert "/0/" not in told(dress(REQUEST, KEY))


def test_prompt_is_short() -> None:
    """The instruction costs no more than some two thousand characters beside the tools."""
    text = told(dress(msgspec.structs.replace(REQUEST, tools=(CALCULATOR,)), KEY))
    assert len(text) < 2_300


def test_bytes_are_the_same_every_time() -> None:
    """The same request gives the same text, and the mark does not depend on later turns."""
    again = msgspec.structs.replace(REQUEST)
    assert dress(REQUEST, KEY) == dress(again, KEY)


def turn(n: int) -> tuple[Message, ...]:
    return (
        Message(
            "assistant",
            (
                TextPart(f"Step {n}."),
                ToolCall(f"a{n}", "Write", json.dumps({"path": f"f{n}", "content": 'x "y"\n'})),
                ToolCall(f"b{n}", "Edit", '{"file_path":"f","mode":"fast","count":1}'),
            ),
        ),
        Message(
            "user",
            (ToolResult(f"b{n}", (TextPart("no"),), True), ToolResult(f"a{n}", (TextPart("ok"),))),
        ),
    )


def rendered(request: ChatRequest) -> str:
    asked = dress(request, KEY).request
    texts = [part.text for part in asked.system]
    texts += [f"[{m.role}]{text_of(m.parts)}" for m in asked.messages]
    return "\n".join(texts)


def test_earlier_turns_keep_their_bytes_when_the_conversation_grows() -> None:
    """The text of turn n is the beginning of the text of turn n+1."""
    before = rendered(REQUEST)
    messages = REQUEST.messages
    for n in range(6):
        messages = (*messages, *turn(n))
        after = rendered(msgspec.structs.replace(REQUEST, messages=messages))
        assert after.startswith(before)
        before = after


def test_header_line_of_the_client_does_not_move_the_mark() -> None:
    """A system text that is one header line changes every turn; the mark stays."""
    one, two = (
        msgspec.structs.replace(
            REQUEST, system=(TextPart(f"x-some-header: v={n}; h={n * 7}"), TextPart("You help."))
        )
        for n in (1, 2)
    )
    assert dress(one, KEY).mark == dress(two, KEY).mark


def test_marks_are_short_words_of_no_language() -> None:
    """Five characters: a letter, a digit, then letters and digits; no vowels."""
    for n in range(200):
        mark = derive_mark(KEY, str(n), ())
        assert len(mark) == 5
        assert mark[0].isalpha()
        assert mark[1].isdigit()
        assert not set(mark) & set("aeiouy")


def test_conversation_without_tools_is_told_what_the_tags_are() -> None:
    """With calls in the history and no tools now, the model is told to answer in words."""
    request = msgspec.structs.replace(REQUEST, tools=(), messages=(*REQUEST.messages, *turn(1)))
    dressed = dress(request, KEY)
    assert dressed.mark in told(dressed)
    assert "<tools>" not in told(dressed)
    assert "Calls:" not in text_of(dressed.request.messages[-1].parts)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (ToolChoice("none"), "without calls"),
        (ToolChoice("required"), "needs a call of one of the tools"),
        (ToolChoice("named", "Edit"), "needs a call of Edit"),
        (ToolChoice(parallel=False), "One call at most"),
    ],
)
def test_choice_is_said_at_the_very_end(choice: ToolChoice, words: str) -> None:
    """What tool_choice demands stands behind the last user text and disturbs nothing before it."""
    plain = dress(REQUEST, KEY).request
    asked = dress(msgspec.structs.replace(REQUEST, choice=choice), KEY).request
    assert asked.system == plain.system
    last = asked.messages[-1].parts[-1]
    assert isinstance(last, TextPart)
    assert words in last.text
    assert asked.messages[-1].parts[:-1] == plain.messages[-1].parts


CALL = '<tool_call {m} name="Write">\n{{"path":"{p}","content":"c"}}\n</tool_call {m}>\n'
EDITING = (
    '<tool_call {m} name="Edit">\n{{"file_path":"{p}","mode":"fast","count":1}}\n</tool_call {m}>\n'
)


@pytest.mark.parametrize(
    ("choice", "behaviour", "calls", "faults", "notes"),
    [
        ("auto", "refuses", [], 0, {}),
        ("auto", "obeys", ["Write"], 0, {}),
        ("auto", "two", ["Write", "Write"], 0, {}),
        ("none", "refuses", [], 0, {}),
        ("none", "obeys", [], 1, {}),
        ("none", "two", [], 2, {}),
        ("required", "refuses", [], 1, {}),
        ("required", "obeys", ["Write"], 0, {}),
        ("required", "other", ["Edit"], 0, {}),
        ("named", "refuses", [], 1, {}),
        ("named", "obeys", ["Write"], 0, {}),
        ("named", "other", [], 1, {}),
        ("named", "two", ["Write", "Write"], 0, {}),
        ("single", "two", ["Write"], 0, {"extra_calls": 1}),
        ("single", "obeys", ["Write"], 0, {}),
        ("single", "refuses", [], 0, {}),
    ],
)
def test_tool_choice_grid(
    choice: str, behaviour: str, calls: list[str], faults: int, notes: dict[str, int]
) -> None:
    """What tool_choice demands is held against what the model does."""
    wanted = {
        "auto": ToolChoice(),
        "none": ToolChoice("none"),
        "required": ToolChoice("required"),
        "named": ToolChoice("named", "Write"),
        "single": ToolChoice(parallel=False),
    }[choice]
    dressed = dress(msgspec.structs.replace(REQUEST, choice=wanted), KEY)
    said = {
        "refuses": "No need.",
        "obeys": CALL.format(m=dressed.mark, p="a"),
        "other": EDITING.format(m=dressed.mark, p="a"),
        "two": CALL.format(m=dressed.mark, p="a") + CALL.format(m=dressed.mark, p="b"),
    }[behaviour]
    reader = Reader(dressed)
    reader.feed(said)
    verdict = reader.drain("stop")
    assert [call.name for call in verdict.calls] == calls
    assert len(verdict.faults) == faults
    assert all(fault.kind == "form" for fault in verdict.faults)
    assert verdict.notes == notes
    assert verdict.reason == ("tool_calls" if calls else "stop")


def test_demand_is_not_made_of_an_answer_that_was_cut() -> None:
    """An answer that ran into its limit is not asked for the call it could not write."""
    dressed = dress(msgspec.structs.replace(REQUEST, choice=ToolChoice("required")), KEY)
    reader = Reader(dressed)
    reader.feed("I will")
    assert reader.drain("length").faults == ()


def test_correction_shows_the_model_its_own_text_and_every_problem() -> None:
    """The repair round repeats what was said, lists problems by call, and shows the form."""
    dressed = dress(REQUEST, KEY)
    faults = (
        Fault("Edit", ("/count: missing", "/mode: wrong")),
        Fault("", ("this answer has to contain a call",), kind="form"),
    )
    said, asked = correction(dressed, "I wrote this", faults)
    assert (said.role, asked.role) == ("assistant", "user")
    assert text_of(said.parts) == "I wrote this"
    text = text_of(asked.parts)
    for part in (
        "Edit",
        "- /count: missing",
        "- /mode: wrong",
        "- this answer",
        f"<tool_call {dressed.mark} ",
    ):
        assert part in text
    assert text_of(correction(dressed, "", faults)[0].parts)


def test_correction_of_a_forbidden_call_asks_for_words() -> None:
    """Where calls are switched off, the repair round does not show how to write one."""
    dressed = dress(msgspec.structs.replace(REQUEST, choice=ToolChoice("none")), KEY)
    _, asked = correction(dressed, "x", (Fault("Edit", ("off",), kind="form"),))
    assert "<tool_call" not in text_of(asked.parts)


def test_line_about_dropped_calls_is_no_call() -> None:
    """The line for the client names the tool and holds nothing that any reader takes for a call."""
    line = dropped_line(
        (Fault("Edit", ("x",)), Fault('<tool_call name="x">', ("y",)), Fault("", ()))
    )
    assert "Edit" in line
    assert not set(line) & set('<>{}[]"`\n')
