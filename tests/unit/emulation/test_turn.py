"""One upstream answer, read for calls, stops and shape at once; the outcome says what it came to."""

from __future__ import annotations

import random

import pytest
from msgspec import Raw

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import ChatRequest, Message, Shape, TextPart, Tool, text_of
from sfbridge.core.stream import Closed, Opened, Piece, Text, Thought, Usage
from sfbridge.emulation import Dressed, dress
from sfbridge.emulation.turn import Outcome, Turn

SCHEMA = Raw(b'{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}')


def dressed() -> Dressed:
    request = ChatRequest(
        model="m",
        messages=(Message("user", (TextPart("count"),)),),
        tools=(Tool(name="count", schema=SCHEMA),),
    )
    return dress(request, b"key")


def call(given: Dressed, arguments: str) -> str:
    return f'<tool_call {given.mark} name="count">\n{arguments}\n</tool_call {given.mark}>'


def outcome(turn: Turn, *pieces: Piece) -> tuple[str, Outcome]:
    """What left early and at the end, as one text, and the outcome."""
    early = turn.feed(pieces)
    found = turn.outcome()
    return "".join(p.text for p in (*early, *found.pieces) if isinstance(p, Text)), found


def test_a_call_is_an_outcome_and_never_prose() -> None:
    """Prose leaves, the call is delivered apart."""
    given = dressed()
    text, found = outcome(
        Turn(given), Text("Counting.\n" + call(given, '{"n": 3}')), Closed(reason="stop")
    )
    assert text.strip() == "Counting."
    assert [(c.name, c.arguments) for c in found.calls] == [("count", '{"n": 3}')]
    assert found.closed.reason == "tool_calls"
    assert not found.faults


def test_a_faulty_call_comes_with_its_correction() -> None:
    """A fault carries the model's own words and what was wrong with them; nothing of it is delivered."""
    given = dressed()
    said = call(given, '{"n": "three"}')
    _, found = outcome(Turn(given), Text(said), Closed())
    assert not found.calls
    assert found.faults[0].name == "count"
    assert [m.role for m in found.correction] == ["assistant", "user"]
    assert text_of(found.correction[0].parts) == said
    assert "/n" in text_of(found.correction[1].parts)


def test_a_stop_sequence_cuts_and_is_told() -> None:
    """The text ends before the stop, and the reason says which one it was."""
    text, found = outcome(Turn(stops=("END",)), Text("abc EN"), Text("D def"), Closed())
    assert text == "abc "
    assert (found.closed.reason, found.closed.stop_sequence) == ("stop_sequence", "END")


def test_a_call_cut_by_a_stop_sequence_is_not_delivered() -> None:
    """Cutting inside a call truncates it, and truncation is never a call."""
    given = dressed()
    _, found = outcome(Turn(given, stops=("</tool",)), Text(call(given, '{"n": 3}')), Closed())
    assert not found.calls
    assert not found.faults
    assert found.closed.reason == "stop_sequence"


def test_the_upstream_may_be_left_once_a_stop_was_hit() -> None:
    """After a stop sequence nothing more is needed, not even the upstream's end."""
    turn = Turn(stops=("END",))
    turn.feed([Text("a END b")])
    assert turn.halted
    assert turn.outcome().closed.reason == "stop_sequence"


def test_a_missing_end_is_a_failure() -> None:
    """Without terminal mark and without a cut of our own, the turn is not whole."""
    turn = Turn(dressed())
    turn.feed([Text("half")])
    with pytest.raises(GatewayError) as caught:
        turn.outcome()
    assert caught.value.code == "upstream_truncated"


@pytest.mark.parametrize(
    ("said", "json"),
    [('{"a": 1}', '{"a": 1}'), ('```json\n{"a": 1}\n```', '{"a": 1}'), (' {"a": 1}\n', '{"a": 1}')],
)
def test_json_answers_are_the_json_alone(said: str, json: str) -> None:
    """Nothing leaves before the JSON is checked, and nothing but the JSON then."""
    turn = Turn(shape=Shape("json"))
    assert turn.feed([Thought("hm"), Text(said[:4]), Text(said[4:])]) == [Thought("hm")]
    turn.feed([Closed()])
    assert turn.outcome().pieces == (Text(json),)


def test_an_answer_that_is_no_json_is_a_fault() -> None:
    """Prose instead of JSON is asked for again."""
    text, found = outcome(Turn(shape=Shape("json")), Text("Sure! Here it is."), Closed())
    assert text == ""
    assert found.faults
    assert len(found.correction) == 2


def test_a_truncated_json_answer_is_told_as_truncated() -> None:
    """The output limit is the truth about a cut answer; asking again would only be cut again."""
    text, found = outcome(Turn(shape=Shape("json")), Text('{"a": '), Closed(reason="length"))
    assert text == '{"a": '
    assert found.closed.reason == "length"
    assert not found.faults


def test_usage_of_the_opening_and_of_the_end_are_one() -> None:
    """Counts that came at the beginning are not lost at the end."""
    opened = Opened(model="m", usage=Usage(input=7))
    _, found = outcome(Turn(stops=("x",)), opened, Text("a"), Closed(usage=Usage(output=2)))
    assert found.closed.usage == Usage(input=7, output=2)


def test_any_split_of_the_text_gives_the_same_outcome() -> None:
    """2,000 random splits change nothing: calls, reason, prose."""
    given, dice = dressed(), random.Random(7)
    said = "One.\n" + call(given, '{"n": 1}') + "\n" + call(given, '{"n": 2}')
    whole, expected = outcome(Turn(given, stops=("STOP",)), Text(said), Closed())
    for _ in range(2_000):
        cuts = sorted(dice.sample(range(len(said)), dice.randrange(1, 9)))
        parts = [Text(said[a:b]) for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True)]
        text, found = outcome(Turn(given, stops=("STOP",)), *parts, Closed())
        assert (text.strip(), found.calls, found.closed) == (
            whole.strip(),
            expected.calls,
            expected.closed,
        )
