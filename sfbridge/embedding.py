"""The spine of embeddings: route, divide, ask, put together. Beside the gateway, with whose chat it shares the way in
which calls are repeated.

There is no fallback: vectors of two models cannot be compared, and nobody would notice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Final

from .asking import Asking
from .core.embedding import EmbeddingRequest, Portion, Vectors
from .core.errors import GatewayError
from .core.stream import Usage
from .exchange import Exchange
from .planning import Planner
from .policy.estimate import estimate_text, family_of
from .policy.fitting import header_names
from .policy.portions import halves, portions
from .policy.routing import Target
from .state.abreast import abreast
from .upstream.base import Embedder, EmbeddingCall

# Calls of one request that run at the same time.
_ABREAST: Final = 4
_MOST_LEARNT: Final = 256


class Embeddings:
    """Built once per application; remembers only how much its upstreams take at once."""

    def __init__(self, planner: Planner, asking: Asking) -> None:
        self._planner = planner
        self._asking = asking
        self._most: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def vectors(self, exchange: Exchange, request: EmbeddingRequest) -> Vectors:
        """All vectors, in the order of the texts; nothing less. Raises GatewayError."""
        target, embedder = self._found(request.model, request.caller.key_id)
        exchange.aimed = target
        family = family_of(target.model)
        weights = [estimate_text(text, family) for text in request.texts]
        asked = _Asked(self, exchange, request, target, embedder, weights)
        parts = portions(weights, self._portion(target, embedder))
        gate, caller = self._planner.backs[target.upstream].gate, request.caller
        ticket = gate.ticket(caller.key_id or caller.client)
        exchange.tickets.append(ticket)
        exchange.mark("prepared")
        async with ticket:
            # where places are counted, one place is one call at a time
            most = 1 if gate.passage.in_flight else _ABREAST
            await abreast([partial(asked.fill, part) for part in parts], most)
        found = asked.whole()
        exchange.usage, exchange.reason = found.usage, "all vectors"
        exchange.trace.ignored = list(header_names(exchange.trace.ignored))
        return found

    async def call(self, exchange: Exchange, embedder: Embedder, call: EmbeddingCall) -> Vectors:
        """One call, repeated while its refusal may pass."""
        exchange.mark("asked")
        attempt = 0
        while True:
            exchange.attempts += 1
            try:
                found = await embedder.embed(call)
            except GatewayError as error:
                await self._asking.wait(exchange, attempt, error)
                attempt += 1
            else:
                exchange.mark("accepted")
                return found

    def learn(self, target: Target, texts: int) -> None:
        """Note that this many texts passed where twice as many were refused."""
        key = target.upstream, target.model
        self._most[key] = min(texts, self._most.get(key, texts))
        if len(self._most) > _MOST_LEARNT:
            self._most.popitem(last=False)

    def _found(self, model: str, key: str) -> tuple[Target, Embedder]:
        target = self._planner.routes.target(model)
        self._planner.permit(target, key)
        upstream = self._planner.backs[target.upstream].upstream
        if target.card.kind == "chat":
            message = f"The model {model} chats and makes no embeddings."
        elif not isinstance(upstream, Embedder):
            message = f"The upstream {target.upstream} makes no embeddings."
        else:
            return target, upstream
        others = [c.id for c in self._planner.cards(key) if c.kind == "embeddings"]
        hint = f" These make them: {', '.join(others[:5])}." if others else ""
        raise GatewayError("invalid_request", message + hint, param="model", retriable=False)

    def _portion(self, target: Target, embedder: Embedder) -> Portion:
        most = embedder.portion(target.model)
        return Portion(
            min(most.texts, self._most.get((target.upstream, target.model), most.texts)),
            most.tokens,
        )


class _Asked:
    """One request while its portions come in."""

    def __init__(
        self,
        embeddings: Embeddings,
        exchange: Exchange,
        request: EmbeddingRequest,
        target: Target,
        embedder: Embedder,
        weights: Sequence[int],
    ) -> None:
        self._embeddings = embeddings
        self._exchange = exchange
        self._request = request
        self._target = target
        self._embedder = embedder
        self._weights = weights
        self._vectors: list[Sequence[float]] = [()] * len(weights)
        self._usage = Usage(output=0)
        self._model = ""

    async def fill(self, places: range) -> None:
        """Ask for the vectors of some places; in halves where the portion seems to be too large."""
        request = self._request
        call = EmbeddingCall(
            model=self._target.model,
            texts=request.texts[places.start : places.stop],
            dimensions=request.dimensions,
            extras=request.extras,
            trace=self._exchange.trace,
        )
        try:
            found = await self._embeddings.call(self._exchange, self._embedder, call)
        except GatewayError as error:
            parts = halves(places, error)
            if not parts:
                if len(places) < len(request.texts) and error.param is None:
                    error.param = f"input[{places.start}]"
                raise
            for part in parts:
                await self.fill(part)
            self._embeddings.learn(self._target, len(parts[0]))
            return
        self._take(places, found)

    def whole(self) -> Vectors:
        """Everything that came, once all has."""
        return Vectors(vectors=self._vectors, usage=self._usage, model=self._model)

    def _take(self, places: range, found: Vectors) -> None:
        vectors, wanted = found.vectors, self._request.dimensions
        if len(vectors) != len(places):
            raise _broken(f"{len(vectors)} vectors for {len(places)} texts")
        sizes = {len(vector) for vector in vectors} | {len(v) for v in self._vectors if v}
        if wanted is not None and sizes != {wanted}:
            raise GatewayError(
                "unsupported",
                f"dimensions: the upstream made vectors of {min(sizes)} numbers, not of {wanted}.",
                param="dimensions",
                code="dimensions",
                retriable=False,
            )
        if len(sizes) != 1 or 0 in sizes:
            raise _broken("vectors of several sizes")
        self._vectors[places.start : places.stop] = vectors
        self._model = found.model or self._model
        self._exchange.trace.answered_by = self._model
        usage = found.usage
        if usage.input is None:
            guess = sum(self._weights[place] for place in places)
            usage = Usage(input=guess, estimated=True)
        self._usage = self._usage.plus(usage)


def _broken(what: str) -> GatewayError:
    return GatewayError(
        "upstream_failed",
        f"The upstream answered with {what}; none of them is used.",
        code="upstream_garbled",
    )
