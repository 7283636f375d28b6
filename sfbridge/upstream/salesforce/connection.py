"""One authorised request to the org's API: a token, a URL, a checked status; a refused token renewed once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache

from aiohttp import ClientTimeout
from yarl import URL

from sfbridge.upstream.base import Resources, Trace
from sfbridge.upstream.http import Response, post

from .auth import Token, Tokens
from .faults import Asked, Unauthorised, fault, traces
from .settings import Settings


class Connection:
    """Sends requests with the org's token."""

    def __init__(self, tokens: Tokens, settings: Settings, resources: Resources) -> None:
        self._tokens = tokens
        self._session = resources.session
        self._wall = resources.wall
        # `connect` also bounds the wait for a free connection of the pool
        self._timeout = ClientTimeout(
            total=None,
            connect=settings.read_timeout,
            sock_connect=settings.connect_timeout,
            sock_read=settings.read_timeout,
        )

    @asynccontextmanager
    async def accepted(
        self, path: str, body: bytes, asked: Asked, trace: Trace
    ) -> AsyncIterator[Response]:
        """The answer to a request, its status checked. A 401 is met with one new token and one repetition."""
        token = await self._tokens.current(trace)
        async with AsyncExitStack() as stack:
            try:
                opened = self._open(token, path, body, asked, trace)
                response = await stack.enter_async_context(opened)
            except Unauthorised:
                token = await self._tokens.renew(token, trace)
                opened = self._open(token, path, body, asked, trace)
                response = await stack.enter_async_context(opened)
            yield response

    @asynccontextmanager
    async def _open(
        self, token: Token, path: str, body: bytes, asked: Asked, trace: Trace
    ) -> AsyncIterator[Response]:
        url = _url(token.api_url, path)
        sent = post(self._session, url, body, headers=token.headers, timeout=self._timeout)
        async with sent as response:
            trace.upstream_ids += traces(response.headers)
            if response.status != 200:
                told = await response.fault_body()
                raise fault(response.status, response.headers, told, asked, self._wall())
            yield response


@lru_cache(maxsize=256)
def _url(base: str, path: str) -> URL:
    return URL(base + path, encoded=True)
