"""The published vectors of the marked envelope, for every way to cut a text in two and character by character."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sfbridge.core.request import ChatRequest, Tool
from sfbridge.core.stream import Text
from sfbridge.emulation import Dressed, Reader, Verdict

DATA = json.loads(
    (Path(__file__).parents[2] / "data" / "emulated-tool-calling-vectors.json").read_text("utf-8")
)
TOOLS = tuple(
    Tool(name=name, schema=msgspec.Raw(json.dumps(schema).encode()))
    for name, schema in DATA["tools"].items()
)


def dressed_for(vector: dict[str, Any]) -> Dressed:
    return Dressed(
        request=ChatRequest(model="m", messages=()),
        mark=DATA["mark"],
        tools=TOOLS,
        untrusted=vector.get("untrusted", ""),
        line_params=frozenset(vector.get("line_params", ())),
    )


def run(vector: dict[str, Any], pieces: Iterable[str]) -> tuple[str, str, Verdict]:
    """Prose that left early, all prose, verdict."""
    reader = Reader(dressed_for(vector))
    early = "".join(p.text for piece in pieces for p in reader.feed(piece) if isinstance(p, Text))
    verdict = reader.drain(vector["finish"])
    late = "".join(p.text for p in verdict.pieces if isinstance(p, Text))
    return early, early + late, verdict


def check(vector: dict[str, Any], pieces: Iterable[str]) -> str:
    early, prose, verdict = run(vector, pieces)
    assert prose.startswith(early)
    assert f"<tool_call {DATA['mark']}" not in prose
    calls = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in verdict.calls]
    match vector["expect"]:
        case "text":
            assert (calls, verdict.faults) == ([], ())
            assert (prose, verdict.reason) == (vector["text"], "stop")
        case "repair":
            assert verdict.faults
            assert all(fault.problems for fault in verdict.faults)
        case "truncated":
            assert (calls, verdict.faults, verdict.reason) == ([], (), "length")
            assert verdict.notes["truncated_call"] == 1
        case expected:
            assert (calls, verdict.faults) == (expected["calls"], ())
            assert verdict.reason == "tool_calls"
            for name in vector["notes"]:
                assert verdict.notes[name] >= 1
            corrections = {n for n in verdict.notes if n not in ("trailing_text", "repeated_calls")}
            assert corrections == set(vector["notes"])
    return prose


@pytest.mark.parametrize("vector", DATA["vectors"], ids=lambda v: v["about"])
def test_vector_holds_for_every_split(vector: dict[str, Any]) -> None:
    """A published vector comes out the same whole, cut anywhere in two, and character by character."""
    text = vector["text"]
    prose = check(vector, [text])
    assert check(vector, list(text)) == prose
    for cut in range(1, len(text)):
        assert check(vector, [text[:cut], text[cut:]]) == prose
