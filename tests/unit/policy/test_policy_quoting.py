"""What was said stays out of what is told about it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sfbridge.core.request import ChatRequest, Message, TextPart, ToolCall, ToolResult
from sfbridge.policy.quoting import HIDDEN, LEAST, contents_of, without_quotes

words = st.text("abcdefgh ", min_size=0, max_size=60)


@settings(max_examples=100)
@given(
    before=words, quoted=st.text("ijklmnop", min_size=LEAST, max_size=80), after=words, place=words
)
def test_a_quotation_is_cut_wherever_it_stands(
    before: str, quoted: str, after: str, place: str
) -> None:
    """Of any quotation of twelve characters and more, nothing but the mark remains; words around it stay."""
    said = place + quoted + place[::-1]
    found = without_quotes(before + quoted + after, [said])
    assert quoted not in found
    assert HIDDEN in found
    assert not any(said[at : at + LEAST] in found for at in range(len(said) - LEAST + 1))


@settings(max_examples=100)
@given(text=st.text("abcdefgh .:", max_size=200), said=st.lists(st.text("xyz", max_size=80)))
def test_what_nobody_said_stays(text: str, said: list[str]) -> None:
    """Text without a quotation is returned as it is."""
    assert without_quotes(text, said) == text


def test_a_long_error_over_a_long_conversation_is_quick() -> None:
    """A traceback of some thousand characters is cleaned of a megabyte of conversation without delay."""
    said = [
        "the quick brown fox jumps over the lazy dog " * 25_000,
        "and the secret sentence is here",
    ]
    text = "File nowhere, line 1\n" * 300 + "ValueError: the secret sentence is here\n"
    found = without_quotes(text, said)
    assert "secret sentence" not in found
    assert found.startswith("File nowhere")


def test_every_place_of_a_conversation_counts() -> None:
    """System text, messages, arguments and results are all contents."""
    request = ChatRequest(
        model="m",
        system=(TextPart("one"),),
        messages=(
            Message("user", (TextPart("two"),)),
            Message("assistant", (ToolCall("1", "t", '{"a":"three"}'),)),
            Message("user", (ToolResult("1", (TextPart("four"),)),)),
        ),
    )
    assert list(contents_of(request)) == ["one", "two", '{"a":"three"}', "four"]
