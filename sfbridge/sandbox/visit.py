"""The way in that all API routes share: token, headers, body, model, limits, faults; and the way out."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from .catalogue import OrgModel
from .conversation import Conversation
from .faults import MASKING_MESSAGE, NONE, Fault, refusal_of
from .model import Answer, answer
from .org import ORG, Org, Record
from .refusal import Refusal, bad_argument
from .speaking import Frames, ready, say_stream, say_whole
from .usage import tokens

T = TypeVar("T")
Speak = Callable[["Visit"], Awaitable[web.StreamResponse]]

_REQUIRED: Final = ("x-sfdc-app-context", "x-client-feature-id")


class Visit:
    """One API request while it is being answered."""

    def __init__(self, request: web.Request, org: Org, record: Record) -> None:
        self.request = request
        self.org = org
        self.record = record
        self.body = b""
        self.token = ""
        self.counted = False
        self.fault: Fault = NONE
        self._started = time.perf_counter()

    def trace(self) -> dict[str, str]:
        """The headers that every answer of the API carries."""
        seed = f"{self.record.route}\0{self.org.serial()}".encode()
        digest = hashlib.blake2b(seed, digest_size=16).hexdigest()
        return {
            "x-request-id": str(uuid.UUID(digest)),
            "x-b3-traceid": digest,
            "x-b3-spanid": digest[:16],
            "x-envoy-upstream-service-time": str(int((time.perf_counter() - self._started) * 1000)),
        }

    def decode(self, kind: type[T]) -> T:
        """The body as a Struct. Raises Refusal with the decoder's words."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.ValidationError as error:
            raise Refusal(400, "REQUIRED_FIELD_MISSING", str(error)) from None
        except msgspec.DecodeError as error:
            raise bad_argument(f"The request body is not JSON: {error}") from None

    def forbid(self, given: dict[str, Any], known: frozenset[str], where: str) -> None:
        """In strict mode, refuse the fields of an object that the real service drops in silence."""
        unknown = sorted(given.keys() - known)
        if unknown and self.org.settings.strict:
            what = ", ".join(f"{where}{name}" for name in unknown)
            self.org.violate(f"{self.record.route}: {what}")
            raise Refusal(400, "SANDBOX_STRICT", f"The real service would silently drop: {what}")

    async def choose(self, name: str) -> OrgModel:
        """The model of this request. Raises Refusal: unknown, over a limit, or faulty by nature."""
        self.record.model = name
        self.count()
        model, fault = self.org.model(name)
        self.org.spend((len(self.body) + 3) // 4)
        await asyncio.sleep(self.org.settings.first_byte_delay)
        if fault is not None and self.org.fails_now(name, fault):
            self.fault = fault
            await self._strike(fault)
        return model

    async def _strike(self, fault: Fault) -> None:
        if fault.kind in ("slow", "slow-first"):
            slow = fault.amount if fault.kind == "slow" else self.org.settings.slow_seconds
            await asyncio.sleep(slow)
        elif fault.kind == "401-once":
            self.org.tokens.revoke(self.token)
            raise Refusal(401, "INVALID_AUTH", "Invalid token")
        elif (refusal := refusal_of(fault)) is not None:
            raise refusal

    def answer(self, model: OrgModel, conversation: Conversation) -> Answer:
        """What the model says. Raises Refusal when the prompt is beyond a cap or the window."""
        settings = self.org.settings
        if 0 < settings.character_cap < len(conversation.everything):
            raise bad_argument(MASKING_MESSAGE, "E30036")
        prompt = tokens(conversation.everything)
        if 0 < model.window < prompt:
            raise bad_argument(f"prompt is too long: {prompt} tokens > {model.window} maximum")
        return answer(conversation, self.org.player, self.fault, settings.delta_characters)

    async def whole(self, body: dict[str, Any]) -> web.StreamResponse:
        return await say_whole(self.request, msgspec.json.encode(body), self.fault, self.trace())

    async def stream(self, frames: Frames) -> web.StreamResponse:
        settings = self.org.settings
        return await say_stream(
            self.request,
            frames,
            self.fault,
            headers=self.trace(),
            delay=settings.chunk_delay,
            split=settings.split_bytes,
        )

    def count(self) -> None:
        if not self.counted:
            self.counted = True
            self.org.calls.counts[self.record.route, self.record.model] += 1


def door(route: str, speak: Speak, *, gateway: bool = False) -> Callable[..., Awaitable[Any]]:
    """The handler of an API route; `gateway` marks surface B, which an org may not have."""

    async def enter(request: web.Request) -> web.StreamResponse:
        org = request.app[ORG]
        record = Record(route=route, headers=dict(request.headers))
        org.calls.last.append(record)
        visit = Visit(request, org, record)
        org.opened()
        try:
            visit.body = record.body = await request.read()
            if gateway and not org.settings.gateway:
                raise Refusal(404, "NOT_FOUND", "The requested resource was not found.")
            _admit(visit)
            response = await speak(visit)
        except Refusal as refusal:
            response = ready(refusal)
        except (asyncio.CancelledError, ConnectionResetError):
            org.disconnects += 1
            record.disconnected = True
            # aiohttp reports a broken connection as the server's fault, and a cancellation as what it is
            raise asyncio.CancelledError from None
        finally:
            visit.count()
            org.closed()
        if not response.prepared:
            response.headers.update(visit.trace())
        record.status = response.status
        return response

    return enter


def _admit(visit: Visit) -> None:
    request = visit.request
    visit.token = visit.org.tokens.check(request.headers.get("Authorization", ""), visit.org.now())
    missing = tuple(name for name in _REQUIRED if not request.headers.get(name))
    if missing:
        names = ", ".join(missing)
        raise Refusal(400, "REQUIRED_FIELD_MISSING", f"Missing headers: {names}", targets=missing)
    if request.content_type != "application/json":
        message = f"HTTP 415 Unsupported Media Type: {request.content_type}"
        raise Refusal(500, "INTERNAL_ERROR", message, message_code="E00077")
