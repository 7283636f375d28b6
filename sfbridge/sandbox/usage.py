"""Token counts, and how each provider spells them on the platform surface.

A token is four characters, rounded up and never none, so that any answer can be reckoned by hand.
Spellings: measured for OpenAI and Bedrock, reported for Vertex.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Count(Struct, frozen=True):
    """Tokens in and out of one answer."""

    prompt: int
    output: int

    @property
    def total(self) -> int:
        return self.prompt + self.output


def tokens(text: str) -> int:
    return max(1, (len(text) + 3) // 4)


def openai_usage(count: Count) -> dict[str, Any]:
    return {
        "prompt_tokens": count.prompt,
        "completion_tokens": count.output,
        "total_tokens": count.total,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def bedrock_usage(count: Count) -> dict[str, Any]:
    return {
        "inputTokenCount": count.prompt,
        "outputTokenCount": count.output,
        "totalTokenCount": count.total,
        "cacheReadInputTokenCount": 0,
        "cacheWriteInputTokenCount": 0,
    }


def usage_parameters(family: str, count: Count) -> dict[str, Any]:
    """The part of `parameters` that tells the usage: under `usage`, or for some directly in it."""
    if family == "anthropic":
        return {"usage": bedrock_usage(count)}
    if family == "amazon":
        return bedrock_usage(count)
    if family == "google":
        return {
            "usage": {
                "promptTokenCount": count.prompt,
                "candidatesTokenCount": count.output,
                "totalTokenCount": count.total,
            }
        }
    return {"usage": openai_usage(count)}


def anthropic_usage(prompt: int, output: int) -> dict[str, int]:
    return {
        "input_tokens": prompt,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
    }
