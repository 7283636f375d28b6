"""Turns of sessions that nobody has come back to: few, small, and gone when they are taken."""

from __future__ import annotations

from sfbridge.core.kept import KeptTurn
from sfbridge.state.announced import Announced


def turn(name: str) -> KeptTurn:
    return KeptTurn(id=name, at=0.0, model="m", messages=())


def test_a_turn_is_taken_once() -> None:
    """By its own owner and id."""
    announced = Announced()
    announced.keep(("me", "s"), turn("t"), 10)
    assert announced.take(("you", "s")) is None
    assert ("me", "s") in announced
    assert announced.take(("me", "s")) == turn("t")
    assert announced.take(("me", "s")) is None


def test_the_oldest_go() -> None:
    """By number and by characters."""
    announced = Announced(most=3, characters=100)
    for number in range(5):
        announced.keep(("", f"s{number}"), turn(f"t{number}"), 10)
    assert len(announced) == 3
    announced.keep(("", "wide"), turn("w"), 85)
    assert [n for n in range(5) if ("", f"s{n}") in announced] == [4]
    announced.keep(("", "s"), turn("t"), 100)
    assert len(announced) == 1


def test_a_turn_too_large_by_itself_pushes_out_no_other() -> None:
    """It is not held at all; those of other clients stay."""
    announced = Announced(most=3, characters=100)
    assert announced.keep(("", "s"), turn("t"), 100) == []
    assert announced.keep(("me", "huge"), turn("h"), 101) == [("me", turn("h"))]
    assert ("", "s") in announced
    assert ("me", "huge") not in announced


def test_who_is_pushed_out_is_told() -> None:
    """Each turn with its owner, the oldest first."""
    announced = Announced(most=3, characters=100)
    announced.keep(("me", "a"), turn("a"), 30)
    announced.keep(("you", "b"), turn("b"), 30)
    assert announced.keep(("me", "c"), turn("c"), 90) == [("me", turn("a")), ("you", turn("b"))]


def test_one_owner_lets_go_of_its_own() -> None:
    """The others' stay."""
    announced = Announced()
    announced.keep(("me", "a"), turn("t"), 1)
    announced.keep(("me", "b"), turn("t"), 1)
    announced.keep(("you", "a"), turn("t"), 1)
    assert announced.take_all("me") == 2
    assert len(announced) == 1
