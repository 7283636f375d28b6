"""How many tokens a request weighs."""

from __future__ import annotations

import pytest
from msgspec import Raw

from sfbridge.core.request import (
    ChatRequest,
    DocumentPart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    SealedPart,
    Shape,
    TextPart,
    ThoughtPart,
    Tool,
    ToolCall,
    ToolResult,
)
from sfbridge.policy.estimate import estimate, estimate_text, family_of


def asked(*parts: Part, **more: object) -> ChatRequest:
    return ChatRequest(model="m", messages=(Message("user", parts),), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "family"),
    [
        ("sfdc_ai__DefaultBedrockAnthropicClaude46Sonnet", "claude"),
        ("claude-opus-4-8", "claude"),
        ("sfdc_ai__DefaultGPT4Omni", "gpt"),
        ("sfdc_ai__DefaultOpenAIGPT4OmniMini", "gpt"),
        ("sfdc_ai__DefaultO3", "gpt"),
        ("sfdc_ai__DefaultO4Mini", "gpt"),
        ("sfdc_ai__DefaultVertexAIGemini35Flash", "gemini"),
        ("sfdc_ai__DefaultBedrockAmazonNovaPro", "nova"),
        ("sfdc_ai__DefaultBedrockNvidiaNemotronNano330b", "nemotron"),
        ("sfdc_ai__DefaultOpenAITextEmbeddingAda_002", "gpt"),
        ("sfdc_ai__Mine", ""),
        ("", ""),
    ],
)
def test_the_family_is_read_from_the_upstream_s_name(target: str, family: str) -> None:
    """Each vendor's models are told apart by their names; an unknown name is no error."""
    assert family_of(target) == family


def test_ascii_text_is_weighed_by_family() -> None:
    """Prose costs most on Claude and least on Gemini, as measured."""
    text = "x" * 6800
    assert estimate_text(text, "claude") == 2000
    assert estimate_text(text, "gpt") == 1700
    assert estimate_text(text, "gemini") == 1360
    assert estimate_text(text, "") == estimate_text(text, "never heard of") == 1700


def test_other_scripts_weigh_more_than_their_length() -> None:
    """A CJK character is a token; a few umlauts do not make a text dear; broken text is weighed too."""
    assert estimate_text("語" * 900, "gpt") == 900
    assert estimate_text("я" * 900, "gpt") == 600
    assert estimate_text("ü" * 30 + "x" * 4000, "gpt") == 1020
    assert estimate_text("\ud800" * 3, "gpt") == 3


def test_only_the_empty_text_weighs_nothing() -> None:
    """Any text is at least one token."""
    assert estimate_text("", "gpt") == 0
    assert estimate_text("a", "gemini") == 1


def test_no_request_weighs_nothing() -> None:
    """Clients read 0 as `unknown`, so not even an empty request weighs 0."""
    assert estimate(ChatRequest(model="m", messages=())) > 0


@pytest.mark.parametrize(
    "more",
    [
        asked(TextPart("x"), system=(TextPart("s" * 400),)),
        asked(TextPart("x" * 400)),
        asked(TextPart("x"), ThoughtPart("t" * 400)),
        asked(TextPart("x"), SealedPart("t" * 400)),
        asked(TextPart("x"), ToolCall("c", "f", "a" * 400)),
        asked(TextPart("x"), ToolCall("c", "f" * 400, "")),
        asked(TextPart("x"), ToolResult("c", (TextPart("r" * 400),))),
        asked(TextPart("x"), ToolResult("c", (ImagePart(data="aaaa"),))),
        asked(TextPart("x"), ImagePart(address="https://x.invalid/a.png")),
        asked(TextPart("x"), DocumentPart(text="d" * 400)),
        asked(TextPart("x"), DocumentPart(data="d" * 400)),
        asked(TextPart("x"), OpaquePart(dialect="d", kind="k", raw=Raw(b'"' + b"o" * 400 + b'"'))),
        asked(TextPart("x"), tools=(Tool(name="f", description="d" * 400),)),
        asked(TextPart("x"), tools=(Tool(name="f", schema=Raw(b'"' + b"o" * 400 + b'"')),)),
        asked(TextPart("x"), shape=Shape("schema", Raw(b'"' + b"o" * 400 + b'"'))),
    ],
)
def test_every_part_of_a_request_counts(more: ChatRequest) -> None:
    """System prompt, tools, calls, results, thoughts, pictures and schemas all add their weight."""
    assert estimate(more, "gpt") - estimate(asked(TextPart("x")), "gpt") >= 99


def test_a_message_costs_more_than_its_text() -> None:
    """Turns have an overhead, so many short ones weigh more than one long one."""
    many = ChatRequest(model="m", messages=(Message("user", (TextPart("hi"),)),) * 100)
    assert estimate(many) > estimate(asked(TextPart("hi" * 100))) + 300


def test_a_long_document_weighs_by_its_pages() -> None:
    """A picture has one price; a document that cannot be read grows with its size."""
    assert estimate(asked(ImagePart(data="a" * 10)), "gpt") == estimate(
        asked(ImagePart(data="a" * 1_000_000)), "gpt"
    )
    long = estimate(asked(DocumentPart(data="a" * 670_000)), "gpt")
    assert 16_000 <= long <= 16_010
