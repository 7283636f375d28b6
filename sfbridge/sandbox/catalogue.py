"""The models of the org: names, windows, families, reroutes.

Names and reroutes: developer.salesforce.com, supported models (2026). Windows and output limits are the
providers' own, as Salesforce publishes none; 0 means that no figure is known.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

PREFIX: Final = "sfdc_ai__Default"

# API name without prefix, window, most output tokens, the provider's own name
_CHAT: Final = """
OpenAIGPT4OmniMini 128000 16384 gpt-4o-mini-2024-07-18
GPT4OmniMini 128000 16384 gpt-4o-mini-2024-07-18
GPT4Omni 128000 16384 gpt-4o-2024-08-06
GPT41 1047576 32768 gpt-4.1-2025-04-14
GPT41Mini 1047576 32768 gpt-4.1-mini-2025-04-14
GPT5 400000 128000 gpt-5
GPT5Mini 400000 128000 gpt-5-mini
GPT51 400000 128000 gpt-5.1
GPT52 400000 128000 gpt-5.2
GPT54 0 0 gpt-5.4
GPT54Mini 0 0 gpt-5.4-mini
GPT55 1000000 0 gpt-5.5
GPT56Luna 1050000 128000 gpt-5.6-luna
GPT56Sol 0 0 gpt-5.6-sol
GPT56Terra 0 0 gpt-5.6-terra
O3 200000 100000 o3
O4Mini 200000 100000 o4-mini
BedrockAnthropicClaude5Sonnet 1000000 128000 claude-sonnet-5
BedrockAnthropicClaude48Opus 1000000 0 claude-opus-4-8
BedrockAnthropicClaude47Opus 0 0 claude-opus-4-7
BedrockAnthropicClaude46Opus 0 0 claude-opus-4-6
BedrockAnthropicClaude45Opus 200000 64000 claude-opus-4-5
BedrockAnthropicClaude46Sonnet 200000 0 claude-sonnet-4-6
BedrockAnthropicClaude45Sonnet 200000 64000 claude-sonnet-4-5
BedrockAnthropicClaude4Sonnet 200000 64000 claude-sonnet-4
BedrockAnthropicClaude45Haiku 200000 64000 claude-haiku-4-5
BedrockAnthropicClaude37Sonnet 200000 64000 claude-3-7-sonnet
BedrockAnthropicClaude3Haiku 200000 4096 claude-3-haiku
BedrockAmazonNovaLite 300000 0 amazon.nova-lite-v1:0
BedrockAmazonNovaPro 300000 0 amazon.nova-pro-v1:0
BedrockNvidiaNemotronNano330b 0 0 nvidia.nemotron-nano-3-30b
BedrockNvidiaNemotronSuper3120b 0 0 nvidia.nemotron-super-3-120b
VertexAIGemini35Flash 1000000 0 gemini-3.5-flash
VertexAIGeminiPro31 1000000 0 gemini-3.1-pro
VertexAIGemini31FlashLite 1000000 0 gemini-3.1-flash-lite
VertexAIGemini30Flash 1048576 65536 gemini-3-flash
VertexAIGeminiPro25 1048576 65536 gemini-2.5-pro
VertexAIGemini25Flash001 1048576 65536 gemini-2.5-flash
VertexAIGemini25FlashLite001 1048576 65536 gemini-2.5-flash-lite
VertexAIGemini20Flash001 1048576 8192 gemini-2.0-flash-001
VertexAIGemini20FlashLite001 1048576 8192 gemini-2.0-flash-lite-001
"""
_EMBEDDINGS: Final = ("OpenAITextEmbeddingAda_002", "AzureOpenAITextEmbeddingAda_002")
_REROUTED: Final = {
    "AzureOpenAIGPT35Turbo": "GPT4OmniMini",
    "AzureOpenAIGPT35Turbo_16k": "GPT4OmniMini",
    "AzureOpenAIGPT4Turbo": "GPT4Omni",
    "OpenAIGPT35Turbo": "OpenAIGPT4OmniMini",
    "OpenAIGPT35Turbo_16k": "OpenAIGPT4OmniMini",
    "OpenAIGPT4": "GPT4Omni",
    "OpenAIGPT4_32k": "GPT4Omni",
    "OpenAIGPT4Turbo": "GPT4Omni",
    "VertexAIGeminiPro30": "VertexAIGeminiPro31",
}
_FAMILIES: Final = (
    ("Anthropic", "anthropic"),
    ("VertexAI", "google"),
    ("Amazon", "amazon"),
    ("Nvidia", "nvidia"),
)


class OrgModel(Struct, frozen=True, kw_only=True):
    """One model as the org knows it. `name` is what was asked for, `provider_name` what answers."""

    name: str
    family: str
    provider_name: str
    window: int = 0
    max_output: int = 0
    embeds: bool = False


def family_of(name: str) -> str:
    """The provider behind a name; names that tell none are OpenAI's, as geo-aware ones are."""
    return next((family for word, family in _FAMILIES if word in name), "openai")


def _known() -> dict[str, OrgModel]:
    table: dict[str, OrgModel] = {}
    for line in _CHAT.split("\n")[1:-1]:
        short, window, output, provider_name = line.split()
        table[PREFIX + short] = OrgModel(
            name=PREFIX + short,
            family=family_of(short),
            provider_name=provider_name,
            window=int(window),
            max_output=int(output),
        )
    for short in _EMBEDDINGS:
        table[PREFIX + short] = OrgModel(
            name=PREFIX + short,
            family="openai",
            provider_name="text-embedding-ada-002-v2",
            window=8191,
            embeds=True,
        )
    for old, new in _REROUTED.items():
        table[PREFIX + old] = table[PREFIX + new]
    return table


MODELS: Final = _known()
