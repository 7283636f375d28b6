"""The compiled checks against the public JSON-Schema-Test-Suite, draft 7 and 2020-12, both ways."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from schema_suite import DRAFT_2020, DRAFTS, UNSUPPORTED, Case, cases, checker, proper

from sfbridge.core.request import Tool
from sfbridge.emulation import REPAIRS
from sfbridge.emulation.arguments import Unfit, settle
from sfbridge.emulation.jsontext import read, write

SUPPORTED = [case for draft in DRAFTS for case in cases(draft) if case.refused is None]


@pytest.mark.parametrize(
    ("draft", "optional", "count"),
    [
        ("draft7", False, 904),
        ("draft7", True, 116),
        ("draft2020-12", False, 1252),
        ("draft2020-12", True, 157),
    ],
)
def test_library_gives_the_suites_verdict(draft: str, optional: bool, count: int) -> None:
    """Every case that concerns supported words is judged as the suite judges it, and with a reason."""
    asked = [case for case in SUPPORTED if case.draft == draft and case.optional is optional]
    assert [
        (case.file, case.group, case.name)
        for case in asked
        if proper(checker(case.schema), case.data) is not case.valid
    ] == []
    assert len(asked) == count


def test_quick_way_says_yes_only_where_the_suite_does() -> None:
    """What msgspec accepts is valid, in every case of both drafts, the unsupported ones included."""
    wrong: list[Case] = []
    yes = 0
    for draft in DRAFTS:
        for case in cases(draft):
            if checker(case.schema).accepts(case.data):
                yes += 1
                if not case.valid:
                    wrong.append(case)
    assert wrong == []
    assert yes > 150, "the quick way is hardly ever taken, so this shows nothing"


def test_default_draft_is_2020_12() -> None:
    """A schema that names no draft is judged as one of 2020-12."""
    wrong = []
    for case in SUPPORTED:
        if case.draft == "draft2020-12" and isinstance(case.schema, dict):
            named = case.schema.get("$schema")
            silent = {key: value for key, value in case.schema.items() if key != "$schema"}
            if named == DRAFT_2020 and proper(checker(silent), case.data) is not case.valid:
                wrong.append((case.file, case.group, case.name))
    assert wrong == []


@pytest.mark.parametrize(
    "named",
    [
        "http://json-schema.org/draft-07/schema#",
        "http://json-schema.org/draft-07/schema",
        "https://json-schema.org/draft-07/schema#",
    ],
)
def test_draft_7_is_judged_as_draft_7(named: str) -> None:
    """What the drafts disagree about follows the draft that the schema names."""
    disagreed = {"properties": {"x": {"items": [{"type": "string"}], "additionalItems": False}}}
    assert proper(checker({"$schema": named, **disagreed}), '{"x":["a",1]}') is False
    ignored = {"properties": {"x": {"prefixItems": [{"type": "string"}]}}}
    assert proper(checker({"$schema": named, **ignored}), '{"x":[1]}') is True
    assert proper(checker(ignored), '{"x":[1]}') is False
    siblings = {"$defs": {"a": {}}, "properties": {"x": {"$ref": "#/$defs/a", "type": "string"}}}
    assert proper(checker({"$schema": named, **siblings}), '{"x":1}') is True
    assert proper(checker(siblings), '{"x":1}') is False


def test_unsupported_cases_are_all_listed() -> None:
    """The table of what is left out names each group, how many cases it has and why; none is stale."""
    counts = Counter(
        case.refused for draft in DRAFTS for case in cases(draft) if case.refused is not None
    )
    assert dict(counts) == {key: count for key, (count, _) in UNSUPPORTED.items()}


def test_schema_of_another_host_is_never_judged_wrongly() -> None:
    """Where a reference would have to be fetched nothing is checked, instead of something else."""
    for draft in DRAFTS:
        for case in cases(draft):
            if case.refused is not None and "another host, and" in UNSUPPORTED[case.refused][1]:
                assert proper(checker(case.schema), case.data) is None, case


def test_arguments_that_fit_are_delivered_unchanged() -> None:
    """No correction is made of arguments that the suite calls valid, and none that are not get through as they are."""
    for case in SUPPORTED:
        if not case.data.startswith("{") or not isinstance(case.schema, dict):
            continue
        tool = Tool(name="suite", schema=msgspec.Raw(write(case.schema).encode()))
        try:
            text, names = settle(tool, case.data)
        except Unfit:
            assert not case.valid, case
            continue
        if case.valid:
            assert read(text) == read(case.data)
            assert REPAIRS.isdisjoint(names), case
        else:
            assert not REPAIRS.isdisjoint(names), case
