"""How many tokens a request weighs, about: no upstream of ours counts tokens before it answers.

Lengths only, no tokenizer: an estimate is made for every request, and a count_tokens call must cost
nothing. Right to some 20 % for prose and code; what the upstream bills replaces it where it is known.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Final

from msgspec import Raw

from sfbridge.core.request import (
    ChatRequest,
    DocumentPart,
    ImagePart,
    OpaquePart,
    Part,
    SealedPart,
    TextPart,
    ThoughtPart,
    Tool,
    ToolCall,
    ToolResult,
)

# Characters of ASCII text per token. Claude's figure and Gemini's 6.8 were measured on the same prose
# through the Models API; prose is the best case and most of our text is code and JSON, so Gemini's is
# taken lower. Four is the vendors' rule of thumb, which Claude Code is content with as well.
_PER_TOKEN: Final[dict[str, float]] = {
    "claude": 3.4,
    "gpt": 4.0,
    "gemini": 5.0,
    "nova": 4.0,
    "nemotron": 4.0,
}
_USUAL: Final = 4.0

# Words in an upstream's model name -> family; the first that occurs decides.
_FAMILIES: Final[tuple[tuple[str, str], ...]] = (
    ("claude", "claude"),
    ("anthropic", "claude"),
    ("gemini", "gemini"),
    ("nova", "nova"),
    ("nemotron", "nemotron"),
    ("gpt", "gpt"),
    ("openai", "gpt"),
    ("sfdc_ai__defaulto3", "gpt"),
    ("sfdc_ai__defaulto4", "gpt"),
)

# UTF-8 bytes of non-ASCII text per token: one CJK character (three bytes) is about one token, a Cyrillic
# or accented one (two bytes) about two thirds.
_BYTES_PER_TOKEN: Final = 3.0

# Anthropic's figure for a picture of about a megapixel, the largest it does not scale down.
_IMAGE: Final = 1_600.0
# A page of a PDF weighs about as much as a picture; 50 kB, 67,000 characters of base64, are taken for one.
_BASE64_PER_PAGE: Final = 67_000

_REQUEST: Final = 3.0
_MESSAGE: Final = 4.0
_TOOL: Final = 12.0
_CALL: Final = 12.0
_RESULT: Final = 10.0


@lru_cache(maxsize=256)
def family_of(target: str) -> str:
    """The tokenizer family of an upstream's model name; empty when the name tells nothing."""
    name = target.lower()
    return next((family for word, family in _FAMILIES if word in name), "")


def estimate_text(text: str, family: str = "") -> int:
    """About how many tokens `text` is; 0 for the empty text only."""
    return ceil(_text(text, _PER_TOKEN.get(family, _USUAL)))


def estimate(request: ChatRequest, family: str = "") -> int:
    """About how many tokens the whole request is to a model of `family`, system prompt and tools included.

    Never 0. Pictures have one price, since their size is not looked at.
    """
    per_token = _PER_TOKEN.get(family, _USUAL)
    total = _REQUEST
    for text in request.system:
        total += _text(text.text, per_token)
    for tool in request.tools:
        total += _tool(tool, per_token)
    for message in request.messages:
        total += _MESSAGE
        for part in message.parts:
            total += _part(part, per_token)
    if request.shape.schema is not None:
        total += _raw(request.shape.schema, per_token)
    return ceil(total)


def _part(part: Part, per_token: float) -> float:
    match part:
        case TextPart() | ThoughtPart():
            return _text(part.text, per_token)
        case ToolCall():
            return _CALL + _text(part.name, per_token) + _text(part.arguments, per_token)
        case ToolResult():
            return _RESULT + sum([_part(inner, per_token) for inner in part.parts])
        case ImagePart():
            return _IMAGE
        case DocumentPart():
            if part.text:
                return _text(part.title, per_token) + _text(part.text, per_token)
            return _IMAGE * max(1.0, len(part.data) / _BASE64_PER_PAGE)
        case SealedPart():
            return len(part.data) / per_token
        case OpaquePart():
            return _raw(part.raw, per_token)


def _tool(tool: Tool, per_token: float) -> float:
    words = _text(tool.name, per_token) + _text(tool.description, per_token)
    return _TOOL + words + _raw(tool.schema, per_token)


def _raw(raw: Raw, per_token: float) -> float:
    return memoryview(raw).nbytes / per_token


def _text(text: str, per_token: float) -> float:
    if text.isascii():
        return len(text) / per_token
    plain = len(text.encode("ascii", "ignore"))
    foreign = len(text.encode("utf-8", "surrogatepass")) - plain
    return plain / per_token + foreign / _BYTES_PER_TOKEN
