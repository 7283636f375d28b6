"""The five members of the upstream contract, over one server of the OpenAI dialect."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from sfbridge.core.embedding import Portion, Vectors
from sfbridge.core.errors import GatewayError
from sfbridge.core.model import Capabilities, Health, ModelCard
from sfbridge.core.stream import Piece
from sfbridge.upstream.base import Call, EmbeddingCall, Reception, Resources
from sfbridge.upstream.http import Response
from sfbridge.upstream.reading import OneBatch, note_model, read_pieces

from . import embeddings
from .answer import StreamReader, whole_answer
from .connection import Connection
from .detect import Found, Looker, Seen
from .facts import ANY, DEFAULT, Facts
from .faults import ROLES, Asked
from .knowledge import Knowledge
from .profiles import PROFILES, Profile
from .request import Manner, body, unsent
from .settings import Address, Settings
from .standing import Standing

_log = logging.getLogger("sfbridge.upstream.openai")

# Of a probe as a whole.
_LOOK_SECONDS: Final = 10.0
_JSON: Final = "application/json"
_STREAM: Final = "text/event-stream"


class OpenAiServer:
    """One server."""

    def __init__(
        self, name: str, settings: Settings, address: Address, resources: Resources
    ) -> None:
        self.name = name
        self._settings = settings
        self._address = address
        headers = {
            "Content-Type": "application/json",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        if address.key:
            headers["Authorization"] = f"Bearer {address.key.reveal()}"
        self._standing = Standing()
        looker = Looker(
            resources.session,
            address,
            headers,
            family=None if settings.profile == "auto" else settings.profile,
            seconds=_LOOK_SECONDS,
        )
        self._knowledge = Knowledge(looker, self._standing, resources, self._changed)
        self._connection = Connection(address, headers, settings, resources, self._standing)
        self._facts = Facts(name, settings)
        self._tell = resources.changed

    async def start(self) -> None:
        """Ask the server what it is; it gets a moment to answer before the model list is first read."""
        await self._knowledge.current()

    def models(self) -> Sequence[ModelCard]:
        return self._facts.cards(self._knowledge.found)

    async def capabilities(self, model: str) -> Capabilities:
        found = await self._knowledge.current()
        return self._facts.capabilities(found, self._profile(found), model)

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[Reception]:
        async with AsyncExitStack() as stack:
            try:
                response, asked = await self._accepted(stack, call)
                yield await self._reception(stack, response, asked, call)
            except GatewayError as error:
                self._facts.learn(call.model, error)
                self._standing.failed(error)
                raise
        if self._facts.answered(call.model, call.trace.answered_by):
            self._standing.doubtful = True

    def portion(self, model: str) -> Portion:  # noqa: ARG002  # the same for all of a server
        return Portion(self._settings.embedding_batch, embeddings.MOST_TOKENS)

    async def embed(self, call: EmbeddingCall) -> Vectors:
        found = await self._knowledge.current()
        model = self._facts.target(found, call.model, kind="embeddings")
        sent = embeddings.body(model, call)
        asked = Asked(model=model, size=len(sent))
        try:
            accepted = self._connection.accepted(
                self._connection.embeddings, sent, asked, call.trace
            )
            async with accepted as response:
                return embeddings.vectors(await response.body(), asked)
        except GatewayError as error:
            self._standing.failed(error)
            raise

    async def health(self) -> Health:
        self._knowledge.sign_of_life()
        found, standing = self._knowledge.found, self._standing
        profile = self._profile(found)
        ready = bool(standing.up)
        if ready or standing.failure is None:
            summary = f"{profile.label} at {self._address.host}" if ready else "asking the server"
        else:
            summary = standing.failure.message
        first = self._facts.seen(found, ANY)
        window, source = self._facts.window(found, first.name if first is not None else ANY)
        facts: dict[str, str | int | bool | None] = {
            "family": found.family if found is not None else None,
            "models": len(found.models) if found is not None else None,
            "window": window,
            "window_from": source,
        }
        return Health(ready=ready, summary=summary, facts=facts)

    # ---- one call

    async def _accepted(self, stack: AsyncExitStack, call: Call) -> tuple[Response, Asked]:
        """The accepted call; asked a second time, in other words, where the template minds the order."""
        manner = self._manner(call.model)
        call.trace.ignored += unsent(call.request, manner)
        try:
            return await self._send(stack, call, manner)
        except GatewayError as error:
            if error.code != ROLES or manner.folded:
                raise
        self._facts.fold(call.model)
        _log.info("%s: the template wants strict turns; words go into tool results", call.model)
        return await self._send(stack, call, self._manner(call.model))

    async def _send(
        self, stack: AsyncExitStack, call: Call, manner: Manner
    ) -> tuple[Response, Asked]:
        found = self._knowledge.found
        model = self._facts.target(found, call.model)
        call.trace.known_as = (model,)
        stream = call.stream or manner.profile.streams(tools=bool(call.request.tools))
        sent = body(model, call.request, manner, stream=stream)
        window, source = self._facts.window(found, call.model)
        asked = Asked(
            model=model,
            size=len(sent),
            stream=stream,
            output=call.request.max_output or 0,
            window=window,
            sure=source != DEFAULT,
        )
        accepted = self._connection.accepted(self._connection.chat, sent, asked, call.trace)
        return await stack.enter_async_context(accepted), asked

    async def _reception(
        self, stack: AsyncExitStack, response: Response, asked: Asked, call: Call
    ) -> Reception:
        """The answer as it came, streamed or whole: some servers decide that by themselves."""
        kind = response.content_type
        if kind == _STREAM or (asked.stream and kind != _JSON):
            idle = self._settings.stream_idle_timeout
            pieces: AsyncGenerator[Sequence[Piece]] | OneBatch = read_pieces(
                response, StreamReader(asked), call.trace, idle
            )
        else:
            found = whole_answer(await response.body(), asked)
            note_model(found, call.trace)
            pieces = OneBatch(found)
        # closed before the transport, so that no reader is left waiting on it
        stack.push_async_callback(pieces.aclose)
        return Reception(pieces)

    def _manner(self, model: str) -> Manner:
        return Manner(
            profile=self._profile(self._knowledge.found),
            tools=self._facts.tools(model) != "none",
            folded=self._facts.folded(model),
        )

    def _profile(self, found: Found | None) -> Profile:
        if found is not None:
            return PROFILES[found.family]
        wanted = self._settings.profile
        return PROFILES["generic" if wanted == "auto" else wanted]

    def _changed(self, found: Found) -> None:
        """The server is another than it was, or was asked for the first time."""
        self._facts.forget()
        self._tell()
        _log.info(
            "%s at %s: %s",
            PROFILES[found.family].label,
            self._address.host,
            ", ".join(map(_told, found.models[:8])) or "no model list",
        )


def _told(seen: Seen) -> str:
    return f"{seen.name} ({seen.window} tokens by {seen.source})" if seen.window else seen.name
