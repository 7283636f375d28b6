"""Calls and results in pairs."""

from __future__ import annotations

import pytest

from sfbridge.core.request import (
    DocumentPart,
    ImagePart,
    Message,
    Part,
    TextPart,
    ToolCall,
    ToolResult,
)
from sfbridge.policy.history import INTERRUPTED, LEFT_OUT, pair_calls


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(TextPart(p) if isinstance(p, str) else p for p in parts))


def model(*parts: Part | str) -> Message:
    return Message("assistant", user(*parts).parts)


def call(call_id: str) -> ToolCall:
    return ToolCall(call_id, "look", '{"a": 1}')


def result(call_id: str, text: str = "") -> ToolResult:
    return ToolResult(call_id, (TextPart(text or f"saw {call_id}"),))


def interrupted(call_id: str) -> ToolResult:
    return ToolResult(call_id, (TextPart(INTERRUPTED),), is_error=True)


def test_a_sound_history_comes_back_itself() -> None:
    """Where nothing is wrong, nothing is built."""
    history = (
        user("go"),
        model("well", call("a"), call("b")),
        user(result("a"), result("b"), "and?"),
        model("hm"),
        model(call("c")),
        user(result("c")),
        Message("system", (TextPart("note"),)),
        model("done"),
    )
    paired, counts = pair_calls(history)
    assert paired is history
    assert counts == {}


@pytest.mark.parametrize(
    ("history", "paired"),
    [
        (
            (model(call("a"), call("b")), user(result("b"), result("a"))),
            (model(call("a"), call("b")), user(result("a"), result("b"))),
        ),
        (
            (model(call("a"), call("b")), user(result("a")), user(result("b")), user("on")),
            (model(call("a"), call("b")), user(result("a"), result("b")), user("on")),
        ),
        (
            (model(call("a")), user("first", result("a"), "last")),
            (model(call("a")), user(result("a"), "first", "last")),
        ),
        (
            (model(call("a")), Message("system", (TextPart("n"),)), user("t", result("a"))),
            (model(call("a")), user(result("a")), Message("system", (TextPart("n"),)), user("t")),
        ),
        (
            (model(call("a")), model(call("b")), user(result("a")), user(result("b"))),
            (model(call("a"), call("b")), user(result("a"), result("b"))),
        ),
        (
            (model("one"), model("two", call("a")), model("three"), user(result("a"))),
            (model("one", "\n\ntwo", call("a"), "three"), user(result("a"))),
        ),
    ],
)
def test_results_stand_right_after_their_calls_in_call_order(
    history: tuple[Message, ...], paired: tuple[Message, ...]
) -> None:
    """Results move to the front of the message after the calls; the order of a client is no fault."""
    assert pair_calls(history) == (paired, {})


def test_a_call_without_a_result_is_told_to_be_interrupted() -> None:
    """A missing result is given as an error, in the user's next message or in one of its own."""
    asked = model(call("a"), call("b"))
    assert pair_calls((asked, user(result("b"), "stop"))) == (
        (asked, user(interrupted("a"), result("b"), "stop")),
        {"orphan_call": 1},
    )
    both = user(interrupted("a"), interrupted("b"))
    assert pair_calls((asked,)) == ((asked, both), {"orphan_call": 2})
    note = Message("system", (TextPart("n"),))
    assert pair_calls((asked, note))[0] == (asked, both, note)
    assert pair_calls((asked, user("on"), asked_again := model("ok")))[0] == (
        asked,
        user(interrupted("a"), interrupted("b"), "on"),
        asked_again,
    )


def test_a_result_without_a_call_becomes_text() -> None:
    """What the tool said is kept as labelled text, in its place, with its pictures named."""
    picture = ToolResult(
        "x", (TextPart("see"), ImagePart(data="aa"), DocumentPart(text="doc")), is_error=True
    )
    paired, counts = pair_calls((user("a", result("gone", "found it"), "b"), user(picture)))
    first, label, last = paired[0].parts
    assert (first, last) == (TextPart("a"), TextPart("b"))
    assert isinstance(label, TextPart)
    assert "'gone'" in label.text
    assert label.text.endswith("\nfound it")
    assert isinstance(paired[1].parts[0], TextPart)
    assert paired[1].parts[0].text.startswith("[Error")
    assert paired[1].parts[0].text.endswith(f"\nsee\n{LEFT_OUT}\ndoc")
    assert counts == {"orphan_result": 2}


def test_a_late_result_does_not_change_an_earlier_exchange() -> None:
    """A result that comes after the model spoke again is text: what was sent before stays as it was."""
    history = (model(call("a")), user("on"), model("ok"), user(result("a")))
    paired, counts = pair_calls(history)
    assert paired[:2] == (model(call("a")), user(interrupted("a"), "on"))
    assert all(isinstance(part, TextPart) for part in paired[3].parts)
    assert counts == {"orphan_call": 1, "orphan_result": 1}


def test_the_last_of_several_results_stays() -> None:
    """Of results for one call the last one is believed."""
    history = (model(call("a")), user(result("a", "1"), result("a", "2")), user(result("a", "3")))
    assert pair_calls(history) == (
        (model(call("a")), user(result("a", "3"))),
        {"duplicate_result": 2},
    )


def test_ids_used_again_are_told_apart() -> None:
    """Clients that count their calls from zero in each turn, or give no ids, keep their results."""
    history = (
        model(call("call_0")),
        user(result("call_0", "one")),
        model(call("call_0"), call("call_0")),
        user(result("call_0", "two"), result("call_0", "three")),
        model(call("")),
        user(result("", "four")),
    )
    paired, counts = pair_calls(history)
    ids = [p.id for m in paired for p in m.parts if isinstance(p, ToolCall)]
    told = [p for m in paired for p in m.parts if isinstance(p, ToolResult)]
    assert len(set(ids)) == 4
    assert ids[0] == "call_0"
    assert [r.call_id for r in told] == ids
    assert [r.parts[0] for r in told] == [TextPart(t) for t in ("one", "two", "three", "four")]
    assert counts == {"repeated_id": 3}


def test_a_result_in_the_wrong_mouth_becomes_text() -> None:
    """Results in assistant and system turns are no results."""
    history = (model(result("a"), call("a")), Message("system", (result("a"),)))
    paired, counts = pair_calls(history)
    assert paired[1] == user(interrupted("a"))
    assert isinstance(paired[0].parts[0], TextPart)
    assert isinstance(paired[2].parts[0], TextPart)
    assert counts == {"orphan_result": 2, "orphan_call": 1}
