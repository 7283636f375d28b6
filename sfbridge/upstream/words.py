"""An upstream's own words, made fit to be shown: one line, bounded, nothing in them that looks like a secret."""

from __future__ import annotations

import re
from typing import Final

_SPACE: Final = re.compile(r"[\s\x00-\x1f\x7f]+")
_SECRET_LIKE: Final = re.compile(
    r"(?i:bearer|basic)\s+[\w.~+/=-]{8,}"  # an Authorization value
    r"|eyJ[\w-]{8,}(?:\.[\w-]+){0,2}"  # a JSON Web Token
    r"|\b00D\w{12,15}![\w.]{10,}"  # a Salesforce session id
    r"|(?i:\b(?:client_secret|access_token)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&]+"
)


def one_line(text: str, most: int = 500) -> str:
    """The text on one line of at most `most` characters."""
    clean = _SECRET_LIKE.sub("[hidden]", _SPACE.sub(" ", text[: most * 4])).strip()
    return clean if len(clean) <= most else clean[: most - 3] + "..."
