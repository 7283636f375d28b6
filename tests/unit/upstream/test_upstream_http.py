"""One HTTP request, and every way in which it can go wrong, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession, ClientTimeout
from yarl import URL

from sfbridge.core.errors import GatewayError
from sfbridge.upstream.http import Response, post

SOON = ClientTimeout(total=None, sock_connect=2, sock_read=0.1)
LATER = ClientTimeout(total=None, sock_connect=2, sock_read=10)
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


class Peer:
    """A server that does byte for byte what a test tells it, and counts its connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.gone = asyncio.Event()
        self.url = URL()
        self.script: Script
        self.asked = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.asked = await reader.readuntil(b"\r\n\r\n")
                length = int(self.asked.lower().partition(b"content-length:")[2].split()[0])
                await reader.readexactly(length)
                await self.script(reader, writer)
                await writer.drain()
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()

    def says(self, *parts: bytes, close: bool = False) -> None:
        async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for part in parts:
                writer.write(part)
            if close:
                await writer.drain()
                writer.close()

        self.script = script


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/path?token=canary")
    try:
        yield peer
    finally:
        server.close()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def failure(http: ClientSession, url: URL, limits: ClientTimeout = LATER) -> GatewayError:  # fmt: skip
    with pytest.raises(GatewayError) as caught:
        async with post(http, url, b"canary-body", headers={"Authorization": "Bearer canary"}, timeout=limits) as response:  # fmt: skip
            await response.body(1000)
    shown = f"{caught.value.message} {caught.value.detail} {caught.value!r}"
    assert "canary" not in shown
    return caught.value


async def test_a_whole_answer(peer: Peer, http: ClientSession) -> None:
    """Status, media type and body arrive, and a connection that was read to its end serves again."""
    peer.says(head("Content-Length: 2", "Content-Type: Application/JSON; charset=utf-8"), b"{}")
    for _ in range(3):
        async with post(http, peer.url, b"x", headers={}, timeout=LATER) as response:
            assert (response.status, response.content_type) == (200, "application/json")
            assert await response.body() == b"{}"
    assert peer.connections == 1
    assert b"accept-encoding" not in peer.asked.lower()


async def test_nobody_listens(http: ClientSession) -> None:
    """A refused connection is an unreachable upstream, which may be asked again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await failure(http, URL(f"http://127.0.0.1:{port}/"))
    assert (error.kind, error.code) == ("upstream_failed", "upstream_unreachable")


async def test_the_connection_closes_before_an_answer(peer: Peer, http: ClientSession) -> None:
    """A connection that ends without a head counts as not reached."""
    peer.says(close=True)
    error = await failure(http, peer.url)
    assert (error.kind, error.code) == ("upstream_failed", "upstream_unreachable")


async def test_silence_before_an_answer(peer: Peer, http: ClientSession) -> None:
    """No head in time is a timeout."""
    peer.says()
    error = await failure(http, peer.url, SOON)
    assert (error.kind, error.code) == ("timeout", "upstream_silent")


async def test_what_is_not_http(peer: Peer, http: ClientSession) -> None:
    """Noise in place of a head or of a chunk is a failure that is not worth repeating."""
    for noise in (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", head("Transfer-Encoding: chunked") + b"zz\r\n"):
        peer.says(noise, close=True)
        error = await failure(http, peer.url)
        assert (error.kind, error.code) == ("upstream_failed", "upstream_garbled")


@pytest.mark.parametrize(
    "parts",
    [
        (head("Content-Length: 100"), b"half"),
        (head("Transfer-Encoding: chunked"), b"5\r\nhello\r\n3\r\nab"),
    ],
    ids=["length", "chunk"],
)
async def test_a_body_that_breaks_off(
    peer: Peer, http: ClientSession, parts: tuple[bytes, ...]
) -> None:
    """A connection that ends inside the body is a cut, never a shorter answer."""
    peer.says(*parts, close=True)
    error = await failure(http, peer.url)
    assert (error.kind, error.code) == ("upstream_failed", "upstream_cut")


async def test_a_body_that_stalls(peer: Peer, http: ClientSession) -> None:
    """Silence in the middle of a body is a timeout."""
    peer.says(head("Content-Length: 100"), b"half")
    error = await failure(http, peer.url, SOON)
    assert (error.kind, error.code) == ("timeout", "upstream_silent")


async def test_silence_can_be_bounded_anew(peer: Peer, http: ClientSession) -> None:
    """A stream that has begun may be held to a shorter silence than its beginning."""
    peer.says(head("Transfer-Encoding: chunked"), b"1\r\na\r\n")
    async with post(http, peer.url, b"x", headers={}, timeout=LATER) as response:
        assert await response.some() == b"a"
        response.expect_within(0.05)
        with pytest.raises(GatewayError) as caught:
            await response.some()
    assert caught.value.kind == "timeout"


async def test_a_body_beyond_the_bound(peer: Peer, http: ClientSession) -> None:
    """An answer that is too large is refused while it is read."""
    peer.says(head("Content-Length: 5000"), b"x" * 5000)
    assert (await failure(http, peer.url)).code == "upstream_oversized"


async def test_leaving_early_closes_the_connection(peer: Peer, http: ClientSession) -> None:
    """Leaving an answer unread tells the upstream at once that nobody listens."""
    peer.says(head("Transfer-Encoding: chunked"), b"1\r\na\r\n")
    async with post(http, peer.url, b"x", headers={}, timeout=LATER) as response:
        assert await response.some() == b"a"
    async with asyncio.timeout(1):
        await peer.gone.wait()


async def test_redirects_are_not_followed(peer: Peer, http: ClientSession) -> None:
    """The token does not travel to wherever a redirect points."""
    peer.says(head("Location: /elsewhere", "Content-Length: 0", status="302 Found"))
    async with post(http, peer.url, b"x", headers={}, timeout=LATER) as response:
        assert response.status == 302
        assert await response.body() == b""


async def test_the_body_of_an_error_never_hides_it(peer: Peer, http: ClientSession) -> None:
    """What can be read of an error's body is given, also when it breaks off."""
    peer.says(head("Content-Length: 100", status="500 Oops"), b"half", close=True)
    async with post(http, peer.url, b"x", headers={}, timeout=LATER) as response:
        assert (response.status, await response.fault_body()) in ((500, b"half"), (500, b""))


async def test_bytes_that_may_be_missed(peer: Peer, http: ClientSession) -> None:
    """Waiting with a bound gives nothing when nothing comes, and leaves the connection to be closed."""
    peer.says(head("Transfer-Encoding: chunked"), b"1\r\na\r\n")
    async with AsyncExitStack() as stack:
        opened = post(http, peer.url, b"x", headers={}, timeout=LATER)
        response: Response = await stack.enter_async_context(opened)
        assert await response.some_within(5) == b"a"
        assert await response.some_within(0.02) == b""
