"""Stop sequences cut by us: at the same character however the text arrives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfbridge.emulation import StopCutter

words = st.text("abX\n", max_size=30)
stops = st.lists(st.text("abX\n", max_size=4), max_size=4).map(tuple)


def cut(sequences: tuple[str, ...], pieces: list[str]) -> tuple[str, str]:
    cutter = StopCutter(sequences)
    text = "".join(cutter.feed(piece) for piece in pieces) + cutter.drain()
    return text, cutter.hit


@given(words, stops, st.lists(st.integers(0, 30), max_size=5))
def test_cut_does_not_depend_on_the_pieces(
    text: str, sequences: tuple[str, ...], at: list[int]
) -> None:
    """Any split gives the same text and the same sequence."""
    places = sorted({min(n, len(text)) for n in at})
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert cut(sequences, pieces) == cut(sequences, [text]) == cut(sequences, list(text))


@given(words, stops)
def test_cut_ends_where_the_first_sequence_is_complete(
    text: str, sequences: tuple[str, ...]
) -> None:
    """What comes out is the text before the sequence that is complete first, or all of it."""
    out, hit = cut(sequences, [text])
    real = [one for one in sequences if one]
    if hit:
        assert text.startswith(out + hit)
        end = len(out) + len(hit)
        assert not any(one in text[: end - 1] for one in real)
    else:
        assert out == text
        assert not any(one in text for one in real)


def test_text_leaves_unless_it_may_begin_a_sequence() -> None:
    """Only the shortest end that a sequence could continue is held back."""
    cutter = StopCutter(("\n\nHuman:",))
    assert cutter.feed("Hello\n") == "Hello"
    assert cutter.feed("\nHum") == ""
    assert cutter.feed("ble") == "\n\nHumble"
    assert cutter.feed(" pie\n\nHuman: hi") == " pie"
    assert cutter.hit == "\n\nHuman:"
    assert cutter.feed("more") == cutter.drain() == ""


def test_longer_of_two_that_end_together_is_the_hit() -> None:
    """Of sequences that end on the same character the longer one counts, for it begins first."""
    assert cut(("b", "ab"), ["xab"]) == ("x", "ab")
