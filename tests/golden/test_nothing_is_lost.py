"""What a client said stands in what the org receives, apart from the losses that are listed with their reason.

Reads the golden files, which test_golden.py keeps true.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from speak import EVERY_WIRE

ROOT = Path(__file__).parent
KINDS = ("bedrock", "chat-generations", "platform")
# Structure, ids and marks: their words need not survive, and the pairing of calls has its own test.
_STRUCTURE = frozenset(
    {
        "role",
        "type",
        "id",
        "tool_call_id",
        "tool_use_id",
        "media_type",
        "cache_control",
        "detail",
        "signature",
        "call_id",
        "status",
        "encrypted_content",
    }
)
# Words of JSON Schema that say nothing to the model.
_SCHEMA_WORDS = frozenset({"$schema"})
_SPOKEN = ("system", "messages", "instructions", "input", "tools")


def leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every text in a client's request with its path; JSON inside strings of arguments is looked into."""
    match value:
        case str():
            text = value.partition(";base64,")[2] if value.startswith("data:") else value
            if text.strip():
                yield path, text
        case list():
            for index, item in enumerate(value):
                yield from leaves(item, f"{path}[{index}]")
        case dict():
            for key, item in value.items():
                if key == "arguments":
                    yield from leaves(json.loads(item), f"{path}.arguments")
                elif key not in _STRUCTURE | _SCHEMA_WORDS:
                    yield from leaves(item, f"{path}.{key}" if path else key)


def said(body: Any) -> str:
    """Everything that the org was told, JSON inside strings also as what it means."""
    texts: list[str] = []
    match body:
        case str():
            texts.append(body)
            if body.startswith("{"):
                texts.append(said(json.loads(body)))
        case list():
            texts += [said(item) for item in body]
        case dict():
            texts += [said(item) for item in body.values()]
    return "\n".join(texts)


def matrix(kind: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(wire/case, what the client sent, what the org received) of every case."""
    for wire in EVERY_WIRE:
        for path in sorted((ROOT / "requests" / wire).glob(f"*.{kind}.json")):
            case = path.name.removesuffix(f".{kind}.json")
            sent = json.loads(path.with_name(f"{case}.json").read_text())
            yield f"{wire}/{case}", sent, json.loads(path.read_text())


def accepted(kind: str) -> set[tuple[str, str]]:
    """(wire/case, path) of the losses and refusals of one kind that are listed; a refusal has no path."""
    table = tomllib.loads((ROOT / "expected_losses.toml").read_text())
    found = set()
    for loss in table["loss"]:
        assert set(loss) == {"cases", "kinds", "paths", "reason"}, loss
        assert len(loss["reason"]) > 20
        if kind in loss["kinds"]:
            found |= {(case, path) for case in loss["cases"] for path in loss["paths"]}
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_text_reaches_the_org(kind: str) -> None:
    """Exactly the listed texts are missing from what the org receives, and exactly the listed cases are refused."""
    lost: set[tuple[str, str]] = set()
    for case, sent, received in matrix(kind):
        if "body" not in received:
            lost.add((case, ""))
            continue
        told = said(received["body"])
        for part in _SPOKEN:
            for path, text in leaves(sent.get(part, []), part):
                written = json.dumps(text, ensure_ascii=False)[1:-1]  # as it is inside JSON
                if text not in told and written not in told:
                    lost.add((case, path))
    assert lost == accepted(kind)


def test_every_call_has_one_result() -> None:
    """On the native dialects each call is followed by exactly one result, at once and in the same order."""
    for case, _, received in matrix("bedrock"):
        made: list[str] = []
        for turn in received.get("body", {}).get("messages", []):
            blocks = turn["content"] if isinstance(turn["content"], list) else []
            answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
            assert answered == made, case
            made = [block["id"] for block in blocks if block["type"] == "tool_use"]
        assert not made, case
    for case, _, received in matrix("chat-generations"):
        made = []
        for turn in received.get("body", {}).get("messages", []):
            if turn["role"] == "tool":
                assert made, case
                assert made.pop(0) == turn["tool_call_id"], case
            else:
                assert not made, case
                made = [call["id"] for call in turn.get("tool_invocations", [])]
        assert not made, case


@pytest.mark.parametrize("kind", KINDS)
def test_turns_alternate(kind: str) -> None:
    """After the system texts the user speaks first and last, and nobody twice in a row."""
    for case, _, received in matrix(kind):
        roles = [turn["role"] for turn in received.get("body", {}).get("messages", [])]
        while roles[:1] == ["system"]:
            roles.pop(0)
        if kind == "chat-generations":
            roles = ["user" if role == "tool" else role for role in roles]
            roles = [
                role for place, role in enumerate(roles) if place == 0 or role != roles[place - 1]
            ]
        if roles:
            assert roles[0] == roles[-1] == "user", case
            assert all(a != b for a, b in pairwise(roles)), case
