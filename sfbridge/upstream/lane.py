"""Posting to one address again and again, over the session's own connections but without its work per request.

`ClientSession.request` builds URL, cookies, redirects, headers and a writer task anew each time, which is most of
what a small request costs (half of the client's instructions were measured to go there). Here the head of the
request is written once per address; connections, pool limits, parsing and timeouts remain aiohttp's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import (
    ClientConnectionError,
    ClientRequest,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    StreamReader,
    hdrs,
)
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDictProxy
from yarl import URL


class Landed:
    """The head of an answer and the way to its body."""

    __slots__ = ("_body_end", "connection", "content", "headers", "status")

    def __init__(
        self,
        connection: Connection,
        status: int,
        headers: CIMultiDictProxy[str],
        content: StreamReader,
    ) -> None:
        self.connection: Connection | None = connection
        self.status = status
        self.headers = headers
        self.content = content
        content.on_eof(self._read)

    def close(self) -> None:
        """Close the connection, unless the body was read to its end: then it already serves others."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def _read(self) -> None:
        connection, self.connection = self.connection, None
        if connection is None:
            return
        transport = connection.transport
        if transport is not None and transport.get_write_buffer_size():
            connection.close()  # it answered before it was told everything
        else:
            connection.release()


class Lane:
    """To one URL, with headers that stay the same. Built where an event loop runs.

    timeout  `sock_connect` and `connect` as aiohttp has them, `sock_read` is the longest silence; `total` is not used
    """

    def __init__(
        self,
        session: ClientSession,
        url: URL,
        *,
        headers: Mapping[str, str],
        timeout: ClientTimeout,
    ) -> None:
        self.url = url
        self.headers = headers
        self.timeout = timeout
        self.session = session
        self._loop = asyncio.get_running_loop()
        fixed = {**session.headers, **headers}
        skipped = () if hdrs.ACCEPT_ENCODING in fixed else (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING)
        # aiohttp's own notion of Host, of credentials in the URL and of what an address is
        self._request = ClientRequest(
            hdrs.METH_POST,
            url,
            headers=fixed,
            skip_auto_headers=skipped,
            loop=self._loop,
            session=session,
        )
        lines = [f"POST {self._request.url.raw_path_qs} HTTP/1.1"]
        for name, value in self._request.headers.items():
            if name not in (hdrs.CONTENT_LENGTH, hdrs.TRANSFER_ENCODING):
                lines.append(f"{name}: {value}")
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header holds a line break")
        self._head = ("\r\n".join(lines) + "\r\nContent-Length: ").encode()

    async def send(self, body: bytes, connected: Callable[[], None] = lambda: None) -> Landed:
        """Post a body and wait for the head of the answer, which no redirect takes elsewhere; `connected` is called in
        between. Raises what aiohttp's session raises."""
        connector = self.session.connector
        if connector is None:
            raise ClientConnectionError("the session is closed")
        try:
            connection = await connector.connect(self._request, [], self.timeout)
        except TimeoutError as error:
            raise ConnectionTimeoutError(f"no connection to {self.url.host} in time") from error
        connected()
        landed = None
        try:
            landed = await self._exchange(connection, body)
            return landed
        finally:
            if landed is None:
                connection.close()

    async def _exchange(self, connection: Connection, body: bytes) -> Landed:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            raise ClientConnectionError("the connection is closed")
        protocol.set_response_params(read_until_eof=True, read_timeout=self.timeout.sock_read)
        transport.write(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        protocol.start_timeout()
        while True:
            try:
                message, content = await protocol.read()
            except HttpProcessingError as error:
                raise ClientResponseError(
                    self._request.request_info, (), status=error.code, message=error.message
                ) from error
            if message.code >= 200 or message.code == 101:
                return Landed(connection, message.code, message.headers, content)
