"""/readyz tells the truth about an org that lacks what the settings ask for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from speak import WIRES, ask, ready


@pytest.mark.parametrize("wire", WIRES)
async def test_a_forced_gateway_that_the_org_lacks(start: Any, wire: str) -> None:
    """After the first refused call the server is not ready, and says which setting is wrong."""
    bridge = await start(surface="gateway", org={"gateway": False})
    await ready(bridge.http, bridge.url)
    answer = await ask(bridge.http, bridge.url, wire, "gpt-4o")
    assert answer.status >= 400
    async with asyncio.timeout(5):
        while True:
            async with bridge.http.get(bridge.url + "/readyz") as page:
                told = await page.json()
                if page.status == 503:
                    break
    assert told["status"] == "not ready"
    assert 'surface = "gateway"' in told["upstreams"]["salesforce"]["summary"]
    assert bridge.org.violations == []
