"""How full the window of a conversation is."""

from __future__ import annotations

from typing import Any

import msgspec

from sfbridge.state.contexts import Contexts, Level


def seen(contexts: Contexts, name: str, count: int, **facts: Any) -> Level | None:
    given: dict[str, Any] = {
        "model": "m",
        "window": 1_000,
        "output": 10,
        "estimated": False,
        "pruned": False,
        "overflow": False,
        "at": 1.0,
        **facts,
    }
    return contexts.seen(name, input=count, **given)


def shown(contexts: Contexts, place: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = contexts.snapshot()["conversations"][place]
    return found


def test_a_level_is_told_once_when_it_is_reached() -> None:
    """75, 85 and 95 per cent are told when they are crossed upwards, and again after a fall."""
    contexts = Contexts()
    told = [
        seen(contexts, "c", count)
        for count in (740, 750, 800, 850, 840, 860, 950, 999, 600, 760, 990)
    ]
    assert told == [
        None, "warning", None, "high", None, "high", "critical", None, None, "warning", "critical",
    ]  # fmt: skip


def test_a_conversation_is_shown_with_its_numbers() -> None:
    """Window, last and peak input, output, utilisation, counts and history are there, fit for JSON."""
    contexts = Contexts()
    seen(contexts, "c", 700, at=5.0)
    seen(contexts, "c", 900, at=6.0)
    seen(contexts, "c", 600, at=7.0, pruned=True, output=30)
    seen(contexts, "c", 1_200, at=8.0, overflow=True, output=0)
    seen(contexts, "c", 650, at=9.0, estimated=True)
    got = shown(contexts)
    history = got.pop("history")
    assert got == {
        "conversation": "c",
        "model": "m",
        "window": 1_000,
        "input_tokens": 650,
        "peak_input_tokens": 1_200,
        "output_tokens": 10,
        "estimated": True,
        "total_output_tokens": 60,
        "utilisation": 0.65,
        "level": None,
        "turns_left": 2,  # 200 and 50 were added, 350 are free
        "requests": 5,
        "prunes": 1,
        "overflows": 1,
        "last_seen": 9.0,
    }
    assert [turn["input_tokens"] for turn in history] == [700, 900, 600, 1_200, 650]
    assert history[2]["pruned"] is True
    assert history[3]["utilisation"] == 1.2
    assert msgspec.json.encode(contexts.snapshot())


def test_turns_left_follow_the_growth() -> None:
    """What is free, divided by what the latest turns added; a prune in between is no growth."""
    contexts = Contexts()
    for count in (100, 200):
        seen(contexts, "c", count)
    assert shown(contexts)["turns_left"] == 8
    for count in (300, 250, 350):
        seen(contexts, "c", count, pruned=count == 250)
    assert shown(contexts)["turns_left"] == 6


def test_turns_left_are_unknown_without_growth_or_window() -> None:
    """One turn, a standstill, a side request of another model, or no window: nothing is foretold."""
    contexts = Contexts()
    seen(contexts, "once", 100)
    assert shown(contexts)["turns_left"] is None
    for _ in range(3):
        seen(contexts, "still", 100)
    assert shown(contexts)["turns_left"] is None
    seen(contexts, "aside", 50, model="small")
    seen(contexts, "aside", 100)
    assert shown(contexts)["turns_left"] is None
    for count in (1, 2):
        assert seen(contexts, "dark", count, window=None) is None
    assert shown(contexts)["turns_left"] is None
    assert shown(contexts)["utilisation"] is None


def test_a_refused_prompt_is_critical() -> None:
    """An overflow is told at once, whatever the share."""
    assert seen(Contexts(), "c", 10, overflow=True) == "critical"


def test_all_conversations_together() -> None:
    """The whole counts every request, also of conversations that were forgotten; the latest stands first."""
    contexts = Contexts(most=2, history=3)
    for name in ("a", "b", "a", "c"):
        seen(contexts, name, 800, pruned=True)
    seen(contexts, "c", 100, overflow=True)
    snapshot = contexts.snapshot()
    assert [each["conversation"] for each in snapshot["conversations"]] == ["c", "a"]
    assert snapshot["overall"] == {
        "conversations": 2,
        "requests": 5,
        "input_tokens": 900,
        "peak_input_tokens": 800,
        "utilisation": 0.8,
        "levels": {"critical": 1, "high": 0, "warning": 1},
        "prunes": 4,
        "overflows": 1,
    }


def test_an_empty_house() -> None:
    """Before the first request there is nothing, and no fault."""
    snapshot = Contexts().snapshot()
    assert snapshot["conversations"] == []
    assert snapshot["overall"]["utilisation"] is None


def test_history_is_bounded() -> None:
    """A conversation of a thousand turns keeps its latest only, and all its counts."""
    contexts = Contexts(history=4)
    for count in range(1_000):
        seen(contexts, "c", count)
    got = shown(contexts)
    assert len(got["history"]) == 4
    assert got["requests"] == 1_000
