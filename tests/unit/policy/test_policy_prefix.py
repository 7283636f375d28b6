"""What a conversation is called, and where its prompt stopped being the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from sfbridge.core.request import (
    Caller,
    ChatRequest,
    DocumentPart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    SealedPart,
    TextPart,
    ThoughtPart,
    Tool,
    ToolCall,
    ToolResult,
)
from sfbridge.policy.prefix import (
    common_prefix,
    conversation_key,
    neutral_attribution,
    trail,
    where_broke,
)

LINE = "x-anthropic-billing-header: cc_version=2.1.329.abc; cc_entrypoint=sdk-cli;"
ASKED = ChatRequest(
    model="m",
    system=(TextPart("You are helpful."),),
    tools=(Tool(name="Read", description="reads"), Tool(name="ns:Bash")),
    messages=(
        Message("user", (TextPart("first"),)),
        Message("assistant", (TextPart("well"), ToolCall("a", "Read", "{}"))),
        Message("user", (ToolResult("a", (TextPart("seen"),)),)),
    ),
)


def said(*parts: Part) -> ChatRequest:
    return ChatRequest(model="m", messages=(Message("user", parts),))


def test_the_attribution_line_goes() -> None:
    """A text of nothing but the line goes; one that begins with it keeps the rest and its cache mark."""
    identity = TextPart("You are Claude Code.", cache=True)
    assert neutral_attribution((TextPart(LINE), identity)) == (identity,)
    both = TextPart(f"{LINE}\n\nYou are Claude Code.", cache=True)
    assert neutral_attribution((both,)) == (identity,)


def test_other_system_texts_are_not_touched() -> None:
    """Without the line the very same texts come back, also when they speak of it."""
    system = (TextPart("You are helpful."), TextPart(f"Never write\n{LINE}"))
    assert neutral_attribution(system) is system
    assert neutral_attribution(()) == ()


@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_the_common_prefix_is_the_longest(shared: str, a: str, b: str) -> None:
    """All characters up to it are equal, and the next ones are not; for text and for bytes."""
    for one, two in ((shared + a, shared + b), ((shared + a).encode(), (shared + b).encode())):
        length = common_prefix(one, two)  # type: ignore[type-var]
        assert one[:length] == two[:length]
        assert one[length : length + 1] != two[length : length + 1] or length == len(one) == len(
            two
        )


def test_a_client_s_session_names_the_conversation() -> None:
    """The client's own session id is the key, apart for each API key, and never endless."""
    asked = replace(ASKED, caller=Caller(conversation="s1"))
    assert conversation_key(asked) == "s1"
    keyed = replace(ASKED, caller=Caller(conversation="s1", key_id="alice"))
    assert conversation_key(keyed) == "alice/s1"
    assert len(conversation_key(replace(ASKED, caller=Caller(conversation="s" * 9_999)))) == 128


def test_without_a_session_the_beginning_names_it() -> None:
    """System prompt and first words make the key: the same in every turn, another for other words."""
    key = conversation_key(ASKED)
    grown = replace(ASKED, messages=(*ASKED.messages, Message("user", (TextPart("more"),))))
    changing = replace(ASKED, system=(TextPart(LINE), *ASKED.system))
    assert conversation_key(grown) == conversation_key(changing) == key
    assert len(key) == 17
    others = [
        replace(ASKED, system=(TextPart("You are grumpy."),)),
        replace(ASKED, messages=(Message("user", (TextPart("second"),)),)),
        replace(ASKED, messages=()),
        replace(ASKED, caller=Caller(key_id="bob")),
    ]
    assert len({conversation_key(each) for each in others} | {key}) == 5


def test_a_grown_conversation_broke_nothing() -> None:
    """New messages at the end, and cache marks that moved, keep the prefix whole."""
    grown = replace(
        ASKED,
        system=(TextPart("You are helpful.", cache=True),),
        messages=(*ASKED.messages, Message("assistant", (TextPart("done"),))),
    )
    assert where_broke(trail(ASKED), trail(grown)) == ""
    assert where_broke((), trail(grown)) == ""


def test_what_broke_is_named() -> None:
    """The first piece that differs is told, with how much stood before it."""
    first, *others = ASKED.messages
    cases = {
        "tool Read changed, after 0 of 6 pieces": replace(
            ASKED, tools=(Tool(name="Read", description="READS"), ASKED.tools[1])
        ),
        "system text 1 stands where tool ns:Bash stood, after 1 of 6 pieces": replace(
            ASKED, tools=ASKED.tools[:1]
        ),
        "system text 1 changed, after 2 of 6 pieces": replace(ASKED, system=(TextPart("Hm"),)),
        "message 1 (user) changed, after 3 of 6 pieces": replace(
            ASKED, messages=(Message("user", (TextPart("other"),)), *others)
        ),
        "message 3 (user) is gone, after 5 of 6 pieces": replace(
            ASKED, messages=(first, others[0])
        ),
    }
    for words, changed in cases.items():
        assert where_broke(trail(ASKED), trail(changed)) == words


def test_every_kind_of_part_counts() -> None:
    """A change in any part that a model reads is seen; thoughts, which clients drop, are not."""
    raw = Raw(b"{}")
    parts: list[Part] = [
        TextPart("a"),
        TextPart("b"),
        ImagePart(data="a"),
        ImagePart(address="a"),
        DocumentPart(data="a"),
        DocumentPart(text="a"),
        ToolCall("a", "b", "c"),
        ToolCall("a", "bc", ""),
        ToolResult("a", (TextPart("a"),)),
        ToolResult("a", (TextPart("a"),), is_error=True),
        OpaquePart(dialect="d", kind="k", raw=raw),
        OpaquePart(dialect="d", kind="l", raw=raw),
    ]
    assert len({trail(said(part)) for part in parts}) == len(parts)
    silent = said(TextPart("a"), ThoughtPart("hm"), SealedPart("x"))
    assert trail(silent) == trail(said(TextPart("a")))
