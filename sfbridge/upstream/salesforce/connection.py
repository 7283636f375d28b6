"""One authorised request to the org's API: a token, a URL, a checked status; a refused token renewed once."""

from __future__ import annotations

from types import TracebackType
from typing import Final

from aiohttp import ClientTimeout
from yarl import URL

from sfbridge.upstream.base import Resources, Trace
from sfbridge.upstream.http import Answered, Response, post_along
from sfbridge.upstream.lane import Lane

from .auth import Token, Tokens
from .faults import Asked, Unauthorised, fault, traces
from .settings import Settings

# Paths hold model names, and those come from clients.
_MOST_LANES: Final = 256


class Connection:
    """Sends requests with the org's token."""

    def __init__(self, tokens: Tokens, settings: Settings, resources: Resources) -> None:
        self.tokens = tokens
        self._session = resources.session
        self.wall = resources.wall
        self._token: Token | None = None
        self._lanes: dict[str, Lane] = {}
        self._timeout = ClientTimeout(
            total=None,
            sock_connect=settings.connect_timeout,
            sock_read=settings.read_timeout,
        )

    def accepted(self, path: str, body: bytes, asked: Asked, trace: Trace) -> Accepted:
        """The answer to a request, its status checked. A 401 is met with one new token and one repetition."""
        return Accepted(self, path, body, asked, trace)

    def post(self, token: Token, path: str, body: bytes, trace: Trace) -> Answered:
        lanes = self._lanes
        if token is not self._token:
            self._token = token
            lanes.clear()
        lane = lanes.get(path)
        if lane is None:
            url = URL(token.api_url + path, encoded=True)
            lane = Lane(self._session, url, headers=token.headers, timeout=self._timeout)
            if len(lanes) < _MOST_LANES:
                lanes[path] = lane
        return post_along(lane, body, trace.connected)


class Accepted:
    """A request that is entered with a token and left with its answer closed.

    A class, because a generator as context manager costs several microseconds more, at every request.
    """

    __slots__ = ("_asked", "_body", "_connection", "_path", "_sent", "_trace")

    def __init__(
        self, connection: Connection, path: str, body: bytes, asked: Asked, trace: Trace
    ) -> None:
        self._connection = connection
        self._path = path
        self._body = body
        self._asked = asked
        self._trace = trace

    async def __aenter__(self) -> Response:
        tokens = self._connection.tokens
        token = await tokens.current(self._trace)
        try:
            return await self._send(token)
        except Unauthorised:
            return await self._send(await tokens.renew(token, self._trace))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._sent.__aexit__(kind, error, trace)

    async def _send(self, token: Token) -> Response:
        self._sent = self._connection.post(token, self._path, self._body, self._trace)
        response = await self._sent.__aenter__()
        self._trace.upstream_ids += map(self._trace.hidden, traces(response.headers))
        if response.status == 200:
            return response
        try:
            told = await response.fault_body()
        finally:
            response.close()
        wall = self._connection.wall()
        raise fault(response.status, response.headers, told, self._asked, wall)
