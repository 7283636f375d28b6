"""Signals -> pieces: text, its fences and its end, whatever the chunking; tools joined, in order, once."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from sfbridge.core.stream import Activity, Closed, Piece, Ran, Text, Thought
from sfbridge.upstream.lingma.fences import Fences
from sfbridge.upstream.lingma.reading import Manner, Overflow, Reading
from sfbridge.upstream.lingma.signals import (
    Ended,
    Forgotten,
    Mused,
    Said,
    Signal,
    Stepped,
    ToolSeen,
)
from sfbridge.upstream.lingma.tools import Tools, argument_text
from sfbridge.upstream.lingma.toolwords import in_extra

LINES = st.lists(
    st.sampled_from(
        ["plain", "", "`", "``", "```", "```py", "```toolCall::f::c1::INIT", "```toolCall::f::", "```js|CODE_EDIT_BLOCK|a/b.js",
         "  ```", "a ``` b", "line\u2028sep", "\r", "`" * 600, "```" + "x" * 600]
    ),
    max_size=8,
)  # fmt: skip


def texts(found: list[Said | ToolSeen]) -> str:
    return "".join(
        item.text if isinstance(item, Said) else f"<{item.name} {item.id}>" for item in found
    )


@given(LINES, st.lists(st.integers(0, 5000), max_size=20), st.booleans())
@settings(max_examples=100, deadline=None)
def test_fences_do_not_depend_on_chunking(lines: list[str], places: list[int], ended: bool) -> None:
    """However text is cut, the same text and the same announcements come out."""
    text = "\n".join(lines) + ("\n" if ended else "")
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    cut, whole = Fences(), Fences()
    found = [item for a, b in pairwise(edges) for item in cut.feed(text[a:b])] + cut.drain()
    assert texts(found) == texts(whole.feed(text) + whole.drain())


@given(st.lists(st.text(alphabet="ab`\n|: ", max_size=12), max_size=12))
@settings(max_examples=100, deadline=None)
def test_ordinary_text_passes_unchanged(chunks: list[str]) -> None:
    """What is no instruction to an IDE leaves as it came."""
    fences = Fences()
    found = [item for chunk in chunks for item in fences.feed(chunk)] + fences.drain()
    assert texts(found) == "".join(chunks)


def test_only_what_may_become_a_fence_is_held_back() -> None:
    """Prose leaves at once; a line that began like a fence waits for its end."""
    fences = Fences()
    assert texts(fences.feed("Hello `code` and ")) == "Hello `code` and "
    assert texts(fences.feed("more\n``")) == "more\n"
    assert texts(fences.feed("x")) == "``x"
    assert texts(fences.feed("\n```toolCall::")) == "\n"
    assert texts(fences.feed("read::c1::INIT\n```\nok")) == "<read c1>ok"


def claim(call_id: str) -> str:
    return f"lingma_{call_id}"


def reading(
    *, stream: bool = True, showing: str = "mirror", most: int = 10_000, **manner: bool
) -> Reading:
    tools = Tools(showing, claim)  # type: ignore[arg-type]
    return Reading(Manner(stream=stream, thoughts=manner.get("thoughts", True)), tools, most)


def read(signals: list[Signal], **how: bool) -> list[Piece]:
    machine = reading(**how)  # type: ignore[arg-type]
    return [piece for signal in signals for piece in machine.feed([signal])]


def said(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Text))


SIGNALS = st.lists(
    st.one_of(
        st.sampled_from(["a", "b\n", "", "```x\n"]).map(Said),
        st.just(Mused("m")),
        st.just(Stepped("step_end")),
        st.builds(
            lambda call, phase: ToolSeen(id=call, phase=phase, name="f"),
            st.sampled_from(["c1", "c2"]),
            st.sampled_from(["start", "running", "result", "error"]),
        ),
    ),
    max_size=14,
)


@given(SIGNALS, st.sampled_from([Ended(200, "success", ""), Forgotten(), Ended(None, "", "ab\n!")]))
@settings(max_examples=100, deadline=None)
def test_streamed_and_whole_are_the_same(signals: list[Signal], end: Signal) -> None:
    """The pieces of an answer are the same whether they leave as they come or at the end, and end exactly once."""
    if (
        isinstance(end, Ended)
        and end.code is None
        and not any(isinstance(s, Said) and s.text for s in signals)
    ):
        end = Forgotten()
    streamed = read([*signals, end, Said("late"), Ended(500)], stream=True)
    whole = read([*signals, end, Said("late")], stream=False)
    assert said(streamed) == said(whole)
    assert [type(p) for p in streamed if not isinstance(p, Text)] == [
        type(p) for p in whole if not isinstance(p, Text)
    ]
    assert sum(isinstance(piece, Closed) for piece in streamed) == 1
    assert isinstance(streamed[-1], Closed)
    seen = {signal.id for signal in signals if isinstance(signal, ToolSeen)}
    assert sorted(p.id for p in streamed if isinstance(p, Ran)) == sorted(
        f"lingma_{call}" for call in seen
    )


def test_an_answer_is_reusable_only_when_its_end_was_told() -> None:
    """Only the process' own word makes a conversation one that can go on."""
    for end, whole in ((Ended(200), True), (Forgotten(), False)):
        machine = reading()
        machine.feed([Said("a"), end])
        assert (machine.over, machine.whole) == (True, whole)
    diverged = reading()
    diverged.feed([Said("a"), Said("b", overwrite=True), Ended(200)])
    assert not diverged.whole


def test_thoughts_are_shown_only_where_wanted() -> None:
    """Reasoning counts as a sign of the answer in either case."""
    assert read([Mused("m"), Said("a"), Ended(200)], thoughts=True)[0] == Thought("m")
    silent = reading(thoughts=False)
    assert silent.feed([Mused("m")]) == []
    assert silent.spoken


def test_too_long_an_answer_raises() -> None:
    """The cap counts what was said, not what was shown."""
    machine = reading(most=5)
    machine.feed([Said("abc")])
    with pytest.raises(Overflow):
        machine.feed([Said("def")])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["start", "running", "result", "error", "cancelled"])), max_size=20))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_each_call_leaves_once_in_the_order_of_its_first_sight(
    events: list[tuple[str, str]],
) -> None:
    """Whatever order events come in, calls leave once each, first seen first, results of ended ones with them."""
    tools = Tools("mirror", claim)
    out: list[Piece] = []
    for call, phase in events:
        tools.feed(ToolSeen(id=call, phase=phase))  # type: ignore[arg-type]
        out += tools.leaving()
    out += tools.leaving(last=True)
    left = [piece.id for piece in out if isinstance(piece, Ran)]
    assert left == [f"lingma_{call}" for call in dict.fromkeys(call for call, _ in events)]
    assert sum(isinstance(piece, Activity) for piece in out) == len(left)
    assert not tools.running


@pytest.mark.parametrize(
    ("raw", "text"),
    [(None, "{}"), (b'{"a": 1}', '{"a": 1}'), (b'"{\\"a\\":1}"', '{"a":1}'), (b'"plain"', '{"value":"plain"}'),
     (b"[1]", '{"value":[1]}'), (b"7", '{"value":7}')],
)  # fmt: skip
def test_arguments_are_always_one_object(raw: bytes | None, text: str) -> None:
    """Objects stay as they are, text that is an object is that object, anything else stands within one."""
    found = argument_text(Raw(raw) if raw is not None else None)
    assert found == text
    assert isinstance(json.loads(found), dict)


def test_tool_lists_in_extras_are_read_leniently() -> None:
    """Every likely name of id, name, arguments and result is understood; noise is not an error."""
    extra = {"sessionType": "chat", "tool_calls": [
        {"id": "a", "function": {"name": "f", "arguments": "{}"}}, {"toolCallId": "b", "toolName": "g", "status": "FAILED"},
        {"callId": "c", "name": "h", "input": {"x": 1}, "output": "done"}, {"name": "no id"}]}  # fmt: skip
    found = in_extra(Raw(json.dumps(extra).encode()))
    assert [(seen.id, seen.name, seen.phase) for seen in found] == [
        ("a", "f", "start"), ("b", "g", "error"), ("c", "h", "result")]  # fmt: skip
    for noise in (b"null", b"{}", b'{"tools": 7}', b'{"tools": [7]}', b"not json ool"):
        assert in_extra(Raw(noise)) == []


def test_noise_of_every_kind_ends_well() -> None:
    """Random signals give pieces or an error of ours, never another exception."""
    from sfbridge.core.errors import GatewayError

    dice = random.Random(3)
    pool: list[Signal] = [Said("a"), Said("b", overwrite=True), Said("", filtered=True), Mused(""), Stepped(""),
                          Ended(None), Ended(0), Ended(429), Ended(406), Ended(200, "cancelled")]  # fmt: skip
    for _ in range(300):
        machine = reading(stream=dice.random() < 0.5)
        try:
            for _ in range(8):
                machine.feed([dice.choice(pool)])
        except GatewayError:
            assert machine.over
