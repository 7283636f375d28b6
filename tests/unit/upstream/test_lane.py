"""A lane says on the wire what aiohttp's session would have said, and treats the connection as well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, ClientTimeout, ServerDisconnectedError
from multidict import CIMultiDict
from yarl import URL

from sfbridge.upstream.lane import Lane

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TIMEOUT = ClientTimeout(total=None, sock_connect=5, sock_read=5)


class Raw:
    """A server that notes every byte it was sent, and answers each whole head with prepared bytes."""

    def __init__(self, answer: bytes, *, needs_body: bool = True) -> None:
        self.connections = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self._answer = answer
        self._needs_body = needs_body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                if self._needs_body:
                    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                    self.bodies.append(await reader.readexactly(length))
                writer.write(self._answer)
                if not self._answer:
                    break
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionResetError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running(raw: Raw) -> AsyncIterator[int]:
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def fields(head: bytes) -> tuple[bytes, CIMultiDict[str]]:
    first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    pairs = [line.decode().split(": ", 1) for line in lines]
    return first, CIMultiDict((name, value) for name, value in pairs)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{}/v1/chat/completions",
        "http://127.0.0.1:{}/a%20b/%C3%BC?x=1&y=%2F",
        "http://ada:s%40cret@127.0.0.1:{}/",
        "http://localhost:{}",
    ],
)
async def test_the_head_is_what_the_session_would_send(address: str) -> None:
    """Request line and headers are the same as those of `ClientSession.post`, for every kind of address."""
    raw = Raw(ANSWER)
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "X-One": "1"}
    async with running(raw) as port, ClientSession(headers={"User-Agent": "test"}) as session:
        url = URL(address.format(port))
        async with session.post(url, data=b'{"a":1}', headers=headers) as response:
            assert await response.read() == b"ok"
        landed = await Lane(session, url, headers=headers, timeout=TIMEOUT).send(b'{"a":1}')
        assert await landed.content.read() == b"ok"
    (line, theirs), (own_line, own) = map(fields, raw.heads)
    assert own_line == line
    assert own == theirs
    assert raw.bodies == [b'{"a":1}'] * 2


async def test_a_connection_serves_again_once_its_answer_was_read() -> None:
    """Requests one after the other share a connection; one that was left early does not go back to the pool."""
    raw = Raw(ANSWER)
    async with running(raw) as port, ClientSession() as session:
        lane = Lane(session, URL(f"http://127.0.0.1:{port}/"), headers={}, timeout=TIMEOUT)
        for _ in range(3):
            landed = await lane.send(b"{}")
            await landed.content.read()
            landed.close()
        assert raw.connections == 1
    half = Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
    async with running(half) as port, ClientSession() as session:
        lane = Lane(session, URL(f"http://127.0.0.1:{port}/"), headers={}, timeout=TIMEOUT)
        for _ in range(2):
            (await lane.send(b"{}")).close()
        assert half.connections == 2


async def test_an_answer_before_the_whole_body_ends_the_connection() -> None:
    """Who answers early has not read the rest, so nothing else may follow on that connection."""
    raw = Raw(ANSWER, needs_body=False)
    async with running(raw) as port, ClientSession() as session:
        lane = Lane(session, URL(f"http://127.0.0.1:{port}/"), headers={}, timeout=TIMEOUT)
        landed = await lane.send(b"x" * 50_000_000)
        assert landed.status == 200
        assert await landed.content.read() == b"ok"
        assert landed.connection is None
        assert session.connector is not None
        again = await lane.send(b"")
        assert await again.content.read() == b"ok"
    assert raw.connections == 2


async def test_heads_that_only_announce_are_passed_over() -> None:
    """100 and 103 are not the answer."""
    raw = Raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + ANSWER)
    async with running(raw) as port, ClientSession() as session:
        lane = Lane(session, URL(f"http://127.0.0.1:{port}/"), headers={}, timeout=TIMEOUT)
        landed = await lane.send(b"{}")
        assert landed.status == 200
        assert await landed.content.read() == b"ok"


async def test_a_connection_that_ends_without_an_answer_is_said_as_the_session_says_it() -> None:
    """Nothing came back: the error is aiohttp's own, and nothing of the connection is left."""
    raw = Raw(b"")
    async with running(raw) as port, ClientSession() as session:
        lane = Lane(session, URL(f"http://127.0.0.1:{port}/"), headers={}, timeout=TIMEOUT)
        with pytest.raises(ServerDisconnectedError):
            await lane.send(b"{}")


async def test_headers_hold_no_line_breaks() -> None:
    """A header value cannot smuggle in another header."""
    async with ClientSession() as session:
        with pytest.raises(ValueError):
            Lane(
                session,
                URL("http://127.0.0.1/"),
                headers={"X-One": "1\r\nX-Two: 2"},
                timeout=TIMEOUT,
            )
