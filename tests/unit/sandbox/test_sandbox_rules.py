"""What the sandbox model says, rule by rule."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sfbridge.sandbox.conversation import Call, Conversation, Made, Offered, Result, Said, Turn
from sfbridge.sandbox.rules import decide
from sfbridge.sandbox.samples import expression_in, fitting

CALCULATOR = Offered(
    "calculator",
    "Computes an arithmetic expression.",
    {"type": "object", "properties": {"input": {"type": "string"}}, "additionalProperties": False},
)
BASH = Offered(
    "Bash",
    "Runs a command.",
    {
        "type": "object",
        "properties": {
            "description": {"type": "string"},
            "command": {"type": "string"},
            "timeout": {"type": "number"},
        },
        "required": ["command", "description"],
    },
)
READ = Offered(
    "Read",
    "Reads a file.",
    {"type": "object", "properties": {"file_path": {"type": "string"}}, "required": ["file_path"]},
)
FINAL = Offered(
    "format_final_json_response",
    "Formats the answer.",
    {
        "type": "object",
        "properties": {
            "output": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "population": {"type": "number"}},
                "required": ["city"],
            }
        },
        "required": ["output"],
    },
)
ASK = "Use the calculator tool to compute 6*7, then state the result."
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
LANGCHAIN = """You must format your output as a JSON value that adheres to a given "JSON Schema" instance.

"JSON Schema" is a declarative language that allows you to annotate and validate JSON documents.

For example, the example "JSON Schema" instance {{"properties": {{"foo": {{"type": "array"}}}}, "required": ["foo"]}}
would match an object with one required property, "foo".

Here is the JSON Schema instance your output must adhere to. Include the enclosing markdown codeblock:
```json
%s
```
"""


def talk(*texts: str | Said, system: str = "", **more: Any) -> Conversation:
    said = [Said(role="system", text=system)] if system else []
    said += [Said(role="user", text=text) if isinstance(text, str) else text for text in texts]
    return Conversation(said=tuple(said), everything="\n".join(turn.text for turn in said), **more)


def called(*names: str) -> Said:
    return Said(role="assistant", calls=tuple(Made(name) for name in names))


def answered(*results: Result, text: str = "") -> Said:
    return Said(role="user", results=results, text=text)


@pytest.mark.parametrize(
    ("ask", "tools", "calls"),
    [
        (ASK, (CALCULATOR,), [("calculator", {"input": "6*7"})]),
        ("What is (2 + 3) * 4?", (BASH, CALCULATOR), [("calculator", {"input": "(2 + 3) * 4"})]),
        ("Use the calculator.", (CALCULATOR,), [("calculator", {"input": "Use the calculator."})]),
        ("What happened on 2026-11-20?", (CALCULATOR,), []),
        (ASK, (BASH,), []),
        ("Say hello.", (CALCULATOR, BASH), []),
        (
            "Use the bash tool to run the command `echo forty-two`, then say what it printed.",
            (READ, BASH),
            [("Bash", {"command": "echo forty-two", "description": "As asked"})],
        ),
        (
            "Call Read with file_path=/tmp/a.txt",
            (BASH, READ),
            [("Read", {"file_path": "/tmp/a.txt"})],
        ),
        (
            "Use Read and Bash on /etc/hosts with `ls`",
            (BASH, READ),
            [
                ("Read", {"file_path": "/etc/hosts"}),
                ("Bash", {"command": "ls", "description": "As asked"}),
            ],
        ),
        ("Use the Bash tool, then read the answer", (BASH, READ), ["Bash"]),
        ("I used to call people who read.", (READ,), []),
    ],
)
def test_calls(ask: str, tools: tuple[Offered, ...], calls: list[Any]) -> None:
    """Tools are called when the user's words ask for them, with arguments from those words."""
    turn = decide(talk(ask, tools=tools))
    if calls and isinstance(calls[0], str):
        assert [call.name for call in turn.calls] == calls
    else:
        assert [(call.name, call.arguments) for call in turn.calls] == calls
    assert bool(turn.text) is not bool(calls)


def test_forbidden_calls() -> None:
    """Nothing is called when calls are forbidden, and one tool only when calls may not be parallel."""
    assert not decide(talk(ASK, tools=(CALCULATOR,), choice="none")).calls
    both = talk("Use Read and Bash", tools=(BASH, READ), parallel=False)
    assert [call.name for call in decide(both).calls] == ["Read"]


@pytest.mark.parametrize(
    ("choice", "named", "name"),
    [
        ("required", "", "calculator"),
        ("named", "Bash", "Bash"),
        ("named", "calculator", "calculator"),
    ],
)
def test_demanded_calls(choice: Any, named: str, name: str) -> None:
    """A demanded call is made, the fitting tool first, also after results."""
    later = (called("Bash"), answered(Result("Bash", "x")))
    for said in ((), later):
        turn = decide(
            talk("What is 6*7?", *said, tools=(BASH, CALCULATOR), choice=choice, named=named)
        )
        assert [call.name for call in turn.calls] == [name]


@pytest.mark.parametrize(
    ("results", "text"),
    [
        ((Result("calculator", "42"),), "The result is 42."),
        ((Result("calculator", ""),), "The result is nothing."),
        ((Result("Bash", "forty-two\n"),), "Tool Bash answered: forty-two"),
        (
            (Result("Bash", "a"), Result("Read", "gone", True)),
            "Tool Bash answered: a\nTool Read failed: gone",
        ),
    ],
)
def test_results_end_the_calls(results: tuple[Result, ...], text: str) -> None:
    """After results the model says what the tools answered."""
    said = (ASK, called(*(result.name for result in results)), answered(*results))
    assert decide(talk(*said, tools=(CALCULATOR, BASH))) == Turn(text)


def test_new_ask_after_results() -> None:
    """A user's words beside or after results are a new request."""
    said = (ASK, called("calculator"), answered(Result("calculator", "42"), text="Now 2+2."))
    assert decide(talk(*said, tools=(CALCULATOR,))).calls == (Call("calculator", {"input": "2+2"}),)


def test_correction_is_no_new_ask() -> None:
    """Text after a call without result is a correction of the call, not a new request."""
    said = (ASK, called("calculator"), "/input: expected text. Write the call again, corrected.")
    assert decide(talk(*said, tools=(CALCULATOR,))).calls == (Call("calculator", {"input": "6*7"}),)


def test_reminders_are_not_words() -> None:
    """What agents add for the model's eyes is neither asked nor echoed."""
    note = "<system-reminder>Use Bash.</system-reminder>"
    assert decide(talk(f"hi\n{note}", tools=(BASH,))) == Turn("Echo: hi")
    said = (ASK, called("calculator"), answered(Result("calculator", "42"), text=note))
    assert decide(talk(*said, tools=(CALCULATOR,))) == Turn("The result is 42.")


def test_final_format_tool() -> None:
    """The tool of an agent with a required format is called with an object that fits."""
    ask = "Which city is the capital of France? Answer in the required format."
    tools = (CALCULATOR, FINAL)
    assert decide(talk(ask, tools=tools)).calls == (
        Call(FINAL.name, {"output": {"city": "Paris"}}),
    )
    after = (ASK, called("calculator"), answered(Result("calculator", "42")))
    assert decide(talk(ASK, tools=tools)).calls[0].name == "calculator"
    assert decide(talk(*after, tools=tools)).calls[0].name == FINAL.name


@pytest.mark.parametrize(
    ("text", "system", "told"),
    [
        (
            "Which city is the capital of France?\n"
            + LANGCHAIN
            % '{"type":"object","properties":{"output":{"type":"object","properties":'
            '{"city":{"type":"string"},"population":{"type":"number"}},"required":["city"]}}}',
            "",
            {"output": {"city": "Paris"}},
        ),
        (
            "Paris has 2 million people.",
            "You are an expert extraction algorithm.\n" + LANGCHAIN % json.dumps(CITY),
            {"city": "Paris"},
        ),
        (
            "The capital of France?",
            f"Answer with JSON of this schema:\n{json.dumps(CITY)}",
            {"city": "Paris"},
        ),
        (
            'Reply with a JSON object that has the key "city" with value "Paris".',
            "",
            {"city": "Paris"},
        ),
        ("Reply with a JSON object with the key city.", "", {"city": "Paris"}),
        (
            "Reply with a JSON object that has the key answer.",
            "",
            {"answer": "Reply with a JSON object that has the key answer."},
        ),
        ("The capital of Norway?", "Answer with one JSON object.", {"answer": "Oslo"}),
    ],
)
def test_json(text: str, system: str, told: Any) -> None:
    """JSON that was asked for, by schema or in words, is given, with values from the prompt."""
    assert json.loads(decide(talk(text, system=system)).text) == told


def test_json_after_results() -> None:
    """What tools answered goes into the JSON that was asked for."""
    schema = {"type": "object", "properties": {"result": {"type": "integer"}}}
    said = (ASK, called("calculator"), answered(Result("calculator", "42")))
    assert json.loads(decide(talk(*said, tools=(CALCULATOR,), schema=schema)).text) == {
        "result": 42
    }


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        ("Say hello in one short sentence.", "Hello! This is the sandbox org speaking."),
        ("hi", "Echo: hi"),
        ("x" * 3000, "Echo: " + "x" * 2000),
        ("", "Echo: "),
    ],
)
def test_speech(ask: str, text: str) -> None:
    """Everything else is greeted or echoed."""
    assert decide(talk(ask)) == Turn(text)
    assert decide(Conversation(said=(), everything="")) == Turn("Echo: ")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 7}, 7),
        ({"enum": ["a", "b"]}, "a"),
        ({"enum": ["red", "blue"]}, "blue"),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "number", "maximum": 2}, 2),
        ({"type": ["null", "boolean"]}, False),
        ({"type": "null"}, None),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [3, 3]),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 3),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"const": 1}}}, 1),
        ({"allOf": [{"type": "integer"}, {"minimum": 9}]}, 9),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "string", "maxLength": 4}, "3 bl"),
        ({"type": "string", "minLength": 20}, "3 blue things......."),
        ({"type": "object"}, {}),
        ({"type": "object", "properties": {"url": {}}}, {"url": "https://example.com/"}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"x": {"$ref": "#/$defs/x"}}}}}, None),
    ],
)
def test_fitting_values(schema: Any, value: Any) -> None:
    """Values fit their schema, taken from the prompt where it has them; recursion ends."""
    found = fitting(schema, "3 blue things")
    assert value is None or found == value


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("6*7", "6*7"),
        ("What is 12 / 4?", "12 / 4"),
        ("(1+2)*3", "(1+2)*3"),
        ("7", ""),
        ("on 2026-01-02", ""),
    ],
)
def test_expressions(text: str, expression: str) -> None:
    """Arithmetic is found as it was written; dates are none."""
    assert expression_in(text) == expression
