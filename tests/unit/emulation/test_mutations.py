"""Slips of form that models make, applied to calls that hold real and generated files.

A call comes out as it was meant, or the turn is faulty, or the text stays text. It never comes out different.
"""

from __future__ import annotations

import json
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from sfbridge.core.request import ChatRequest, Tool
from sfbridge.emulation import LINE_PARAMS, Dressed, Reader
from sfbridge.emulation.transcript import Script

MARK = "k7f2x"
SCHEMA = {
    "type": "object",
    "properties": {
        "file_path": {"type": "string"},
        "content": {"type": "string"},
        "overwrite": {"type": "boolean"},
        "mode": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["file_path", "content", "overwrite", "mode", "tags"],
    "additionalProperties": False,
}
TOOL = Tool(name="Write", schema=msgspec.Raw(json.dumps(SCHEMA).encode()))
SCRIPT = Script(MARK, LINE_PARAMS, pointers=False)

P = "parameter"
DECOYS: Final = (
    "<tool_call>",
    "</tool_call>",
    '<tool_call name="Write">',
    f"</{P}>",
    f"<{P}=content>",
    f'<{P} name="content">',
    "<function=Write>",
    "</function>",
    '<invoke name="Write">',
    "</invoke>",
    "</raw>",
    '<raw name="content">',
    "<think>",
    "</think>",
    "```",
    "```json",
    "~~~",
    "<tool_result>",
    '{"name":"Write","arguments":{}}',
    "]]>",
    '"""',
    "'''",
    "\\d+ \\n \\\\ \\'",
    "x = {'a': \"b\"}",
    "true, false, None, True",
    "你好 😀 \u2028 é",
    "a\tb",
    "",
    "   ",
    "},]",
)


@cache
def real_files() -> tuple[str, ...]:
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    chosen = [path for path in paths if 200 < path.stat().st_size < 25_000][:90:2]
    return tuple([path.read_text("utf-8", "replace") for path in chosen])


@cache
def nasty_files() -> tuple[str, ...]:
    rng = random.Random(20260101)
    found = ["", "\n", "x", "x\r\ny\r\n", "\n\n", " "]
    for _ in range(60):
        end = rng.choice(("\n", "\n", "\r\n"))
        lines = [rng.choice(DECOYS) for _ in range(rng.randrange(1, 12))]
        found.append(end.join(lines) + rng.choice(("", end)))
    return tuple(found)


def arguments(content: str) -> dict[str, Any]:
    return {
        "file_path": "src/a b.py",
        "content": content,
        "overwrite": False,
        "mode": 420,
        "tags": ["x", 'y"z'],
    }


def canonical(value: dict[str, Any], name: str = "Write") -> str:
    return SCRIPT.call(name, json.dumps(value, ensure_ascii=False))


def call(body: str, end: str = f"</tool_call {MARK}>", name: str = "Write") -> str:
    return f'<tool_call {MARK} name="{name}">\n{body}\n{end}'


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def hermes(value: dict[str, Any]) -> str:
    return "<tool_call>\n" + dumps({"name": "Write", "arguments": value}) + "\n</tool_call>"


def qwen(value: dict[str, Any]) -> str:
    def shown(item: Any) -> str:
        return item if isinstance(item, str) else dumps(item)

    inner = "\n".join(f"<{P}={key}>\n{shown(item)}\n</{P}>" for key, item in value.items())
    return f"<tool_call>\n<function=Write>\n{inner}\n</function>\n</tool_call>"


def invoke(value: dict[str, Any]) -> str:
    def shown(item: Any) -> str:
        return item if isinstance(item, str) else dumps(item)

    inner = "\n".join(f'<{P} name="{key}">{shown(item)}</{P}>' for key, item in value.items())
    return f'<function_calls>\n<invoke name="Write">\n{inner}\n</invoke>\n</function_calls>'


def all_strings(value: dict[str, Any]) -> dict[str, Any]:
    return value | {"overwrite": "False", "mode": "420"}


def without(value: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in value.items() if k != key}


OTHER = call('{"file_path":"evil","content":"","overwrite":true,"mode":1,"tags":[]}')
THINK = f"<think>\nmaybe {OTHER}\n</think>\n"
MARKED_RESULT = (
    f'\n<tool_result {MARK} name="Write" n="1" ok>\ndone\n</tool_result {MARK}>\n{OTHER}'
)
PLAIN_RESULT = f"\n<tool_result>\ndone\n</tool_result>\n{OTHER}"

# what the model wrote; every file must come out as it is
EXACT: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "canonical": canonical,
    "all arguments in JSON": lambda v: call(dumps(v)),
    "JSON in ASCII": lambda v: call(json.dumps(v)),
    "JSON fenced": lambda v: call(f"```json\n{dumps(v)}\n```"),
    "trailing comma": lambda v: call(dumps(v)[:-1] + ",}"),
    "Python words": lambda v: call(dumps(without(v, "overwrite"))[:-1] + ', "overwrite": False}'),
    "double-encoded": lambda v: call(dumps(dumps(v))),
    "array as string": lambda v: call(dumps(v | {"tags": dumps(v["tags"])})),
    "name and arguments inside": lambda v: call(dumps({"name": "Write", "arguments": v})),
    "wrapped": lambda v: call(dumps({"arguments": v})),
    "numbers and booleans as strings": lambda v: call(dumps(all_strings(v))),
    "lower-case name": lambda v: canonical(v, "write"),
    "call closer missing": lambda v: canonical(v).removesuffix(f"</tool_call {MARK}>"),
    "call closer unmarked": lambda v: canonical(v).removesuffix(f" {MARK}>") + ">",
    "think block before": lambda v: THINK + canonical(v),
    "think block after prose": lambda v: f"I will.\n{THINK}{canonical(v)}",
    "invented result, marked": lambda v: canonical(v) + MARKED_RESULT,
    "invented result, unmarked": lambda v: canonical(v) + PLAIN_RESULT,
    "prose around": lambda v: f"First I write it.\n\n{canonical(v)}\nDone, I think.",
    "fence around the call": lambda v: f"```xml\n{canonical(v)}\n```",
}
# exact, or at least nothing else
SAFE: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "raw closer unmarked": lambda v: canonical(v).replace(f"</raw {MARK}>", "</raw>"),
    "both closers unmarked": lambda v: (
        canonical(v)
        .replace(f"</raw {MARK}>", "</raw>")
        .replace(f"</tool_call {MARK}>", "</tool_call>")
    ),
    "Hermes form": hermes,
    "Python dict": lambda v: call(repr(v)),
    "no mark anywhere": lambda v: canonical(v).replace(f" {MARK}", ""),
    "fenced JSON as the whole answer": lambda v: (
        f"```json\n{dumps({'name': 'Write', 'arguments': v})}\n```"
    ),
    "bare JSON as the whole answer": lambda v: dumps({"name": "Write", "arguments": v}),
    "Qwen3-Coder form": qwen,
    "legacy invoke form": invoke,
    "raw line breaks in JSON": lambda v: call(
        re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[0], dumps(v))
    ),
    "every backslash-n a line break": lambda v: call(dumps(v).replace("\\n", "\n")),
    "unmarked closer and an invented result": lambda v: (
        canonical(v).replace(f"</tool_call {MARK}>", "</tool_call>") + PLAIN_RESULT
    ),
}
# never a call
NEVER: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "closing brace missing": lambda v: call(dumps(v)[:-1]),
    "required parameter missing": lambda v: canonical(without(v, "mode")),
    "content given twice": lambda v: call(
        f'{dumps(v)}\n<raw {MARK} name="content">\nother\n</raw {MARK}>'
    ),
    "example inside a fence": lambda v: f"Like this:\n```\n{hermes({'file_path': 'a'})}\n```\n",
}


def read(text: str, finish: str = "stop", seed: int = 0) -> tuple[str, list[Any]]:
    """What became of an answer that arrives in random pieces."""
    dressed = Dressed(request=ChatRequest(model="m", messages=()), mark=MARK, tools=(TOOL,))
    reader = Reader(dressed)
    rng = random.Random(seed)
    at = 0
    while at < len(text):
        size = rng.choice((1, 7, 100, 4000, 40_000)) if len(text) > 2000 else rng.randrange(1, 40)
        reader.feed(text[at : at + size])
        at += size
    verdict = reader.drain(finish)  # type: ignore[arg-type]
    calls = [json.loads(one.arguments) for one in verdict.calls]
    if verdict.faults:
        return "repair", []
    return ("calls" if calls else "text"), calls


def outcomes(operator: Callable[[dict[str, Any]], str], files: tuple[str, ...]) -> Counter[str]:
    found: Counter[str] = Counter()
    for seed, content in enumerate(files):
        value = arguments(content)
        kind, calls = read(operator(value), seed=seed)
        if kind == "calls":
            kind = "exact" if calls == [value] else "wrong"
        found[kind] += 1
    return found


@pytest.mark.parametrize("operator", EXACT.values(), ids=EXACT.keys())
def test_slip_without_loss_comes_out_exact(operator: Callable[[dict[str, Any]], str]) -> None:
    """A slip that loses nothing never changes, delays or loses a call, whatever file it carries."""
    assert outcomes(operator, real_files()) == {"exact": len(real_files())}
    assert outcomes(operator, nasty_files()) == {"exact": len(nasty_files())}


@pytest.mark.parametrize("operator", SAFE.values(), ids=SAFE.keys())
def test_slip_that_may_be_ambiguous_is_never_silently_wrong(
    operator: Callable[[dict[str, Any]], str],
) -> None:
    """A call in an ambiguous form comes out exact or not at all."""
    real = outcomes(operator, real_files())
    assert real["wrong"] == 0
    assert outcomes(operator, nasty_files())["wrong"] == 0


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("raw closer unmarked", 1.0),
        ("Hermes form", 1.0),
        ("Python dict", 1.0),
        ("no mark anywhere", 0.99),
        ("fenced JSON as the whole answer", 0.99),
        ("Qwen3-Coder form", 0.97),
        ("legacy invoke form", 0.98),
        ("raw line breaks in JSON", 1.0),
    ],
)
def test_real_files_survive_foreign_forms(name: str, share: float) -> None:
    """Real files come out exact at least as often as the reference measured."""
    assert outcomes(SAFE[name], real_files())["exact"] >= share * len(real_files())


def test_a_line_break_for_every_backslash_n_comes_out_exact_unless_it_could_mean_two_things() -> (
    None
):
    """Written so, only a backslash before the break hides what stood there: such files are asked for again, all
    others are exact."""
    operator = SAFE["every backslash-n a line break"]
    unclear = re.compile(r"\\(n|\r?\n)")
    for files in (real_files(), nasty_files()):
        plain = tuple(file for file in files if not unclear.search(file))
        assert outcomes(operator, plain) == {"exact": len(plain)}
        double = tuple(file for file in files if "\\n" in file)
        found = outcomes(operator, double)
        assert found["exact"] == found["wrong"] == 0
        assert plain
        assert double


@pytest.mark.parametrize("operator", NEVER.values(), ids=NEVER.keys())
def test_incomplete_call_is_never_delivered(operator: Callable[[dict[str, Any]], str]) -> None:
    """What is missing is asked for, never filled in."""
    for files in (real_files(), nasty_files()):
        found = outcomes(operator, files)
        assert found["exact"] == found["wrong"] == 0


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_cut_call_is_never_delivered_shortened(finish: str) -> None:
    """A call that was cut anywhere is whole or not delivered; a marked one needs its end at the limit."""
    rng = random.Random(7)
    for content in (*real_files(), *nasty_files()):
        value = arguments(content)
        for form in (canonical, hermes, qwen, invoke, SAFE["no mark anywhere"]):
            text = form(value)
            for _ in range(4):
                kind, calls = read(text[: rng.randrange(1, len(text))], finish)
                assert kind != "calls" or calls == [value]
                assert kind != "calls" or form is not canonical or finish == "stop"


def test_unescaped_text_is_wrong_only_where_nobody_can_see_it() -> None:
    """Forgotten escapes come out exact or as a fault, save where the JSON says something else by chance."""
    found: Counter[str] = Counter()
    for content in real_files():
        value = arguments("@@")
        kind, calls = read(call(dumps(value).replace("@@", content)))
        found["wrong" if kind == "calls" and calls != [arguments(content)] else kind] += 1
    assert found["wrong"] <= 0.02 * len(real_files())
