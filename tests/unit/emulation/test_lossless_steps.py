"""The list of corrections, step by step: each lossless one by its name, each forbidden one as a fault."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sfbridge.core.request import ChatRequest, Tool
from sfbridge.emulation import REPAIRS, Dressed, Reader, Verdict

M = "k7f2x"
SCHEMA = {
    "type": "object",
    "properties": {
        "s": {"type": "string"},
        "b": {"type": "boolean"},
        "i": {"type": "integer"},
        "n": {"type": "number"},
        "z": {"type": ["integer", "null"]},
        "l": {"type": "array", "items": {"type": "string"}},
        "o": {"type": "object", "properties": {"k": {"type": "integer"}}},
        "e": {"enum": ["Fast", "slow", "SLOW"]},
        "p": {"type": ["number", "null"]},
    },
    "required": ["s"],
    "additionalProperties": False,
}
TOOL = Tool(name="Do", schema=msgspec.Raw(json.dumps(SCHEMA).encode()))
FREE = Tool(
    name="Free", schema=msgspec.Raw(b'{"type":"object","properties":{"s":{"type":"string"}}}')
)
DRESSED = Dressed(request=ChatRequest(model="m", messages=()), mark=M, tools=(TOOL, FREE))
END = f"\n</tool_call {M}>"


def opened(name: str = "Do") -> str:
    return f'<tool_call {M} name="{name}">\n'


def with_s(rest: str) -> str:
    """A whole call with the required parameter and one more, as written."""
    return f'{opened()}{{"s":"a",{rest}}}{END}'


def raw(name: str, text: str) -> str:
    return f'<raw {M} name="{name}">\n{text}\n</raw {M}>'


def verdict(text: str) -> Verdict:
    reader = Reader(DRESSED)
    reader.feed(text)
    return reader.drain("stop")


# step: texts of a whole answer, each with the arguments that are delivered
STEPS: dict[str, list[tuple[str, Any]]] = {
    "ctrl": [
        (f'{opened()}{{"s":"a\nb\tc"}}{END}', {"s": "a\nb\tc"}),
        (f'{opened()}{{"s":"a\r\n\x01"}}{END}', {"s": "a\r\n\x01"}),
    ],
    "comma": [(with_s('"l":["x",],'), {"s": "a", "l": ["x"]})],
    "pylit": [(with_s('"b":True'), {"s": "a", "b": True}), (with_s('"z":None'), {"s": "a", "z": None})],
    "pydict": [
        (f"{opened()}{{'s': 'it\\'s', 'b': True}}{END}", {"s": "it's", "b": True}),
        (f"{opened()}{{'s': \"it's\\n\", 'z': None}}{END}", {"s": "it's\n", "z": None}),
    ],
    "esc": [(f'{opened()}{{"s":"it\\\'s"}}{END}', {"s": "it's"})],
    "fence": [(f'{opened()}```json\n{{"s":"a"}}\n```{END}', {"s": "a"})],
    "doubled": [(f'{opened()}"{{\\"s\\":\\"a\\"}}"{END}', {"s": "a"})],
    "inner": [
        (f'{opened()}{{"name":"Do","arguments":{{"s":"a"}}}}{END}', {"s": "a"}),
        (f'{opened()}{{"parameters":{{"s":"a"}}}}{END}', {"s": "a"}),
    ],
    "namecase": [(f'{opened("DO")}{{"s":"a"}}{END}', {"s": "a"})],
    "str2bool": [(with_s('"b":"True"'), {"s": "a", "b": True}), (with_s('"b":"false"'), {"s": "a", "b": False})],
    "str2int": [(with_s('"i":"-5"'), {"s": "a", "i": -5})],
    "str2num": [(with_s('"n":"5.5"'), {"s": "a", "n": 5.5})],
    "str2null": [(with_s('"z":"null"'), {"s": "a", "z": None})],
    "str2json": [
        (with_s('"l":"[\\"x\\"]"'), {"s": "a", "l": ["x"]}),
        (with_s('"o":"{\\"k\\":1}"'), {"s": "a", "o": {"k": 1}}),
        (f'{opened()}{{"s":"a"}}\n{raw("o", """{"k": 1}""")}{END}', {"s": "a", "o": {"k": 1}}),
    ],
    "num2str": [
        (f'{opened()}{{"s":5.10}}{END}', {"s": "5.10"}),
        (f'{opened()}{{"s":1E5}}{END}', {"s": "1E5"}),
        (f'{opened()}{{"s":-0}}{END}', {"s": "-0"}),
    ],
    "bool2str": [(f'{opened()}{{"s":true}}{END}', {"s": "true"})],
    "wrap": [(with_s('"l":"x"'), {"s": "a", "l": ["x"]})],
    "enumcase": [(with_s('"e":"fast"'), {"s": "a", "e": "Fast"})],
    "nullopt": [(with_s('"n":null'), {"s": "a"})],
    "rawnonce": [(f'{opened()}<raw {M} name="s">\na </raw> b\n</raw>{END}', {"s": "a </raw> b"})],
    "closer": [(f'{opened()}{{"s":"a"}}\n</tool_call>', {"s": "a"})],
    "noclose": [(f'{opened()}{{"s":"a"}}', {"s": "a"})],
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_lossless_step(name: str) -> None:
    """Each step of the list delivers what the characters say, and is counted once under its own name."""
    for text, arguments in STEPS[name]:
        done = verdict(text)
        assert done.faults == ()
        (call,) = done.calls
        assert json.loads(call.arguments) == arguments
        assert done.notes == {name: 1}


def test_every_lossless_step_is_here() -> None:
    """The list of names that are counted as repairs is the list of this file."""
    assert set(STEPS) == REPAIRS


def test_whole_number_written_with_a_fraction_has_no_name() -> None:
    """3.0 is an integer by the standard: it is delivered as 3 and counts as nothing."""
    done = verdict(with_s('"i":3.0'))
    assert (done.calls[0].arguments, done.notes) == ('{"s":"a","i":3}', {})


FORBIDDEN: dict[str, tuple[str, str]] = {
    "fill a missing required parameter": (f'{opened()}{{"b":true}}{END}', "/s: missing"),
    "take null for a required parameter": (f'{opened()}{{"s":null}}{END}', "/s: expected text, got null"),
    "rename an unknown parameter": (f'{opened()}{{"S":"a"}}{END}', "unknown parameter S; known: s, b"),
    "take empty arguments for unreadable ones": (f"{opened()}a, please{END}", "broken"),
    "take {,} for an empty object": (f'{opened("Free")}{{,}}{END}', "broken"),
    "close a bracket": (f'{opened()}{{"s":"a"{END}', "broken"),
    "close a list": (with_s('"l":["x"'), "broken"),
    "close a quote": (f'{opened()}{{"s":"a}}{END}', "broken"),
    "add a missing comma": (f'{opened()}{{"s":"a" "b":true}}{END}', "broken"),
    "add a missing value": (with_s('"b":'), "broken"),
    "quote a bare word": (f"{opened()}{{s: a}}{END}", "broken"),
    "drop a comment": (f'{opened()}{{"s":"a" // so\n}}{END}', "broken"),
    "drop a dangling comma in a list": (with_s('"l":[,"x"]'), "broken"),
    "read \\d": (f'{opened()}{{"s":"\\d"}}{END}', "raw block"),
    "read \\$": (f'{opened()}{{"s":"echo \\$HOME"}}{END}', "raw block"),
    "read \\x41": (f'{opened()}{{"s":"\\x41"}}{END}', "raw block"),
    "read a continued line": (f'{opened()}{{"s":"a\\\nb"}}{END}', "raw block"),
    "read an octal escape of Python": (f"{opened()}{{'s': '\\0'}}{END}", "raw block"),
    "read a prefixed string of Python": (f"{opened()}{{'s': r'd'}}{END}", "broken"),
    "join adjacent strings of Python": (f"{opened()}{{'s': 'a' 'b'}}{END}", "broken"),
    "replace typographic quotes": (f"{opened()}{{“s”: “a”}}{END}", "broken"),
    "complete a truncated text": (f'{opened()}{{"s":"a","l":["x","y', "unterminated"),
    "choose between two values of a key": (f'{opened()}{{"s":"a","s":"b"}}{END}', "s is given twice"),
    "choose between JSON and raw block": (f'{opened()}{{"s":"a"}}\n{raw("s", "b")}{END}', "s is given twice"),
    "choose between two raw blocks": (f'{opened()}{raw("s", "a")}\n{raw("s", "b")}{END}', "s is given twice"),
    "change case inside a raw block": (f'{opened()}{{"s":"a"}}\n{raw("e", "fast")}{END}', "/e: expected one of"),
    "trim inside a raw block": (f'{opened()}{{"s":"a"}}\n{raw("i", " 5")}{END}', "/i: expected integer"),
    "choose between options that differ in case": (with_s('"e":"Slow"'), "/e: expected one of"),
    "take yes for true": (with_s('"b":"yes"'), "/b: expected boolean"),
    "take 1 for true": (with_s('"b":1'), "/b: expected boolean"),
    "take true for 1": (with_s('"i":true'), "/i: expected integer"),
    "round a number": (with_s('"i":3.5'), "/i: expected integer"),
    "read a number with its unit": (with_s('"n":"5 s"'), '/n: expected number, got text "5 s"'),
    "read a number with spaces": (with_s('"n":" 5"'), "/n: expected number"),
    "read a number with leading zeros": (with_s('"i":"05"'), "/i: expected integer"),
    "read a number with separators": (with_s('"i":"1,000"'), "/i: expected integer"),
    "read a hexadecimal number": (with_s('"i":"0x10"'), "/i: expected integer"),
    "read an empty text as nothing": (with_s('"z":""'), "/z: expected"),
    "take null for a number that is too large": (with_s('"p":"1e999"'), "/p: expected"),
    "hold a number that is too large": (with_s('"n":1e999'), "out of range"),
    "hold a number that is none": (with_s('"n":NaN'), "broken"),
    "wrap an unreadable list": (with_s('"l":"[\\"x\\""'), "/l: expected a list"),
    "wrap a value of another type": (with_s('"l":{}'), "/l: expected a list"),
    "write an object as text": (f'{opened()}{{"s":{{"a":1}}}}{END}', "/s: expected text, got an object"),
    "take the first item of a list": (f'{opened()}{{"s":["a"]}}{END}', "/s: expected text, got a list"),
    "take the name of no tool for another": (f'{opened("Doo")}{{"s":"a"}}{END}', "unknown tool Doo; known: Do, Free"),
    "take a list for an object": (f'{opened()}["a"]{END}', "must be one JSON object, got a list"),
    "join two objects": (f'{opened()}{{"s":"a"}}{{"b":true}}{END}', "broken"),
}  # fmt: skip


@pytest.mark.parametrize("step", FORBIDDEN)
def test_forbidden_step(step: str) -> None:
    """What would be a guess is a fault that says what is wrong, and no call leaves."""
    text, told = FORBIDDEN[step]
    done = verdict(text)
    assert done.calls == ()
    (fault,) = done.faults
    assert told in "; ".join(fault.problems)
    assert REPAIRS.isdisjoint(done.notes)


def test_call_in_prose_is_no_call() -> None:
    """A call described in words, or in JSON among words, is never read out of them."""
    for text in (
        'I call Do with {"s":"a"} now.',
        'Do({"s": "a"})',
        'Use this:\n{"name":"Do","arguments":{"s":"a"}}\nplease',
        '[Do(s="a")]',
    ):
        done = verdict(text)
        assert (done.calls, done.faults) == ((), ())


@pytest.mark.parametrize(
    "text",
    [
        "\\d+ \\$x “q” \\u0041",
        "True, None",
        '{"a": 1,}',
        " 5 ",
        "a\r\nb",
        "<b>&amp;</b>",
        "```\nx\n```",
    ],
)
def test_raw_block_is_never_changed(text: str) -> None:
    """Not one character of a raw block is read as anything but itself."""
    done = verdict(f"{opened()}{raw('s', text)}{END}")
    assert json.loads(done.calls[0].arguments) == {"s": text}
    assert done.notes == {}
