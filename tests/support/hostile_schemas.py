"""Schemas and values made to hang or crash a server, each settled in turn; run as a program, in a child process.

Prints one JSON line per case: its name, the corrections or the word "unfit", and seconds.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from sfbridge.core.request import Tool
from sfbridge.emulation.arguments import Unfit, settle
from sfbridge.emulation.schema import compiled

LEVELS = 40
NODE = {"$ref": "#/$defs/n"}


def deep(levels: int, leaf: Any = 1, key: str = "") -> Any:
    for _ in range(levels):
        leaf = {key: leaf} if key else [leaf]
    return leaf


def chain(make: Callable[[int], Any], first: Any, levels: int = LEVELS) -> dict[str, Any]:
    """Definitions a0, a1, …, each made from the number of the one before."""
    defs = {"a0": first, **{f"a{n}": make(n - 1) for n in range(1, levels)}}
    return {"$defs": defs, "$ref": f"#/$defs/a{levels - 1}"}


def x(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}, **more}


def inline(levels: int) -> Any:
    if not levels:
        return {"type": "string"}
    return {"allOf": [{"items": inline(levels - 1)}, {"items": inline(levels - 1)}]}


def nested(levels: int) -> Any:
    return {"type": "object", "properties": {"x": nested(levels - 1)}} if levels else {}


def exploding() -> Iterator[tuple[str, Any, Any]]:
    """Each level names the one before twice: 2**40 checks for whoever writes them all out."""
    ref = "#/$defs/a{}"
    twice = {
        "all": lambda n: {"allOf": [{"$ref": ref.format(n)}] * 2},
        "any": lambda n: {"anyOf": [{"$ref": ref.format(n)}] * 2},
        "percent": lambda n: {"allOf": [{"$ref": f"#/%24defs/a{n}"}] * 2},
        "anchor": lambda n: {"$anchor": f"a{n + 1}", "allOf": [{"$ref": f"#a{n}"}] * 2},
        "dynamic": lambda n: {
            "$dynamicAnchor": f"a{n + 1}",
            "allOf": [{"$dynamicRef": f"#a{n}"}] * 2,
        },
        "id": lambda n: {"$id": f"http://x/a{n + 1}", "allOf": [{"$ref": f"a{n}"}] * 2},
        "dependent": lambda n: {"dependentSchemas": {k: {"$ref": ref.format(n)} for k in "ab"}},
    }
    for name, make in twice.items():
        first = {"$anchor": "a0", "$dynamicAnchor": "a0", "$id": "http://x/a0", "type": "object"}
        if name != "id":
            first.pop("$id")
        if name != "dynamic":
            first.pop("$dynamicAnchor")
        yield f"exploding {name}", chain(make, first), {"a": 1, "b": 2}
    draft_7 = {"$schema": "http://json-schema.org/draft-07/schema#"}
    dependencies = chain(
        lambda n: {"dependencies": {k: {"$ref": ref.format(n)} for k in "ab"}}, {"type": "object"}
    )
    yield "exploding dependencies", {**draft_7, **dependencies}, {"a": 1, "b": 2}
    for word in ("items", "contains", "unevaluatedItems"):
        both = chain(
            lambda n, word=word: {
                "items": {"$ref": ref.format(n)},
                word: {"$ref": ref.format(n)},
                "allOf": [{"items": {"$ref": ref.format(n)}}],
            },
            {"type": "string"},
        )
        defs = both.pop("$defs")
        for end in ("s", 1):
            yield f"exploding below {word} {end}", x(both, **{"$defs": defs}), {"x": deep(39, end)}
    defs = {
        f"n{a}": {"allOf": [{"items": {"$ref": f"#/$defs/n{b}"}} for b in range(20)]}
        for a in range(20)
    }
    yield "all of each other", x({"$ref": "#/$defs/n0"}, **{"$defs": defs}), {"x": deep(60)}
    yield "written out", x(inline(12)), {"x": deep(60)}
    yield "long chain", chain(lambda n: {"$ref": ref.format(n)}, {"type": "object"}, 20_000), {}


def recursive() -> Iterator[tuple[str, Any, Any]]:
    twice = {
        "all": {"allOf": [{"items": NODE}, {"items": NODE}], "type": ["array", "string"]},
        "any": {"anyOf": [{"items": NODE, "minItems": 1}, {"items": NODE, "minItems": 1}]},
        "one": {"oneOf": [{"items": NODE}, {"items": NODE}, {"type": "integer"}]},
        "not": {"not": {"items": {"allOf": [NODE, NODE]}}},
        "unevaluated": {"allOf": [{"contains": NODE}], "unevaluatedItems": NODE, "items": NODE},
    }
    for name, node in twice.items():
        yield f"recursive {name}", x(NODE, **{"$defs": {"n": node}}), {"x": deep(60)}
    yield "itself", {"$ref": "#"}, {"a": 1}
    yield "itself twice", {"anyOf": [{"$ref": "#"}, {"not": {"$ref": "#"}}]}, {"a": 1}
    yield (
        "each other",
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {},
    )
    json_value = {
        "anyOf": [
            {"type": ["string", "number", "boolean", "null"]},
            {"type": "array", "items": NODE},
            {"type": "object", "additionalProperties": NODE},
        ]
    }
    yield (
        "any JSON",
        x(NODE, **{"$defs": {"n": json_value}}),
        {"x": [[[deep(30, 1.5, "k")] * 9] * 9] * 9},
    )
    yield "schema of 200 levels", nested(200), deep(90, 1, "x")
    yield "schema of 45 levels", nested(45), deep(90, 1, "x")
    yield "value of 200 levels", {"type": "object"}, deep(200, 1, "x")
    yield "value of 200,000 levels", {"type": "object"}, {"x": "DEEP"}


def patterns() -> Iterator[tuple[str, Any, Any]]:
    hostile = (
        r"(a+)+$", r"^(a|a)*$", r"^(a|aa)+$", r"(?=a)(a+)+$", r"(?:(?=a)a|a|aa)+$", r"(.*)\1x",
        r"(a{1000}){1000}", r"(?:[ab]*a[ab]{9000})c", r"(?:[ab]*a[ab]{1800})c", r"(?:[ab]*a[ab]{250})c", r"(.?){270}[cx](d|ef)*$", r"((a{0,100}){0,100}b?){0,10}x$",
        r"(?=x)" + "(" * 100_000 + "a" + ")" * 100_000, "(?=x)" + "a|" * 50_000, r"(?=.*x)y", r"(?<=a.{100})y(?=b)",
    )  # fmt: skip
    for number, pattern in enumerate(hostile):
        schema = x({"type": "string", "pattern": pattern})
        for length in (40, 290, 2_900, 11_000, 90_000, 4_000_000):
            yield f"pattern {number} on {length}", schema, {"x": "a" * length + "!"}
    key = {
        "type": "object",
        "patternProperties": {r"^(?=a)(a+)+$": False},
        "additionalProperties": False,
    }
    yield "pattern of keys", key, {"a" * 5_000 + "!": 1}
    yield (
        "pattern of names",
        {"type": "object", "propertyNames": {"pattern": r"^(?=a)(a+)+$"}},
        {"a" * 5_000 + "!": 1},
    )
    yield (
        "pattern of many",
        x({"items": {"pattern": r"^(?=a)(a+)+$"}}),
        {"x": ["a" * 30 + "!"] * 9_000},
    )


def large() -> Iterator[tuple[str, Any, Any]]:
    words = [f"v{n}" for n in range(100_000)]
    yield "large enum", x({"enum": words}), {"x": "V99999"}
    yield "large enum of objects", x({"enum": [{"a": n} for n in range(50_000)]}), {"x": {"a": -1}}
    yield (
        "large enum of many",
        x({"type": "array", "items": {"enum": words[:3_000]}}),
        {"x": ["V1"] * 3_000},
    )
    kinds = [x({"type": "integer"}, required=[f"k{n}"]) for n in range(300)]
    yield (
        "many forms of many",
        x({"type": "array", "items": {"anyOf": kinds}}),
        {"x": [{"z": n} for n in range(3_000)]},
    )
    names = {f"p{n}": {"type": "string"} for n in range(20_000)}
    yield "many required", {"type": "object", "properties": names, "required": [*names]}, {"a": 1}
    yield (
        "many unique",
        x({"type": "array", "uniqueItems": True}),
        {"x": [{"a": n, "b": [n]} for n in range(50_000)]},
    )
    yield "tiny step", x({"multipleOf": 1e-300}), {"x": 1e300}


def strange() -> Iterator[tuple[str, Any, Any]]:
    """No schemas, or hardly."""
    odd: list[Any] = [
        True, False, None, [], "object", 1, {"type": 5}, {"type": ["object", {}]}, {"required": [[]]},
        {"required": 5, "properties": 5}, x({"minLength": -1, "type": "string"}), x({"enum": 5}), x({"enum": []}),
        x({"$ref": 5}), x({"$ref": "#/properties/x"}), x({"anyOf": {}, "items": 5}), x({"$ref": "file:///etc/passwd"}),
        x({"$ref": "http://127.0.0.1:9/x"}), x({"pattern": "("}), x({"$id": 5, "$anchor": 5}), x({"multipleOf": 0}),
        x({"type": "string", "minLength": 10**30}), x({"type": "array", "maxItems": 10**30, "minItems": 1.5}),
        x({"type": "integer", "maximum": 10**200}), x({"type": "integer", "minimum": -(10**200)}), x({"const": 10**200}),
        {"type": "object", "properties": {'a"\\\n\x00': {"type": "string"}}, "required": ["", 'a"\\\n\x00']},
        {"$schema": 5}, {"$schema": "http://example.com/own"}, {"$schema": "http://json-schema.org/draft-07/schema#", "$id": "::"},
        {"$vocabulary": {"http://example.com/own": True}}, x({"dependencies": {"a": 5}}), x({"if": 1}), x({"propertyNames": 1}),
    ]  # fmt: skip
    for number, schema in enumerate(odd):
        for value in ({"x": "a"}, {"x": None}, {"x": [1.0, {}]}, {}):
            yield f"strange {number}", schema, value


def unions() -> Iterator[tuple[str, Any, Any]]:
    """Unions of a patterned text and a list or map, which crash msgspec 0.22 once a second decoder goes."""
    for number in range(40):
        text = {"type": "string", "pattern": f"^a{number}$"}
        others = [
            {"type": "array"},
            {"type": "object"},
            {"type": "array", "items": text, "uniqueItems": True},
        ]
        schemas = (
            x({"anyOf": [text, *others]}, maxProperties=number + 9),
            x({"oneOf": [text, others[0]]}, maxProperties=number + 9),
            x({"type": ["string", "array", "object", "null"], "pattern": f"^a{number}$"}),
            x({"anyOf": [{"allOf": [text]}, {"$ref": "#/$defs/l"}]}, **{"$defs": {"l": others[0]}}),
            x({"type": "array", "items": {"anyOf": [text, others[1]]}}),
        )
        for schema in schemas:
            for value in ({"x": []}, {"x": f"a{number}"}, {"x": {}}, {"x": f"a{number}\n"}):
                yield "union", schema, value


GROUPS = {
    "exploding": exploding,
    "recursive": recursive,
    "patterns": patterns,
    "large": large,
    "strange": strange,
    "unions": unions,
}


def main(group: str) -> None:
    for name, schema, value in GROUPS[group]():
        tool = Tool(name="T", schema=msgspec.Raw(json.dumps(schema).encode()))
        given = json.dumps(value).replace('"DEEP"', "[" * 200_000 + "]" * 200_000)
        began = time.perf_counter()
        try:
            outcome: Any = sorted({*settle(tool, given)[1]})
        except Unfit:
            outcome = "unfit"
        print(json.dumps([name, outcome, round(time.perf_counter() - began, 3)]), flush=True)
        if group == "unions":
            compiled.cache_clear()
            gc.collect()


if __name__ == "__main__":
    main(sys.argv[1])
