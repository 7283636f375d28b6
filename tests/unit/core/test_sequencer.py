"""The grammar of events, whatever pieces come."""

from __future__ import annotations

import random

import pytest

from sfbridge.core.answer import Fold
from sfbridge.core.errors import GatewayError
from sfbridge.core.request import TextPart, ThoughtPart, ToolCall
from sfbridge.core.sequencer import Sequencer
from sfbridge.core.stream import (
    BlockEnded,
    BlockStarted,
    CallArguments,
    CallClosed,
    CallOpened,
    Closed,
    Delta,
    Event,
    Finished,
    Opened,
    Piece,
    Started,
    Text,
    Thought,
    Usage,
)


def sequencer() -> Sequencer:
    return Sequencer(lambda n: f"made_{n}", Usage(input=7, output=0, estimated=True))


def run(*pieces: Piece) -> list[Event]:
    """All events of one whole answer."""
    machine = sequencer()
    events = machine.feed(pieces)
    machine.drain()
    return events


def folded(events: list[Event]) -> tuple[object, ...]:
    fold = Fold()
    fold.feed(events)
    return fold.answer().parts


def check_grammar(events: list[Event]) -> None:
    """Started ( BlockStarted Delta* BlockEnded )* Finished, indices rising by one."""
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    index, inside = -1, False
    for event in events[1:-1]:
        match event:
            case BlockStarted():
                assert not inside
                index, inside = index + 1, True
                assert event.index == index
            case Delta():
                assert inside
                assert event.index == index
            case BlockEnded():
                assert inside
                assert event.index == index
                inside = False
            case _:
                raise AssertionError(f"{event} in the middle")
    assert not inside


def test_texts_of_one_batch_leave_as_one_delta() -> None:
    """What one read brought is one delta."""
    events = run(Text("a"), Text("b"), Closed())
    assert [e.text for e in events if isinstance(e, Delta)] == ["ab"]


def test_started_tells_the_estimate_until_the_upstream_reports() -> None:
    """The opening usage is the upstream's own when it came in time, our marked estimate otherwise."""
    assert run(Text("a"), Closed())[0] == Started(usage=Usage(input=7, output=0, estimated=True))
    told = Usage(input=3)
    assert run(Opened(model="m", usage=told), Text("a"), Closed())[0] == Started(
        model="m", usage=told
    )


def test_finished_holds_only_what_the_upstream_reported() -> None:
    """An estimate never passes for a report."""
    end = run(Text("a"), Closed(usage=Usage(output=2)))[-1]
    assert end == Finished(reason="stop", usage=Usage(output=2))


def test_interleaved_calls_leave_whole_and_apart() -> None:
    """Arguments that arrive interleaved are never mixed."""
    events = run(
        CallOpened(0, "a", "f"),
        CallOpened(1, "b", "g"),
        CallArguments(1, '{"y"'),
        CallArguments(0, '{"x":1'),
        CallArguments(1, ":2}"),
        CallArguments(0, "}"),
        Closed(reason="tool_calls"),
    )
    check_grammar(events)
    assert folded(events) == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}'))


def test_no_arguments_mean_an_empty_object() -> None:
    """A call without arguments carries the JSON text {}."""
    events = run(CallOpened(0, "a", "f"), CallClosed(0), Closed(reason="tool_calls"))
    assert folded(events) == (ToolCall("a", "f", "{}"),)


@pytest.mark.parametrize("given", ["", "same"])
def test_every_call_has_an_id_of_its_own(given: str) -> None:
    """Missing and repeated ids are replaced."""
    events = run(
        CallOpened(0, given, "f"),
        CallClosed(0),
        CallOpened(1, given, "f"),
        CallClosed(1),
        Closed(reason="tool_calls"),
    )
    ids = [e.id for e in events if isinstance(e, BlockStarted)]
    assert len(set(ids)) == 2
    assert all(ids)


def test_calls_decide_the_reason() -> None:
    """A turn with calls ends as tool_calls, whatever the upstream called it."""
    end = run(CallOpened(0, "a", "f"), CallClosed(0), Closed(reason="stop", raw="end_turn"))[-1]
    assert end == Finished(reason="tool_calls", raw="end_turn")


def test_a_call_cut_by_the_output_limit_is_dropped() -> None:
    """Truncation never delivers a call, also when its arguments happen to be complete."""
    events = run(
        Text("t"), CallOpened(0, "a", "f"), CallArguments(0, "{}"), Closed(reason="length")
    )
    assert folded(events) == (TextPart("t"),)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "length"


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ((Closed(),), "upstream_empty"),
        ((Text("a"), Closed(reason="tool_calls")), "upstream_empty_call"),
        (
            (CallOpened(0, "", "f"), CallArguments(0, "[1]"), CallClosed(0)),
            "upstream_bad_arguments",
        ),
        (
            (CallOpened(0, "", "f"), CallArguments(0, '{"a":'), CallClosed(0)),
            "upstream_bad_arguments",
        ),
        ((CallArguments(3, "{}"),), None),
        ((Text("a"), Closed(), Closed()), None),
    ],
)
def test_broken_words_fail_the_turn(pieces: tuple[Piece, ...], code: str | None) -> None:
    """What cannot be a whole turn is a failure, never a normal ending."""
    with pytest.raises(GatewayError) as caught:
        sequencer().feed(pieces)
    assert caught.value.kind == "upstream_failed"
    assert caught.value.code == code


def test_a_turn_may_end_without_a_word_where_nothing_was_left_to_say() -> None:
    """After tool results an empty answer is whole if the upstream says so; its silence about that is no word."""
    events = Sequencer(str, wordless=True).feed([Closed(raw="stop")])
    assert [type(event) for event in events] == [Started, Finished]
    assert folded(events) == ()
    with pytest.raises(GatewayError) as caught:
        Sequencer(str, wordless=True).feed([Closed()])
    assert caught.value.code == "upstream_empty"


def test_a_stream_without_its_end_is_a_failure() -> None:
    """Silence of the upstream is not an ending."""
    machine = sequencer()
    machine.feed([Text("half an ans")])
    with pytest.raises(GatewayError) as caught:
        machine.drain()
    assert caught.value.code == "upstream_truncated"


def random_pieces(dice: random.Random) -> list[Piece]:
    """Pieces of one answer in a wild but honest order: every call is opened before its arguments."""
    pieces: list[Piece] = [Opened(model="m")] if dice.random() < 0.5 else []
    opened: list[int] = []
    for step in range(dice.randrange(1, 14)):
        kind = dice.randrange(6)
        if kind == 0:
            pieces.append(Thought(f"t{step}", dice.choice(["", "sig"])))
        elif kind == 1:
            opened.append(step)
            pieces.append(CallOpened(step, dice.choice(["", f"id{step}", "twice"]), "tool"))
            pieces.append(CallArguments(step, f'{{"n":{step}'))
        elif kind == 2 and opened:
            key = opened.pop(dice.randrange(len(opened)))
            pieces += [CallArguments(key, "}"), CallClosed(key)]
        else:
            pieces.append(Text(dice.choice(["", "x", "word "])))
    for key in opened:
        pieces += [CallArguments(key, "}"), CallClosed(key)]
    pieces.append(Text("."))
    pieces.append(Closed(reason=dice.choice(["stop", "length"])))
    return pieces


def batches(dice: random.Random, pieces: list[Piece]) -> list[list[Piece]]:
    out: list[list[Piece]] = [[]]
    for piece in pieces:
        if dice.random() < 0.4:
            out.append([])
        out[-1].append(piece)
    return out


def test_any_pieces_in_any_batches_give_grammatical_events() -> None:
    """5,000 random answers keep the grammar, and batching changes nothing but the size of deltas."""
    dice = random.Random(20261121)
    for _ in range(5_000):
        pieces = random_pieces(dice)
        whole = run(*pieces)
        machine = sequencer()
        split = [e for batch in batches(dice, pieces) for e in machine.feed(batch)]
        machine.drain()
        check_grammar(whole)
        check_grammar(split)
        assert folded(whole) == folded(split)


def test_thoughts_keep_their_signature() -> None:
    """A signature arrives with its thought, once."""
    events = run(Thought("hm"), Thought("", "sig"), Text("a"), Closed())
    assert folded(events) == (ThoughtPart("hm", "sig"), TextPart("a"))
