"""What the command line asks of a server on this machine: plain HTTP, without proxies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout
from msgspec import Struct

from .config import Config, clients
from .formats.openai_answer import Completion
from .formats.sse import Events

T = TypeVar("T")

_QUICK: Final = ClientTimeout(total=10)
# Something silent may listen in our place.
_PROBE: Final = ClientTimeout(total=2)
_SLOW: Final = ClientTimeout(total=None, sock_connect=10)


class Unanswered(Exception):
    """The server cannot be reached, or refused; the message says so in words for a person."""


class Model(Struct, frozen=True, kw_only=True):
    """One entry of the server's list; tokens where they are known."""

    id: str
    upstream: str = ""
    chats: bool = True
    window: int | None = None
    max_output: int | None = None


class _Abilities(Struct, frozen=True):
    embeddings: bool = False


class _Listed(Struct, frozen=True):
    id: str
    upstream: str = ""
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: _Abilities = _Abilities()


class _List(Struct, frozen=True):
    data: tuple[_Listed, ...]


class _Fault(Struct, frozen=True):
    message: str = ""


class _Refusal(Struct, frozen=True):
    error: _Fault = _Fault()


class _Health(Struct, frozen=True):
    version: str


class _Told(Struct, frozen=True):
    explanation: str


class _Standing(Struct, frozen=True):
    upstreams: dict[str, dict[str, Any]]


# Of a configuration that has hashes only, a command knows no key.
_NO_KEY: Final = " Give this command one: SFBRIDGE_KEYS__ME=<key> before it."
_JSON: Final = {"Content-Type": "application/json"}


def address(config: Config) -> str:
    """Where the server of this configuration listens, as seen from this machine."""
    host = config.server.host
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{config.server.port}"


def first_key(config: Config) -> str:
    """A key that opens the server; empty where none is needed, or none is known but by its hash."""
    return next((key.secret for key in clients(config).values() if key.secret), "")


class Client:
    """One server and a key for it."""

    def __init__(self, http: ClientSession, base: str, key: str) -> None:
        self.base = base
        self.key = key
        self._http = http
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def alive(self) -> bool:
        """Whether an sfbridge answers there, and not something else or nothing."""
        try:
            async with self._http.get(f"{self.base}/healthz", timeout=_PROBE) as answer:
                return bool(msgspec.json.decode(await answer.read(), type=_Health).version)
        except (ClientError, TimeoutError, OSError, msgspec.MsgspecError):
            return False

    async def get(self, path: str, *, refused: bool = False) -> bytes:
        """The body of an answer. Raises Unanswered, also for a refusal unless `refused` ones are wanted."""
        url = self.base + path
        try:
            async with self._http.get(url, headers=self._headers, timeout=_QUICK) as answer:
                body = await answer.read()
        except (ClientError, TimeoutError, OSError):
            raise Unanswered(self._nobody()) from None
        if answer.status >= 400 and not refused:
            raise self._refused(body, answer.status)
        return body

    async def upstreams(self) -> dict[str, dict[str, Any]]:
        """How each upstream stands: `ready`, a `summary` in words, and facts by name. Raises Unanswered."""
        return self._read(await self.get("/readyz", refused=True), _Standing).upstreams

    async def models(self) -> list[Model]:
        """Every model, with what is known of its window."""
        listed = self._read(await self.get("/v1/models"), _List).data
        return [_model(one, one.id) for one in listed]

    async def model(self, name: str) -> Model:
        """One model, by any of its names. Raises Unanswered for a name that the server does not list."""
        found = await self.get(f"/v1/models/{quote(name, safe='')}")
        return _model(self._read(found, _Listed), name)

    async def explanation(self, request_id: str) -> str:
        """What became of a request, in words. Raises Unanswered."""
        if not await self.alive():  # something else may listen there, and gets no key
            raise Unanswered(f"{self._nobody()}; what a server remembers of its turns ends with it")
        path = f"/v1/sfbridge/turns/{quote(request_id, safe='', errors='replace')}"
        return self._read(await self.get(path), _Told).explanation

    async def chat(self, body: dict[str, Any]) -> AsyncIterator[Completion]:
        """The chunks of a streamed chat, up to its end. Raises Unanswered, also for an answer that breaks off."""
        try:
            async with self._http.post(
                f"{self.base}/v1/chat/completions",
                data=msgspec.json.encode(body),
                headers={**self._headers, **_JSON},
                timeout=_SLOW,
            ) as answer:
                if answer.status >= 400:
                    raise self._refused(await answer.read(), answer.status)
                events = Events()
                async for data in answer.content.iter_any():
                    for event in events.feed(data):
                        if event.data == b"[DONE]":
                            return
                        yield _chunk(event.data)
        except (ClientError, TimeoutError, OSError):
            raise Unanswered(self._nobody()) from None
        raise Unanswered("the answer broke off before its end")

    def _refused(self, body: bytes, status: int) -> Unanswered:
        hint = "" if self.key or status != 401 else _NO_KEY
        return Unanswered(_told(body, status) + hint)

    def _read(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, RecursionError):
            raise Unanswered(
                f"what answers at {self.base} is no sfbridge of this version"
            ) from None

    def _nobody(self) -> str:
        return f"no sfbridge answers at {self.base}; start it, or name another with --config, --host or --port"


def _model(listed: _Listed, name: str) -> Model:
    return Model(
        id=name,
        upstream=listed.upstream,
        chats=not listed.capabilities.embeddings,
        window=listed.context_window,
        max_output=listed.max_output_tokens,
    )


def _chunk(data: bytes) -> Completion:
    found = msgspec.json.decode(data, type=Completion)
    if bytes(found.error):
        raise Unanswered(_told(data, 200))
    return found


def _told(body: bytes, status: int) -> str:
    """The message of a refusal, in whichever envelope."""
    try:
        message = msgspec.json.decode(body, type=_Refusal).error.message
    except msgspec.MsgspecError:
        message = ""
    return message or f"the server answered with status {status}"
