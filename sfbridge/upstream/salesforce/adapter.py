"""The five members of the upstream contract, over whichever surface the org answers."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType

from sfbridge.core.embedding import Portion, Vectors
from sfbridge.core.errors import GatewayError
from sfbridge.core.model import Capabilities, Health, ModelCard
from sfbridge.core.stream import Piece
from sfbridge.upstream.base import Call, EmbeddingCall, Reception, Resources
from sfbridge.upstream.http import Response
from sfbridge.upstream.reading import OneBatch, note_model, read_pieces

from . import embeddings, gateway_api, platform_api
from .auth import Tokens
from .connection import Accepted, Connection
from .faults import Asked
from .knobs import MOST_TEMPERATURE
from .models import ModelRow, ModelTable, quoted, speaks_anthropic
from .probe import DOUBTFUL, Probe, Surface, announce
from .settings import Org, Settings

_log = logging.getLogger("sfbridge.upstream.salesforce")


class Salesforce:
    """One org."""

    def __init__(self, name: str, settings: Settings, org: Org, resources: Resources) -> None:
        self.name = name
        self._settings = settings
        self._org = org
        self._clock = resources.clock
        self._table = ModelTable(settings.models)
        self._tokens = Tokens(org, settings, resources)
        self._connection = Connection(self._tokens, settings, resources)
        self._probe = Probe(self._connection, settings, org, resources)
        self._adaptive = settings.thinking == "adaptive"
        self._proven = False
        self._warned: set[str] = set()

    def start(self) -> None:
        """Begin what a first request would wait for: a token, and the question which surface answers."""
        if self._org.sandbox:
            _log.warning("answers come from the built-in sandbox org, not from a model")
        if self._probe.known is None:
            self._probe.ask()
        else:
            announce(self._probe.known, self._org)
            self._tokens.refresh()

    def models(self) -> Sequence[ModelCard]:
        return self._table.cards()

    async def capabilities(self, model: str) -> Capabilities:
        return self._capabilities(await self._probe.surface(), model)

    def open(self, call: Call) -> _Conversation:
        return _Conversation(self, call)

    async def accepted(self, call: Call) -> tuple[Surface, Asked, Accepted]:
        """What is asked of which surface, and the request for it, not yet sent."""
        surface = await self._probe.surface()
        self._note(surface, call)
        call.trace.known_as = self._table.names(call.model)
        path, body, asked = self._prepared(surface, call)
        return surface, asked, self._connection.accepted(path, body, asked, call.trace)

    async def pieces(
        self, surface: Surface, asked: Asked, call: Call, response: Response
    ) -> AsyncGenerator[Sequence[Piece]] | OneBatch:
        """The answer of an accepted call; a whole one is read now, so that its faults are those of the call."""
        if _streams(surface, call, response):
            idle = self._settings.stream_idle_timeout
            reader = gateway_api.reader(asked)
            pieces: AsyncGenerator[Sequence[Piece]] | OneBatch = read_pieces(
                response, reader, call.trace, idle
            )
        else:
            pieces = OneBatch(await _whole(surface, response, asked, call))
        self._proven = True
        self._probe.prove()
        return pieces

    def refused(self, error: GatewayError) -> None:
        """Doubt the gateway of the settings when it refuses before it ever answered."""
        if self._settings.surface == "gateway" and not self._proven and error.kind in DOUBTFUL:
            self._probe.doubt()

    def portion(self, model: str) -> Portion:  # noqa: ARG002  # the same for all of an org
        return Portion(self._settings.embedding_batch, embeddings.MOST_TOKENS)

    async def embed(self, call: EmbeddingCall) -> Vectors:
        row = self._table.row(call.model)
        embeddings.require_own_size(call.dimensions, row, call.model)
        call.trace.ignored += call.extras
        body = embeddings.body(call.texts, self._settings.locale)
        asked = self._asked(call.model, body, row)
        path = embeddings.path(quoted(call.model))
        async with self._connection.accepted(path, body, asked, call.trace) as response:
            found = embeddings.vectors(await response.body(), asked)
        self._proven = True
        return found

    async def health(self) -> Health:
        surface, token = self._probe.known, self._tokens.held
        if token is None:
            self._tokens.refresh()
        failure = self._tokens.failure or self._probe.failure
        missing = surface is not None and self._probe.failure is not None
        ready = surface is not None and self._tokens.issued and not missing
        if ready:
            summary = f"{self._org.host}, {surface} surface"
        else:
            summary = failure.message if failure is not None else "asking the org"
        facts: dict[str, str | int | bool | None] = {
            "surface": surface,
            "token_expires_in": int(token.expires_at - self._clock()) if token else None,
            "sandbox": self._org.sandbox,
            "org": self._org.host,
        }
        return Health(ready=ready, summary=summary, facts=facts)

    # ---- one call

    def _capabilities(self, surface: Surface, model: str) -> Capabilities:
        row = self._table.row(model)
        if surface == "platform":
            return platform_api.capabilities(row)
        return gateway_api.capabilities(model, row, thinks=self._adaptive)

    def _prepared(self, surface: Surface, call: Call) -> tuple[str, bytes, Asked]:
        model, request = call.model, call.request
        row = self._table.row(model)
        if surface == "platform":
            path = platform_api.path(quoted(model))
            body = platform_api.body(request, self._settings.locale)
        else:
            most = self._settings.default_max_output
            if row is not None and row.max_output is not None:
                most = min(most, row.max_output)
            path = gateway_api.path(model, quoted(model), stream=call.stream)
            body = gateway_api.body(
                model, request, request.max_output or most, thinks=self._adaptive
            )
        return path, body, self._asked(model, body, row)

    def _asked(self, model: str, body: bytes, row: ModelRow | None) -> Asked:
        return Asked(
            model=model,
            size=len(body),
            proven=self._proven or self._probe.answered,
            window=row.window if row is not None else None,
            status=row.status if row is not None else "",
        )

    def _note(self, surface: Surface, call: Call) -> None:
        """Say what a dialect changes in silence: thoughts, knobs that exclude them, rerouted names."""
        request, ignored = call.request, call.trace.ignored
        words, sampling = request.words, request.sampling
        thinks = (
            self._adaptive
            and surface == "gateway"
            and speaks_anthropic(call.model)
            and request.thinking is not None
        )
        if request.thinking is not None and not thinks:
            ignored.append(words.get("thinking", "thinking"))
        if thinks:
            ignored += [
                words.get(name, name)
                for name in ("temperature", "top_p", "top_k")
                if getattr(sampling, name) is not None
            ]
        elif sampling.temperature is not None and sampling.temperature > MOST_TEMPERATURE:
            ignored.append(words.get("temperature", "temperature"))
        row = self._table.row(call.model)
        if row is not None and row.rerouted_to and row.api_name not in self._warned:
            self._warned.add(row.api_name)
            _log.warning("%s is rerouted by Salesforce: %s answers", row.api_name, row.rerouted_to)


def _streams(surface: Surface, call: Call, response: Response) -> bool:
    """Whether what comes is the stream that was asked for; a fault under a 200 is not."""
    wanted = surface == "gateway" and call.stream
    return wanted and response.content_type in gateway_api.STREAM_TYPES


async def _whole(surface: Surface, response: Response, asked: Asked, call: Call) -> Sequence[Piece]:
    body = await response.body()
    if surface == "platform":
        pieces = platform_api.whole_answer(body, asked)
    else:
        pieces = gateway_api.whole_answer(body, asked)
    note_model(pieces, call.trace)
    return pieces


class _Conversation:
    """One call: entering it asks and checks, leaving it closes the reader and then the transport."""

    __slots__ = ("_accepted", "_call", "_org", "_pieces")

    def __init__(self, org: Salesforce, call: Call) -> None:
        self._org = org
        self._call = call

    async def __aenter__(self) -> Reception:
        surface, asked, self._accepted = await self._org.accepted(self._call)
        try:
            response = await self._accepted.__aenter__()
        except GatewayError as error:
            self._org.refused(error)
            raise
        read = False
        try:
            self._pieces = await self._org.pieces(surface, asked, self._call, response)
            read = True
        finally:
            if not read:
                response.close()
        return Reception(self._pieces)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._pieces.aclose()
        finally:
            await self._accepted.__aexit__(kind, error, trace)
