"""What the provider behind Salesforce says in its own words: why it ended, and how many tokens it counted."""

from __future__ import annotations

from typing import Final

from sfbridge.core.stream import FinishReason, Usage
from sfbridge.formats.salesforce import AnswerParameters, Number, Tokens

_NONE: Final = Usage()

_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "end_turn": "stop",
    "complete": "stop",
    "completed": "stop",
    "stop_sequence": "stop_sequence",
    "length": "length",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
}


def reason_of(raw: str) -> FinishReason:
    """Our word for a provider's, in any case; words that we do not know mean an ordinary end."""
    return _REASONS.get(raw.lower(), "stop")


def usage_of(parameters: AnswerParameters | None) -> Usage:
    """The counts in `usage`, else those beside it. Our `input` excludes tokens that were read from a cache."""
    if parameters is None:
        return _NONE
    if parameters.usage is not None and (found := _counts(parameters.usage)) != _NONE:
        return found
    return _counts(parameters)


def _counts(tokens: Tokens) -> Usage:
    openai_cached = tokens.prompt_tokens_details and tokens.prompt_tokens_details.cached_tokens
    cached_inside = _first(openai_cached or None, tokens.vertex_cached)
    all_input = _first(tokens.prompt_tokens, tokens.vertex_prompt)
    if all_input is not None and cached_inside is not None:
        all_input = max(0, all_input - cached_inside)
    details = tokens.completion_tokens_details
    return Usage(
        input=_first(all_input, tokens.bedrock_input, tokens.input_tokens),
        output=_first(
            tokens.completion_tokens,
            tokens.bedrock_output,
            tokens.vertex_candidates,
            tokens.output_tokens,
        ),
        cache_read=_first(cached_inside, tokens.bedrock_cache_read, tokens.cache_read_input_tokens),
        cache_write=_first(tokens.bedrock_cache_write, tokens.cache_creation_input_tokens),
        thought=_first(
            details.reasoning_tokens if details is not None else None, tokens.vertex_thoughts
        ),
    )


def _first(*numbers: Number) -> int | None:
    for number in numbers:
        if number is not None:
            return int(number)
    return None
