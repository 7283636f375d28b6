"""The simulator's own reading and writing of frames, written apart from the product's so that each checks the other."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from aiohttp import web


class WrongLength(Exception):
    pass


class NoHeader(Exception):
    pass


def parse(data: str) -> list[dict[str, Any]]:
    """The bodies of one message of a client, which sends whole frames."""
    rest, found = data.encode(), []
    while rest:
        if rest[:1] == b"{":
            raise NoHeader
        head = re.match(rb"Content-Length: (\d+)\r\n\r\n", rest)
        if head is None:
            raise WrongLength
        end = head.end() + int(head[1])
        if len(rest) < end:
            raise WrongLength
        try:
            found.append(json.loads(rest[head.end() : end]))
        except ValueError:
            raise WrongLength from None
        rest = rest[end:]
    return found


def frame(body: dict[str, Any]) -> bytes:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(text), text)


class Mouth:
    """Sends frames as the scenario cuts them: one per message, split, several together, or all of these."""

    def __init__(self, socket: web.WebSocketResponse, chunking: str, seed: int) -> None:
        self._socket = socket
        self._chunking = chunking
        self._dice = random.Random(seed)
        self._kept = b""

    async def say(self, body: dict[str, Any], *, more: bool = False) -> None:
        """`more`: another frame follows soon, so this one may wait for it."""
        data = self._kept + frame(body)
        self._kept = b""
        manner = self._chunking
        if manner == "mixed":
            manner = self._dice.choice(("one", "split", "coalesce"))
        if manner == "coalesce" and more:
            self._kept = data
            return
        if manner == "split":
            while data:
                size = self._dice.randint(1, max(1, len(data) // 2))
                await self._socket.send_bytes(data[:size])
                data = data[size:]
            return
        await self._socket.send_str(data.decode())

    async def flush(self) -> None:
        if self._kept:
            data, self._kept = self._kept, b""
            await self._socket.send_str(data.decode())

    async def raw(self, text: str) -> None:
        await self._socket.send_str(text)
