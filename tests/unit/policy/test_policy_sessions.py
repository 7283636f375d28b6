"""How a request goes on from what its session has kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from sfbridge.core.kept import KeptTurn
from sfbridge.core.request import (
    ChatRequest,
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
    text_of,
)
from sfbridge.policy.sessions import begin, continue_from


def user(*parts: str | Part) -> Message:
    return Message("user", tuple(TextPart(p) if isinstance(p, str) else p for p in parts))


def model(*parts: str | Part) -> Message:
    return Message("assistant", tuple(TextPart(p) if isinstance(p, str) else p for p in parts))


def kept(name: str, *messages: Message, **more: Any) -> KeptTurn:
    return KeptTurn(**{"id": name, "at": 0.0, "model": "m", "messages": messages, **more})


def ask(*messages: Message, **more: Any) -> ChatRequest:
    return ChatRequest(**{"model": "m", "messages": messages, **more})


Q1, A1, Q2, A2, Q3 = user("one?"), model("One."), user("two?"), model("Two."), user("three?")
TURNS = (kept("t1", Q1, A1), kept("t2", Q2, A2))


def test_new_messages_follow_all_that_was_said() -> None:
    """History first, then what is new; only that is kept."""
    found = continue_from(TURNS, ask(Q3))
    assert found.request.messages == (Q1, A1, Q2, A2, Q3)
    assert (found.added, found.after) == ((Q3,), "t2")


def test_the_first_turn_is_all_new() -> None:
    """A session begins with everything that its client sent."""
    request = ask(Q1, system=(TextPart("s"),))
    found = begin(request)
    assert (found.request, found.added, found.after) == (request, (Q1,), "")
    assert found.system == request.system


def test_what_is_sent_again_is_not_added_again() -> None:
    """The request goes out as it is, to the same object."""
    sent = (Q1, A1, Q2, A2, Q3)
    found = continue_from(TURNS, ask(*sent))
    assert found.request.messages is not None
    assert found.request.messages == sent
    assert (found.added, found.after) == ((Q3,), "t2")


def test_going_back_continues_from_the_earlier_turn() -> None:
    """An edited or repeated turn follows the answer before it."""
    for edited in (Q2, Q3):
        found = continue_from(TURNS, ask(Q1, A1, edited))
        assert found.request.messages == (Q1, A1, edited)
        assert (found.added, found.after) == ((edited,), "t1")


def test_a_window_of_the_last_turns_is_completed() -> None:
    """A client that forgot the beginning has it put before its messages, and nothing twice."""
    found = continue_from(TURNS, ask(Q2, A2, Q3))
    assert found.request.messages == (Q1, A1, Q2, A2, Q3)
    assert (found.added, found.after) == ((Q3,), "t2")
    found = continue_from(TURNS, ask(A2, Q3))
    assert found.request.messages == (Q1, A1, Q2, A2, Q3)
    assert found.added == (Q3,)


@pytest.mark.parametrize(
    "sent",
    [
        (
            Q1,
        ),  # asked once more, or sent again? said once more: nothing shows that the client has the history
        (Q1, model("Another."), Q3),
        (user("One!"), A1, Q3),
        (Q2, model("Another."), Q3),
        (A1, Q3),
    ],
)
def test_anything_else_is_new(sent: tuple[Message, ...]) -> None:
    """What does not begin like the conversation, up to an answer of it, is added in full."""
    found = continue_from(TURNS, ask(*sent))
    assert found.request.messages == (Q1, A1, Q2, A2, *sent)
    assert (found.added, found.after) == (sent, "t2")


def test_examples_of_the_client_are_no_answers() -> None:
    """A client that sends the same worked example with every question is not taken for one that went back."""
    example = (user("example?"), model("Example."))
    turns = (kept("t1", *example, Q1, A1),)
    found = continue_from(turns, ask(*example, Q2))
    assert found.request.messages == (*example, Q1, A1, *example, Q2)
    assert found.added == (*example, Q2)


CALL = ToolCall("c1", "f", '{"a": 1, "b": [2.0]}')
TOOLS = (
    kept(
        "t1",
        user("look"),
        model(ThoughtPart("hm", "sig"), SealedPart("x"), "Looking.", CALL, "Wait."),
    ),
    kept("t2", user(ToolResult("c1", (TextPart("it is\n 42"),)), "and?"), model("42.")),
)


@pytest.mark.parametrize(
    "again",
    [
        (user("look"), model("Looking.", CALL, "Wait."), TOOLS[1].messages[0]),
        (  # as OpenAI clients print it: one text, calls after it, results in a message of their own
            user("look "),
            model("Looking.Wait.", ToolCall("c1", "f", '{"b":[2],"a":1}')),
            user(ToolResult("c1", (TextPart("it is\r\n 42\n"),))),
            user("and?"),
        ),
        (  # with other ids, marks and empty parts
            user(TextPart("look", cache=True), ""),
            model(),
            model("Looking. ", "Wait.", ToolCall("x9", "f", '{"a":1,"b":[2.0]}')),
            user(ToolResult("x9", (TextPart("it is 42"),)), TextPart("and?", cache=True)),
        ),
    ],
)  # fmt: skip
def test_what_clients_change_does_not_count(again: tuple[Message, ...]) -> None:
    """Thoughts, marks, ids, white space, printing and borders between messages differ; it is the same conversation."""
    found = continue_from(TOOLS, ask(*again, model("42."), Q3))
    assert (found.added, found.after) == ((Q3,), "t2")
    assert found.request.messages == (*again, model("42."), Q3)


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        (ImagePart(media_type="image/png", data="AA"), ImagePart(media_type="image/png", data="BB")),
        (ImagePart(address="http://x/1"), ImagePart(address="http://x/2")),
        (DocumentPart(media_type="text/plain", text="a"), DocumentPart(media_type="text/plain", text="b")),
        (OpaquePart(dialect="d", kind="k", raw=Raw(b"1")), OpaquePart(dialect="d", kind="k", raw=Raw(b"2"))),
        (ToolResult("c", (TextPart("1"),)), ToolResult("c", (TextPart("2"),))),
        (ToolResult("c", (ImagePart(data="1"),)), ToolResult("c", (ImagePart(data="2"),))),
    ],
)  # fmt: skip
def test_other_content_is_another_message(stored: Part, sent: Part) -> None:
    """Pictures, documents, results and unknown blocks are compared by what is in them."""
    turns = (kept("t1", user(stored, "?"), A1),)
    assert continue_from(turns, ask(user(stored, "?"), A1, Q2)).added == (Q2,)
    assert len(continue_from(turns, ask(user(sent, "?"), A1, Q2)).added) == 3


def test_thoughts_go_to_their_own_model_only() -> None:
    """Another model gets the conversation without them, and without messages that held nothing else."""
    turns = (
        *TOOLS[:1],
        kept("t2", user("x"), model(ThoughtPart("only")), model="m"),
        kept("t3", user("y"), model(ThoughtPart("kept"), "Yes."), model="other"),
    )
    mine = continue_from(turns, ask(Q3)).request.messages
    assert mine[1] == TOOLS[0].messages[1]
    assert mine[-2] == model("Yes.")
    others = continue_from(turns, ask(Q3, model="other")).request.messages
    assert others[1] == model("Looking.", CALL, "Wait.")
    assert others[2:] == (user("x"), user("y"), model(ThoughtPart("kept"), "Yes."), Q3)


def test_the_system_prompt_is_the_last_that_was_given() -> None:
    """Absent: as before; the same: not kept again; another: from now on."""
    pirate, king = (TextPart("pirate", cache=True),), (TextPart("king"),)
    turns = (kept("t1", Q1, A1, system=pirate), kept("t2", Q2, A2), kept("t3", Q3, A2, system=king))
    absent = continue_from(turns[:2], ask(Q3))
    assert (absent.request.system, absent.system) == (pirate, None)
    same = continue_from(turns[:2], ask(Q3, system=(TextPart("pirate"),)))
    assert same.system is None
    other = continue_from(turns[:2], ask(Q3, system=king))
    assert (other.request.system, other.system) == (king, king)
    back = continue_from(turns, ask(Q1, A1, Q2, A2, Q1))
    assert (back.after, back.request.system) == ("t2", pirate)


TEXTS = st.sampled_from(["a", "b", " ", ""])
SPOKEN = st.lists(st.tuples(st.sampled_from([user, model]), TEXTS), max_size=5)


@settings(max_examples=100)
@given(st.lists(st.tuples(SPOKEN, TEXTS), min_size=1, max_size=3), SPOKEN)
def test_nothing_is_lost(turns: list[tuple[Any, str]], sent: list[Any]) -> None:
    """Whatever was kept and is sent: what goes out ends with what was sent last, and what is added is an end of it."""
    stored = [
        kept(f"t{n}", *(make(text) for make, text in said), model(answer))
        for n, (said, answer) in enumerate(turns)
    ]
    messages = tuple(make(text) for make, text in sent)
    found = continue_from(stored, ask(*messages))
    assert messages[len(messages) - len(found.added) :] == found.added
    assert found.request.messages[len(found.request.messages) - len(found.added) :] == found.added
    assert _letters(found.request.messages) >= _letters(messages)
    assert found.after in [turn.id for turn in stored]


def _letters(messages: tuple[Message, ...]) -> int:
    """Blank messages do not count: clients add them, and drop them again."""
    return sum(len(text_of(message.parts).strip()) for message in messages)
