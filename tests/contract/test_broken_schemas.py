"""A tool whose schema is none is called unchecked, and named once."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from speak import PATHS, body_of


async def test_a_broken_schema_is_named_once(start: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Checking stops for that tool only; the log says so once, not at every call."""
    bridge = await start(surface="platform")
    body = body_of("openai", "gpt-4o", "Call the tool odd.")
    broken = {"type": "object", "properties": {"a": {"type": "no-such-type"}}}
    body["tools"] = [{"type": "function", "function": {"name": "odd", "parameters": broken}}]
    with caplog.at_level(logging.WARNING, "sfbridge.gateway"):
        for _ in range(3):
            async with bridge.http.post(bridge.url + PATHS["openai"], json=body) as answer:
                assert answer.status == 200
                assert "odd" in await answer.text()
    assert caplog.text.count("the schema of the tool 'odd' is broken") == 1
