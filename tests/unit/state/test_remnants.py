"""What is left of turns: the least asked for goes first, each belongs to its owner."""

from __future__ import annotations

from sfbridge.state.remnants import Remnants


def test_what_is_asked_for_stays() -> None:
    """By number and by bytes, those go that nobody asked for longest."""
    remnants = Remnants(most=3, room=100)
    for name in "abc":
        remnants.keep(("me", name), b"1234567890")
    assert remnants.of(("me", "a")) == b"1234567890"
    remnants.keep(("me", "d"), b"")
    assert [name for name in "abcd" if remnants.of(("me", name)) is not None] == ["a", "c", "d"]
    remnants.keep(("me", "wide"), b"x" * 85)
    assert [name for name in "acd" if remnants.of(("me", name)) is not None] == ["c", "d"]


def test_what_finds_no_room_pushes_out_no_other() -> None:
    """It is not held at all."""
    remnants = Remnants(most=3, room=10)
    remnants.keep(("me", "a"), b"1234567890")
    remnants.keep(("me", "huge"), b"12345678901")
    assert remnants.of(("me", "huge")) is None
    assert remnants.of(("me", "a")) == b"1234567890"


def test_owners_are_apart() -> None:
    """Taking one's own leaves those of others, and the room that was taken is free again."""
    remnants = Remnants(room=10)
    remnants.keep(("me", "a"), b"12345")
    remnants.keep(("me", "a"), b"1234")
    remnants.keep(("you", "a"), b"12345")
    assert remnants.take(("them", "a")) is None
    assert remnants.take(("me", "a")) == b"1234"
    assert remnants.of(("you", "a")) == b"12345"
    remnants.keep(("me", "b"), b"12345")
    remnants.take_all("me")
    assert remnants.of(("me", "b")) is None
    assert remnants.of(("you", "a")) == b"12345"
