"""A model that gives back exactly what it is shown: a scenario for the sandbox org.

The prompt holds texts as `[[text N]]…[[end N]]`. In the first turn the model calls `keep` once for each of
them; in later turns for each text of the results, which stand as `[[result N]]…[[end N]]`. With `[[say]]`
anywhere in the prompt it says the first turn's texts, each in its marks, instead of calling.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

TEXT = re.compile(r"\[\[text (\d+)\]\](.*?)\[\[end \1\]\]", re.DOTALL)
RESULT = re.compile(r"\[\[result (\d+)\]\](.*?)\[\[end \1\]\]", re.DOTALL)


@dataclass
class Turn:
    text: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def turn(prompt_text: str, done: int) -> Turn:
    if "[[say]]" in prompt_text:
        return Turn("".join(found[0] for found in TEXT.finditer(prompt_text)))
    shown = (RESULT if done else TEXT).findall(prompt_text)
    return Turn("", [("keep", _kept(int(number), text)) for number, text in shown])


def _kept(number: int, text: str) -> dict[str, Any]:
    return {"number": number, "note": text, "content": text, "lines": [text, {"last": text}]}
