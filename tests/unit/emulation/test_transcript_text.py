"""Earlier calls and results as the model will read them."""

from __future__ import annotations

import json

import msgspec

from sfbridge.core.request import (
    ChatRequest,
    DocumentPart,
    ImagePart,
    Message,
    Part,
    TextPart,
    ThoughtPart,
    Tool,
    ToolCall,
    ToolResult,
)
from sfbridge.emulation import dress
from sfbridge.emulation.transcript import Script

SCRIPT = Script("k7f2x", frozenset({"content"}), pointers=False)
TOOLS = (Tool(name="Bash"), Tool(name="Read"))


def history(*messages: Message) -> tuple[str, tuple[Message, ...]]:
    dressed = dress(
        ChatRequest(
            model="m", tools=TOOLS, messages=(Message("user", (TextPart("Go."),)), *messages)
        ),
        b"k",
    )
    return dressed.mark, dressed.request.messages[1:]


def text(part: Part) -> str:
    assert isinstance(part, TextPart)
    return part.text


def test_call_has_one_canonical_form() -> None:
    """Short values in spaced JSON in the order received, long and awkward strings raw behind it."""
    arguments = json.dumps(
        {
            "b": 1,
            "command": "x",
            "long": "y" * 81,
            "quoted": 'a"b',
            "content": "l1\nl2\n",
            "a": [1.5],
        }
    )
    assert SCRIPT.call("Bash", arguments) == (
        '<tool_call k7f2x name="Bash">\n'
        '{"b": 1, "command": "x", "a": [1.5]}\n'
        f'<raw k7f2x name="long">\n{"y" * 81}\n</raw k7f2x>\n'
        '<raw k7f2x name="quoted">\na"b\n</raw k7f2x>\n'
        '<raw k7f2x name="content">\nl1\nl2\n</raw k7f2x>\n'
        "</tool_call k7f2x>"
    )
    assert SCRIPT.call("Now", "") == '<tool_call k7f2x name="Now">\n{}\n</tool_call k7f2x>'


def test_strings_in_lists_are_raw_where_pointers_are_taught() -> None:
    """A long string inside a list of objects gets its pointer, in place of its key."""
    script = Script("k7f2x", frozenset(), pointers=True)
    written = script.call("E", '{"edits":[{"old":"a\\nb","new":"c"}]}')
    assert written == (
        '<tool_call k7f2x name="E">\n{"edits": [{"new": "c"}]}\n'
        '<raw k7f2x name="/edits/0/old">\na\nb\n</raw k7f2x>\n</tool_call k7f2x>'
    )


def test_results_stand_in_call_order_with_their_outcome() -> None:
    """All results of a turn go into one text in call order, then the user's words, then the reminder."""
    mark, (said, answered) = history(
        Message(
            "assistant",
            (
                ThoughtPart("hm", "sig"),
                TextPart("Two."),
                ToolCall("a", "Bash", "{}"),
                ToolCall("b", "Read", "{}"),
            ),
        ),
        Message(
            "user",
            (
                ToolResult("b", (TextPart("second"),), True),
                ToolResult("a", (TextPart("first\n"), TextPart("more"))),
                TextPart("And now?"),
            ),
        ),
    )
    assert [text(part) for part in said.parts] == [
        f'Two.\n<tool_call {mark} name="Bash">\n{{}}\n</tool_call {mark}>\n'
        f'<tool_call {mark} name="Read">\n{{}}\n</tool_call {mark}>'
    ]
    assert [text(part) for part in answered.parts] == [
        f'<tool_result {mark} name="Bash" n="1" ok>\nfirst\nmore\n</tool_result {mark}>\n'
        f'<tool_result {mark} name="Read" n="2" error>\nsecond\n</tool_result {mark}>\n\n'
        "And now?\n\n"
        f'Calls: <tool_call {mark} name="…"> JSON </tool_call {mark}>. Otherwise answer normally.'
    ]


def test_pictures_of_results_follow_under_a_line_that_names_the_call() -> None:
    """Images and files in a result become parts of the user's turn, each introduced by its call."""
    image = ImagePart(media_type="image/png", data="AAAA")
    paper = DocumentPart(media_type="application/pdf", data="BBBB")
    _, (_, answered) = history(
        Message("assistant", (ToolCall("a", "Read", "{}"),)),
        Message("user", (ToolResult("a", (TextPart("see"), image, paper)),)),
    )
    assert [type(part) for part in answered.parts] == [
        TextPart,
        ImagePart,
        TextPart,
        DocumentPart,
        TextPart,
    ]
    assert text(answered.parts[0]).endswith("\n\nImage from Read (call 1):")
    assert text(answered.parts[2]) == "Document from Read (call 1):"


def test_result_without_its_call_is_plain_text() -> None:
    """A result whose call is not in the history is labelled and shown without a tag."""
    _, (answered,) = history(Message("user", (ToolResult("gone", (TextPart("data"),)),)))
    assert text(answered.parts[0]).startswith("Result of a call that is not shown here:\ndata")
    assert "<tool_result" not in text(answered.parts[0])


def test_turn_of_thoughts_alone_is_left_out() -> None:
    """Thinking is not replayed, and the turns around it become one."""
    _, messages = history(
        Message("assistant", (TextPart("A."),)),
        Message("user", (TextPart("B"),)),
        Message("assistant", (ThoughtPart("hm"),)),
        Message("user", (TextPart("C"),)),
    )
    assert [message.role for message in messages] == ["assistant", "user"]
    assert [text(part) for part in messages[1].parts] == ["B", "\n\nC"]


def test_system_text_in_mid_conversation_stays() -> None:
    """A system message stays where and what it is."""
    note = Message("system", (TextPart("Note."),))
    _, messages = history(Message("assistant", (TextPart("A."),)), note)
    assert messages[1] is note


def test_result_that_quotes_tags_is_verbatim() -> None:
    """A result is shown as it is; that it cannot be taken for a tag is the mark's doing."""
    quoted = "</tool_result> <tool_call> & </raw>\r\n\x00"
    mark, (_, answered) = history(
        Message("assistant", (ToolCall("a", "Read", "{}"),)),
        Message("user", (ToolResult("a", (TextPart(quoted),)),)),
    )
    assert f"ok>\n{quoted}\n</tool_result {mark}>" in text(answered.parts[0])


def test_request_stays_a_value() -> None:
    """Dressing changes nothing in the request that was given."""
    request = ChatRequest(model="m", tools=TOOLS, messages=(Message("user", (TextPart("Go."),)),))
    before = msgspec.json.encode(request)
    dress(request, b"k")
    assert msgspec.json.encode(request) == before
