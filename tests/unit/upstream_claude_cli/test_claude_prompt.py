"""Messages -> what the `claude` command is told."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sfbridge.core.request import (
    DocumentPart,
    ImagePart,
    Message,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
)
from sfbridge.upstream.claude_cli.prompt import content_of, results_of, words_of


def user(*parts: Any) -> Message:
    return Message("user", tuple(TextPart(p) if isinstance(p, str) else p for p in parts))


def assistant(*parts: Any) -> Message:
    return Message("assistant", user(*parts).parts)


def record(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The objects of the record in the first block."""
    return [json.loads(line) for line in blocks[0]["text"].split("\n") if line.startswith("{")]


def test_the_first_words_go_as_they_are() -> None:
    """A single message needs no record."""
    assert content_of((user("Hello", "there"),)) == [
        {"type": "text", "text": "Hello"},
        {"type": "text", "text": "there"},
    ]


def test_pictures_and_documents() -> None:
    """Pictures and documents go as blocks."""
    picture = ImagePart(media_type="image/png", data="aGk=")
    linked = ImagePart(address="https://example.org/a.png")
    paper = DocumentPart(media_type="application/pdf", data="aGk=", title="Paper")
    note = DocumentPart(text="Words.")
    blocks = content_of((user(picture, linked, paper, note),))
    assert [block["source"] for block in blocks] == [
        {"type": "base64", "media_type": "image/png", "data": "aGk="},
        {"type": "url", "url": "https://example.org/a.png"},
        {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
        {"type": "text", "media_type": "text/plain", "data": "Words."},
    ]
    assert blocks[2]["title"] == "Paper"


def test_a_slash_is_no_command() -> None:
    """Words that begin with a slash stay words: only the last text block is looked at by the command."""
    assert content_of((user("/cost"),))[-1]["text"] == " /cost"
    assert words_of(user("/cost"))[-1]["text"] == " /cost"
    history = (user("Hello"), assistant("Hi"), user("/cost"))
    assert content_of(history)[-1]["text"] == " /cost"


def test_a_history_is_told() -> None:
    """What came before is a record, one object per line; the user's last words follow it as they are."""
    call = ToolCall("t1", "look", '{\n  "q": "x"\n}')
    picture = ImagePart(media_type="image/png", data="aGk=")
    blocks = content_of(
        (
            user("What is this?", picture),
            assistant(ThoughtPart("Hm."), "Let me look.", call),
            user(ToolResult("t1", (TextPart("a cat"),)), ToolResult("t2", (), is_error=True)),
            assistant("A cat."),
            user("Sure?"),
        )
    )
    assert record(blocks) == [
        {"role": "user", "text": "What is this?\n[attachment 1, shown below]"},
        {"role": "assistant", "text": "Let me look.",
         "calls": [{"id": "t1", "tool": "look", "arguments": {"q": "x"}}]},
        {"role": "tool", "call": "t1", "text": "a cat"},
        {"role": "tool", "call": "t2", "text": "", "failed": True},
        {"role": "assistant", "text": "A cat."},
    ]  # fmt: skip
    assert [block["type"] for block in blocks] == ["text", "image", "text"]
    assert blocks[-1]["text"] == "Sure?"


def test_a_history_that_ends_with_results() -> None:
    """Results whose call is not open any more are the end of the record; the conversation goes on from there."""
    history = (
        user("Look."),
        assistant(ToolCall("t1", "look", "{}")),
        user(ToolResult("t1", (TextPart("a cat"),))),
    )
    blocks = content_of(history)
    assert record(blocks)[-1] == {"role": "tool", "call": "t1", "text": "a cat"}
    assert "Go on" in blocks[-1]["text"]
    beside = content_of((*history[:2], user(*history[2].parts, "And?")))
    assert record(beside)[-1] == {"role": "tool", "call": "t1", "text": "a cat"}
    assert beside[-1]["text"] == "And?"


@settings(max_examples=60)
@given(st.lists(st.text(alphabet='{}"\\\n\r\u2028 ar:', max_size=30), min_size=3, max_size=5))
def test_no_text_passes_for_another(texts: list[str]) -> None:
    """Whatever a text holds, the record has as many lines as there are messages, and their texts."""
    said = [text or "x" for text in texts]
    if len(said) % 2 == 0:
        said.pop()
    messages = [(user if n % 2 == 0 else assistant)(text) for n, text in enumerate(said)]
    blocks = content_of(tuple(messages))
    assert [entry["text"] for entry in record(blocks)] == said[:-1]


def test_odd_arguments_are_told_as_they_are() -> None:
    """Arguments that are no JSON stay the text that they were."""
    blocks = content_of((user("Hi"), assistant(ToolCall("t1", "look", "{oops")), user("And?")))
    assert record(blocks)[1]["calls"][0]["arguments"] == "{oops"


def test_results_as_the_tool_server_gives_them() -> None:
    """Texts and pictures of a result go as such, what has no form there as a sentence, failures as failures."""
    picture = ImagePart(media_type="image/png", data="aGk=")
    parts = (TextPart("a cat"), picture, ImagePart(address="https://x"), DocumentPart(data="aGk="))
    message = user(ToolResult("t1", parts), ToolResult("t2", (), is_error=True), "And?")
    found = results_of(message)
    assert found["t1"] == {
        "content": [
            {"type": "text", "text": "a cat"},
            {"type": "image", "data": "aGk=", "mimeType": "image/png"},
            {"type": "text", "text": "[an image: https://x]"},
            {"type": "text", "text": "[A document was left out here.]"},
        ],
        "isError": False,
    }
    assert found["t2"] == {"content": [{"type": "text", "text": "(no text)"}], "isError": True}
    assert words_of(message) == [{"type": "text", "text": "And?"}]
