"""Schemas that would hang or crash a server: each group is settled in a child process that has to survive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hostile_schemas
import pytest

ROOT = Path(__file__).parent.parent.parent.parent
SECONDS = 50


def outcomes(group: str) -> list[tuple[str, Any]]:
    """What became of each case, in order; the child ended by itself, and in time."""
    done = subprocess.run(
        [sys.executable, hostile_schemas.__file__, group],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, *_ in found] == [name for name, *_ in hostile_schemas.GROUPS[group]()]
    return [(name, outcome) for name, outcome, _ in found]


def test_exploding_schemas_switch_their_own_checking_off() -> None:
    """References that double at every level, however they are written, are noticed before they are followed."""
    found = dict(outcomes("exploding"))
    assert found.pop("written out") == "unfit"
    assert {name for name, outcome in found.items() if outcome != ["broken_schema"]} == set()


def test_recursive_schemas_and_deep_nesting_end() -> None:
    """Schemas that contain themselves are checked; those that go nowhere are broken; depth is no danger."""
    found = dict(outcomes("recursive"))
    assert {name for name, outcome in found.items() if outcome == ["broken_schema"]} == {
        "itself",
        "itself twice",
        "each other",
        "schema of 200 levels",
    }
    assert {name for name, outcome in found.items() if outcome == "unfit"} == {
        "recursive all",
        "recursive one",
        "recursive not",
        "value of 200 levels",
        "value of 200,000 levels",
    }


def test_hostile_patterns_end() -> None:
    """A pattern that takes others exponential or quadratic time is checked at once, or not at all."""
    found = outcomes("patterns")
    assert found[0] == ("pattern 0 on 40", "unfit")
    assert all(outcome in ("unfit", [], ["broken_schema"]) for _, outcome in found)


def test_large_schemas_and_values_end() -> None:
    """Huge enums, thousands of names, and a great many alternatives of a great many values."""
    found = dict(outcomes("large"))
    assert found["large enum"] == ["enumcase"]
    assert found["many unique"] == []
    assert found["many forms of many"] == "unfit"


def test_what_is_hardly_a_schema_crashes_nothing() -> None:
    """Any JSON may stand where a tool's schema should; `true` and `false` are schemas, other oddities are broken."""
    found = outcomes("strange")
    assert [outcome for name, outcome in found if name == "strange 0"] == [[]] * 4
    assert [outcome for name, outcome in found if name == "strange 1"] == ["unfit"] * 4
    for number in (2, 3, 4, 5):
        assert {str(o) for n, o in found if n == f"strange {number}"} == {"['broken_schema']"}


def test_unions_that_crash_msgspec_take_the_other_way() -> None:
    """Unions of a patterned text with a list or a map are made and dropped again and again without harm."""
    found = outcomes("unions")
    assert len(found) == 800
    assert not any(outcome == ["broken_schema"] for _, outcome in found)


@pytest.mark.parametrize("schema", [True, {}, {"type": "object"}])
def test_schemas_that_allow_everything(schema: Any) -> None:
    """`true` as a tool's schema is no broken schema."""
    assert hostile_schemas.compiled(json.dumps(schema).encode()).problems({"a": [1]}) == ()
