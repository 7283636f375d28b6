"""A strict embeddings server of the OpenAI dialect: it refuses what it does not know, counts, and misbehaves on demand.

A vector tells its text: its numbers are the text's length and its characters' codes, so that a test can see whose it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SIZE = 8
FIELDS = frozenset(("model", "input", "dimensions", "encoding_format", "user"))


def vector(text: str, size: int = SIZE) -> list[float]:
    return [float(len(text)), *(float(ord(c)) for c in text[: size - 1].ljust(size - 1))]


@dataclass
class EmbeddingsServer:
    """Change its fields between requests as an operator would.

    batch      most texts of one request
    longest    most characters of one text
    shortens   whether `dimensions` is honoured; otherwise it is passed over, as many servers do
    usage      whether usage is told
    fields     unknown fields that it takes
    plan       one answer per coming request in place of its own: (status, body), or a change of the true body
    hold       requests wait for it, when it is set
    """

    models: tuple[str, ...] = ("tiny-embed",)
    batch: int = 100
    longest: int = 1000
    shortens: bool = False
    usage: bool = True
    fields: frozenset[str] = frozenset()
    plan: list[tuple[int, Any] | Callable[[dict[str, Any]], Any] | None] = field(
        default_factory=list
    )
    hold: asyncio.Event | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    left: int = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/embeddings", self._embeddings)
        return app

    async def _models(self, _: web.Request) -> web.Response:
        listed = [{"id": name, "object": "model", "owned_by": "me"} for name in self.models]
        return web.json_response({"object": "list", "data": listed})

    async def _embeddings(self, request: web.Request) -> web.Response:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            body = await request.json()
            self.asked.append(body)
            step = self.plan.pop(0) if self.plan else None
            if self.hold is not None:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        finally:
            self.open -= 1
        if isinstance(step, tuple):
            return web.json_response(step[1], status=step[0])
        if fault := self._fault(body):
            told = {"message": fault, "type": "invalid_request_error", "param": None, "code": None}
            return web.json_response({"error": told}, status=400)
        answer = self._answer(body)
        return web.json_response(step(answer) if step is not None else answer)

    def _fault(self, body: dict[str, Any]) -> str:
        texts = body.get("input")
        if odd := set(body) - FIELDS - self.fields:
            return f"unknown fields {sorted(odd)}"
        if body.get("model") not in self.models:
            return f"model {body.get('model')} not found"
        if (
            not isinstance(texts, list)
            or not all(isinstance(t, str) and t for t in texts)
            or not texts
        ):
            return "input must be texts"
        if len(texts) > self.batch:
            return f"at most {self.batch} inputs, got {len(texts)}"
        if max(map(len, texts)) > self.longest:
            return "input is too long"
        return ""

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        size = body.get("dimensions", SIZE) if self.shortens else SIZE
        data = [
            {"object": "embedding", "index": place, "embedding": vector(text, size)}
            for place, text in enumerate(body["input"])
        ]
        answer: dict[str, Any] = {"object": "list", "data": data, "model": body["model"]}
        if self.usage:
            count = sum(map(len, body["input"]))
            answer["usage"] = {"prompt_tokens": count, "total_tokens": count}
        return answer
