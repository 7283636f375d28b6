"""An upstream's own words, made fit to be shown: one line, bounded, nothing in them that looks like a secret or that a
terminal would obey."""

from __future__ import annotations

import re
from typing import Final

_SECRET_LIKE: Final = re.compile(
    r"(?i:bearer|basic)\s+[\w.~+/=-]{8,}"  # an Authorization value
    r"|eyJ[\w-]{8,}(?:\.[\w-]+){0,2}"  # a JSON Web Token
    r"|\b00D\w{12,15}![\w.]{10,}"  # a Salesforce session id
    r"|(?i:\b(?:client_secret|access_token)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&]+"
)
_CODE: Final = re.compile(r"[A-Za-z][\w.-]{0,59}|\d{1,6}")


def one_line(text: str, most: int = 500) -> str:
    """The text on one line of at most `most` characters, each of which can be seen."""
    text = text[: most * 4]
    if not text.isprintable():
        text = "".join(one if one.isprintable() else " " for one in text)
    clean = _SECRET_LIKE.sub("[hidden]", " ".join(text.split()))
    if len(clean) <= most:
        return clean
    # between words: half of a secret would be known to nobody as one
    return f"{clean[: most - 3].rpartition(' ')[0]}..."


def code_word(text: str) -> str:
    """A code as programs make them, which quotes nobody; nothing where the text is more than that."""
    return text if _CODE.fullmatch(text) else ""
