"""A conversation is found again from what its client resends, and from nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sfbridge.core.answer import Answer
from sfbridge.core.request import (
    Caller,
    ChatRequest,
    Message,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
)
from sfbridge.policy.threads import known_prefixes, unseen, whole_name

WORDS = st.text("ab \n", min_size=1, max_size=6)


def said(role: str, text: str) -> Message:
    return Message(role, (TextPart(text),))  # type: ignore[arg-type]


def answer(*parts: TextPart | ThoughtPart | ToolCall) -> Answer:
    return Answer(parts=parts, reason="stop")


def asked(*messages: Message, **fields: object) -> ChatRequest:
    return ChatRequest(model="m", messages=messages, **fields)  # type: ignore[arg-type]


def names(request: ChatRequest) -> set[bytes]:
    return {name for name, _ in known_prefixes(request, "lingma/m")}


@given(st.lists(WORDS, min_size=1, max_size=5), WORDS, WORDS)
def test_the_next_turn_finds_the_conversation(texts: list[str], reply: str, more: str) -> None:
    """Whatever was said, the request that resends it with its answer finds it under the longest name."""
    roles = ["user" if place % 2 == 0 else "assistant" for place in range(len(texts))]
    first = asked(*(said(role, text) for role, text in zip(roles, texts, strict=True)))
    kept = whole_name(first, "lingma/m", answer(TextPart(reply)))
    resent = asked(*first.messages, said("assistant", reply), said("user", more))
    assert known_prefixes(resent, "lingma/m")[0] == (kept, len(texts) + 1)


def test_what_clients_change_in_passing_does_not_count() -> None:
    """Thoughts left out, marks moved, ends trimmed and arguments printed anew are the same conversation."""
    call = ToolCall("c1", "read", '{"path":"a"}')
    kept = whole_name(
        asked(said("user", "hello")),
        "lingma/m",
        answer(ThoughtPart("hm", ""), TextPart("Reading. "), call),
    )
    back = asked(
        Message("user", (TextPart("hello", cache=True),)),
        Message("assistant", (TextPart("Reading."), replace(call, arguments='{ "path": "a" }'))),
        Message("user", (ToolResult("c1", (TextPart("text"),)),)),
    )
    assert kept in names(back)


def test_conversations_of_others_are_not_found() -> None:
    """Another key, model, system prompt, place or history is another conversation."""
    request = asked(said("user", "hello"))
    kept = whole_name(request, "lingma/m", answer(TextPart("hi")))
    more = (said("user", "hello"), said("assistant", "hi"), said("user", "go on"))
    assert kept in names(asked(*more))
    assert kept not in names(asked(*more, caller=Caller(key_id="other")))
    assert kept not in names(replace(asked(*more), model="n"))
    assert kept not in names(asked(*more, system=(TextPart("be brief"),)))
    assert kept not in names(asked(said("user", "bye"), *more[1:]))
    assert kept not in {name for name, _ in known_prefixes(asked(*more), "lingma/n")}


def test_what_is_new_begins_after_the_same_answer() -> None:
    """Answers mark the place where the unseen part begins, however user turns were merged; else nothing is said."""
    history = (
        said("user", "one"),
        said("user", "two"),
        said("assistant", "three"),
        said("user", "four"),
    )
    merged = (said("user", "one two"), *history[2:])
    assert unseen(merged, history, 3) == 2
    assert unseen(history, history, 3) == 3
    assert unseen((said("user", "all of it"),), history, 3) is None
