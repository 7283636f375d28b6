"""Turns that are in order already: nothing is built, and nothing that is in order is touched twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from sfbridge.core.model import Capabilities
from sfbridge.core.request import Message, Part, TextPart, ToolCall, ToolResult
from sfbridge.policy.turns import take_turns

PARTS: some.SearchStrategy[Part] = some.one_of(
    some.builds(TextPart, some.sampled_from(["", " \n", "said"])),
    some.just(ToolCall("c1", "look", "{}")),
    some.builds(
        ToolResult, some.just("c1"), some.sampled_from([(), (TextPart(""),), (TextPart("x"),)])
    ),
)
MESSAGES = some.lists(
    some.builds(
        Message,
        some.sampled_from(["user", "assistant", "system"]),
        some.lists(PARTS, max_size=3).map(tuple),
    ),
    max_size=6,
).map(tuple)
ABILITIES = some.builds(Capabilities, alternation=some.booleans(), system_midway=some.booleans())


def test_a_conversation_in_order_comes_back_itself() -> None:
    """A conversation that needs no change is the very same tuple afterwards, whoever takes it."""
    said = Message("user", (TextPart("a"),))
    told = Message("assistant", (TextPart("b"),))
    for messages in ((said,), (said, told, said)):
        for alternation in (True, False):
            assert take_turns(messages, Capabilities(alternation=alternation)) is messages


@given(MESSAGES, ABILITIES)
def test_once_is_enough(messages: tuple[Message, ...], can: Capabilities) -> None:
    """What was put in order stays as it is when it is put in order again, unless blanks are to stay."""
    once = take_turns(messages, can)
    assert take_turns(once, can) == once


@given(MESSAGES)
def test_alternation_holds(messages: tuple[Message, ...]) -> None:
    """Speakers alternate, the user first and last, and nobody says nothing."""
    turns = take_turns(messages, Capabilities(alternation=True))
    assert [turn.role for turn in turns] == (["user", "assistant"] * len(turns))[: len(turns)]
    assert not turns or turns[-1].role == "user"
    assert all(turn.parts for turn in turns)
    texts = [part.text for turn in turns for part in turn.parts if isinstance(part, TextPart)]
    assert all(text.strip() for text in texts)
