"""Unknown fields of a request: passed on within their dialect, dropped and reported everywhere else."""

from __future__ import annotations

import pytest
from msgspec import Raw

from sfbridge.core.model import Capabilities
from sfbridge.core.request import ChatRequest, Message, TextPart
from sfbridge.policy.fitting import fit

EXTRAS = {"min_p": Raw(b"0.1"), "tools.web_search": Raw(b'"web_search"')}


@pytest.mark.parametrize(
    ("dialect", "reads", "passed", "ignored"),
    [
        ("openai_chat", "openai_chat", ["min_p"], ("tools.web_search",)),
        ("anthropic", "openai_chat", [], ("min_p", "tools.web_search")),
        ("openai_chat", "", [], ("min_p", "tools.web_search")),
        ("", "", [], ("min_p", "tools.web_search")),
    ],
)
def test_extras_stay_within_their_dialect(
    dialect: str, reads: str, passed: list[str], ignored: tuple[str, ...]
) -> None:
    """A field is passed on only to a server that reads it as the client means it."""
    said = (Message("user", (TextPart("Hi"),)),)
    request = ChatRequest(model="m", messages=said, extras=EXTRAS, dialect=dialect)
    fitted = fit(request, Capabilities(extras=reads))
    assert (list(fitted.request.extras), fitted.ignored) == (passed, ignored)
