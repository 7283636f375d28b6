"""What is kept of a turn comes back as it was."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from sfbridge.core.kept import HISTORY, KeptTurn, pack, unpack
from sfbridge.core.request import (
    DocumentPart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    SealedPart,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
)

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES: st.SearchStrategy[Part] = st.one_of(
    st.builds(TextPart, WORDS),
    st.builds(ImagePart, media_type=WORDS, data=WORDS, address=WORDS, path=st.just(HISTORY)),
    st.builds(DocumentPart, media_type=WORDS, data=WORDS, text=WORDS, title=WORDS, path=st.just(HISTORY)),
    st.builds(ThoughtPart, WORDS, WORDS),
    st.builds(SealedPart, WORDS),
    st.builds(ToolCall, WORDS, WORDS, st.just('{"a": 1.0,  "b":"\\u00e9"}')),
    st.builds(
        OpaquePart, dialect=WORDS, kind=WORDS, raw=st.just(Raw(b'{"x": [1]}')), path=st.just(HISTORY)
    ),
)  # fmt: skip
PARTS = st.lists(
    LEAVES | st.builds(ToolResult, WORDS, st.lists(LEAVES, max_size=3).map(tuple), st.booleans()),
    max_size=4,
).map(tuple)
MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(["user", "assistant", "system"]), PARTS), max_size=4
).map(tuple)


def turn(messages: tuple[Message, ...], system: tuple[TextPart, ...] | None = None) -> KeptTurn:
    return KeptTurn(id="t", at=0.0, model="m", messages=messages, system=system)


@settings(max_examples=100)
@given(MESSAGES, st.none() | st.lists(st.builds(TextPart, WORDS), max_size=2).map(tuple))
def test_every_part_comes_back(
    messages: tuple[Message, ...], system: tuple[TextPart, ...] | None
) -> None:
    """All parts, results within results' parts, and the system prompt survive; arguments byte for byte."""
    found, prompt = unpack(pack(turn(messages, system)))
    assert found == messages
    assert prompt == system


def test_what_belonged_to_the_request_is_left_out() -> None:
    """Cache marks and places in the client's words say nothing later."""
    image = ImagePart(address="http://x/y.png", path="messages[0].content[1]")
    message = Message("user", (TextPart("hi", cache=True), image))
    (found,), _ = unpack(pack(turn((message,))))
    assert found.parts == (TextPart("hi"), ImagePart(address="http://x/y.png", path=HISTORY))


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"messages":[{"role":"user","parts":[["sound",{}]]}]}', b'{"messages":[{"role":"user","parts":[["text",{}]]}]}'],
)  # fmt: skip
def test_what_is_no_turn_is_refused(body: bytes) -> None:
    """A damaged body is told, not guessed at."""
    with pytest.raises(msgspec.MsgspecError):
        unpack(body)
