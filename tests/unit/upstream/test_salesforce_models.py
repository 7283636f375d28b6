"""The table of models."""

from __future__ import annotations

import pytest

from sfbridge.upstream.salesforce import gateway_api
from sfbridge.upstream.salesforce.models import ModelRow, ModelTable, quoted

CARDS = {card.id: card for card in ModelTable().cards()}
NAMES = {name: card.target for card in CARDS.values() for name in (card.id, *card.aliases)}


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("claude-sonnet-4-6", "sfdc_ai__DefaultBedrockAnthropicClaude46Sonnet"),
        ("claude-4-sonnet", "sfdc_ai__DefaultBedrockAnthropicClaude4Sonnet"),
        ("claude-haiku-4-5", "sfdc_ai__DefaultBedrockAnthropicClaude45Haiku"),
        ("claude-haiku-4-5-20251001", "sfdc_ai__DefaultBedrockAnthropicClaude45Haiku"),
        ("claude-sonnet-4-5-20250929", "sfdc_ai__DefaultBedrockAnthropicClaude45Sonnet"),
        ("gpt-4o", "sfdc_ai__DefaultGPT4Omni"),
        ("gpt-4o-2024-11-20", "sfdc_ai__DefaultGPT4Omni"),
        ("gpt-4o-mini", "sfdc_ai__DefaultGPT4OmniMini"),
        ("gpt-4.1", "sfdc_ai__DefaultGPT41"),
        ("gpt-5", "sfdc_ai__DefaultGPT5"),
        ("o3", "sfdc_ai__DefaultO3"),
        ("gemini-2.5-flash", "sfdc_ai__DefaultVertexAIGemini25Flash001"),
        ("gemini-3.5-flash", "sfdc_ai__DefaultVertexAIGemini35Flash"),
        ("nova-pro", "sfdc_ai__DefaultBedrockAmazonNovaPro"),
        ("text-embedding-ada-002", "sfdc_ai__DefaultOpenAITextEmbeddingAda_002"),
    ],
)
def test_friendly_names(name: str, target: str) -> None:
    """The names that clients use lead to Salesforce's own."""
    assert NAMES[name] == target


def test_no_name_means_two_models() -> None:
    """Every id and alias is there once."""
    cards = ModelTable().cards()
    names = [name for card in cards for name in (card.id, *card.aliases)]
    assert len(names) == len(set(names))


def test_models_that_salesforce_lacks_have_no_name() -> None:
    """No name is invented for models that another one would have to stand in for."""
    assert not {"text-embedding-3-small", "text-embedding-3-large", "gpt-4", "gpt-3.5-turbo"} & set(NAMES)  # fmt: skip


def test_rerouted_names_answer_but_are_not_offered() -> None:
    """An old API name is known with what answers instead, and stands in no list."""
    row = ModelTable().row("sfdc_ai__DefaultOpenAIGPT4")
    assert row is not None
    assert row.rerouted_to == "sfdc_ai__DefaultGPT4Omni"
    assert row.api_name not in NAMES.values()


def test_configured_rows_replace_and_extend() -> None:
    """A row of the configuration stands for the built-in one, and new names are offered."""
    table = ModelTable(
        [
            ModelRow(api_name="sfdc_ai__DefaultGPT4Omni", id="gpt-4o", window=65536),
            ModelRow(api_name="my_custom"),
        ]
    )
    by_id = {card.id: card for card in table.cards()}
    assert by_id["gpt-4o"].window == 65536
    assert by_id["my_custom"].target == "my_custom"
    assert len([card for card in table.cards() if card.id == "gpt-4o"]) == 1


def test_windows_and_limits_reach_the_capabilities() -> None:
    """Known figures are told, unknown ones are left open."""
    haiku = "sfdc_ai__DefaultBedrockAnthropicClaude45Haiku"
    can = gateway_api.capabilities(haiku, ModelTable().row(haiku), thinks=False)
    assert (can.window, can.output_cap) == (200_000, 64_000)
    other = gateway_api.capabilities("sfdc_ai__Mine", None, thinks=False)
    assert (other.window, other.output_cap) == (None, None)


def test_the_dialect_decides_what_a_gateway_model_can_do() -> None:
    """Anthropic models force calls and take pictures; the others do neither."""
    claude = gateway_api.capabilities("sfdc_ai__DefaultBedrockAnthropicNew", None, thinks=False)
    assert {"none", "required", "named"} <= claude.choices
    assert (claude.images, claude.thoughts) == (True, False)
    gpt = gateway_api.capabilities("sfdc_ai__DefaultGPT4Omni", None, thinks=True)
    assert not {"required", "named"} & gpt.choices
    assert (gpt.images, gpt.thoughts, gpt.native_tools, gpt.streams) == (False, False, True, True)


def test_names_are_quoted_in_paths() -> None:
    """A name cannot leave its segment of the path."""
    assert quoted("a/../b?c#d é") == "a%2F..%2Fb%3Fc%23d%20%C3%A9"
    stream = gateway_api.path("xBedrockAnthropic", quoted("xBedrockAnthropic"), stream=True)
    assert stream == "/ai/gpt/v1/model/xBedrockAnthropic/invoke-with-response-stream"
    assert gateway_api.path("x", "x", stream=False) == "/ai/gpt/v1/chat/generations"
