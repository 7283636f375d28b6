"""One WebSocket to a process: one reader, every request of the process answered before anything else is done with it,
one writer at a time, our own requests matched with their replies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, ClientWSTimeout, WSMsgType
from msgspec import Raw

from sfbridge.formats.jsonrpc import (
    MOST_BODY,
    BrokenFrames,
    Frames,
    Message,
    NotAMessage,
    Notification,
    Reply,
    Request,
    message,
    reply,
    request,
)

from .acknowledging import answers
from .faults import Lost, Refused

_log = logging.getLogger("sfbridge.upstream.lingma")

_HANDSHAKE_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 1.0
_GONE: Final = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)

Hear = Callable[[str, Raw], None]
Spawn = Callable[[str, Coroutine[Any, Any, None]], object]


class Line(NamedTuple):
    """What a connection is given: who hears its pushes and of its end, who runs its tasks, epoch seconds, seconds for
    a reply."""

    hear: Hear
    ended: Callable[[], None]
    spawn: Spawn
    wall: Callable[[], float]
    rpc_timeout: float


class Connection:
    """An open connection. `closed` is set when it cannot be used any more."""

    def __init__(self, socket: ClientWebSocketResponse, line: Line) -> None:
        self.closed = asyncio.Event()
        self._socket = socket
        self._hear, self._tell_end, self._spawn, self._wall, self._rpc_timeout = line
        self._frames = Frames()
        self._writing = asyncio.Lock()
        self._number = 0
        self._pending: dict[str, asyncio.Future[Raw]] = {}
        self._ended = asyncio.Event()

    @classmethod
    async def open(cls, session: ClientSession, port: int, line: Line) -> Connection:
        """Connect and begin to read. Raises Lost."""
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                socket = await session.ws_connect(
                    f"ws://127.0.0.1:{port}/",
                    max_msg_size=MOST_BODY + 64 * 1024,
                    heartbeat=None,
                    autoping=True,
                    compress=0,
                    timeout=ClientWSTimeout(ws_close=_CLOSE_SECONDS),
                )
        except (ClientError, OSError, TimeoutError) as error:
            raise Lost(f"no WebSocket at port {port} ({type(error).__name__})") from None
        connection = cls(socket, line)
        connection._spawn("lingma reader", connection._read())
        return connection

    async def call(self, method: str, params: dict[str, Any], seconds: float = 0.0) -> Raw:
        """The result of a request. Raises Lost, Refused, TimeoutError."""
        answer = await self.post(method, params)
        async with asyncio.timeout(seconds or self._rpc_timeout):
            return await answer

    async def post(self, method: str, params: dict[str, Any]) -> asyncio.Future[Raw]:
        """Send a request; its reply comes by itself. Raises Lost."""
        self._number += 1
        name = str(self._number)
        answer: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        # a failure that nobody waits for any more is none
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._pending[name] = answer
        answer.add_done_callback(lambda _: self._pending.pop(name, None))
        await self._send(request(self._number, method, params))
        return answer

    def check(self) -> None:
        """Raise Lost when it was closed in the moment in which a reply came."""
        if self.closed.is_set():
            raise Lost("the connection is closed")

    async def close(self) -> None:
        """Close it and wait for the reader."""
        await self._socket.close(code=1000)
        await self._ended.wait()

    async def _send(self, frame: bytes) -> None:
        async with self._writing:
            self.check()
            try:
                await self._socket.send_str(frame.decode())
            except (ClientError, OSError) as error:
                self._fail()
                raise Lost(type(error).__name__) from None

    async def _read(self) -> None:
        async with AsyncExitStack() as stack:
            stack.callback(self._ended.set)
            stack.callback(self._fail)
            try:
                while True:
                    received = await self._socket.receive()
                    if received.type is WSMsgType.TEXT:
                        await self._take(received.data.encode())
                    elif received.type is WSMsgType.BINARY:
                        await self._take(received.data)
                    elif received.type in _GONE:
                        return
            except BrokenFrames as error:
                _log.warning("a Lingma process broke the protocol: %s", error)
                await self._socket.close(code=1002)
            except Lost:
                await self._socket.close()

    async def _take(self, chunk: bytes) -> None:
        for body in self._frames.feed(chunk):
            try:
                found = message(body)
            except NotAMessage as error:
                _log.warning("a Lingma process sent a body that was skipped: %s", error)
                continue
            await self._one(found)

    async def _one(self, found: Message) -> None:
        match found:
            case Request():
                answer = answers(found.method, found.params, int(self._wall() * 1000))
                await self._send(reply(found.id, answer.reply))
                if answer.then is not None:
                    self._spawn("lingma refusal", self._follow(*answer.then))
                self._hear(found.method, found.params)
            case Notification():
                self._hear(found.method, found.params)
            case Reply():
                waiting = self._pending.get(found.id)
                if waiting is None or waiting.done():
                    return
                if found.fault is None:
                    waiting.set_result(found.result)
                else:
                    waiting.set_exception(Refused(found.fault))

    async def _follow(self, method: str, params: dict[str, Any]) -> None:
        """A request of ours that a push called for; whether it is liked does not matter."""
        try:
            await self.call(method, params)
        except (Lost, Refused, TimeoutError) as error:
            _log.info("%s was not taken (%s)", method, type(error).__name__)

    def _fail(self) -> None:
        """Nothing more will come."""
        if self.closed.is_set():
            return
        self.closed.set()
        self._tell_end()
        for waiting in list(self._pending.values()):
            if not waiting.done():
                waiting.set_exception(Lost("the connection was closed"))
