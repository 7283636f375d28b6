"""What the beginning of a line may mean in an answer: an indent, a fence, a thought, a tag that still grows."""

from __future__ import annotations

import re
from typing import Final

INDENT: Final = re.compile(r"[ \t]{0,32}")
FENCE_LINE: Final = 200  # a longer line is no fence
THOUGHTS: Final = ("<think>", "<thinking>")
TAG: Final = 64  # how much of a line is looked at to tell its tag
# Languages of a fence whose JSON may be a call, when it is the whole answer.
JSON_FENCES: Final = frozenset({"", "json", "tool_call", "tool_calls", "tool_code"})

_FENCE: Final = re.compile(r"[ \t]{0,32}(`{3,}+|~{3,}+)([^\n]*)")
_FENCE_BEGINS: Final = ("`", "``", "```", "~", "~~", "~~~")
_GROWING: Final = re.compile(r"<[\w:]{0,40}(?:\s?=?\s?\w{0,12})?=?\Z")


def fence(text: str, at: int) -> tuple[str, str] | None:
    """The run of fence characters and the info word of the line at `at`; None when it is no fence.

    A line with a tag in it is none, for the tag may be a call's.
    """
    found = _FENCE.match(text, at)
    if found is None or "<" in found[2] or (found[1][0] == "`" and "`" in found[2]):
        return None
    return found[1], found[2].strip()


def may_be_fence(text: str, at: int) -> bool:
    """Whether what begins at `at` may still become a fence."""
    return text[at : at + 3] in _FENCE_BEGINS


def is_growing(rest: str) -> bool:
    """Whether a tag at the beginning of a line cannot be told yet."""
    return _GROWING.match(rest) is not None
