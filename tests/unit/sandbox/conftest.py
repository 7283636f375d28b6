"""Orgs on a test server, opened with any settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from org_desk import Desk

from sfbridge.sandbox import SandboxSettings, create_org


@pytest.fixture
async def open_org() -> AsyncIterator[Callable[..., Awaitable[Desk]]]:
    async with AsyncExitStack() as stack:

        async def begin(**settings: Any) -> Desk:
            app = create_org(SandboxSettings(**settings))
            client = await stack.enter_async_context(TestClient(TestServer(app)))
            return Desk(client)

        yield begin


@pytest.fixture
async def desk(open_org: Callable[..., Awaitable[Desk]]) -> Desk:
    return await open_org()
