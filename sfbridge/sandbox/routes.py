"""The org as a web application: which path leads to which surface."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from . import bedrock, chat, platform, responses
from .org import ORG, Org, Record
from .refusal import Refusal
from .settings import SandboxSettings
from .speaking import ready
from .visit import door

_MOST_BYTES: Final = 64 * 1024 * 1024
_A: Final = "/einstein/platform/v1"
_B: Final = "/ai/gpt/v1"
_FORM: Final = "application/x-www-form-urlencoded"


def create_org(settings: SandboxSettings, *, base_url: str = "") -> web.Application:
    """One org as an application; `app[ORG]` is its state.

    base_url  what the token response gives as the base of both surfaces; empty: as the client called
    Raises ScenarioError when the scenario of the settings cannot be used.
    """
    app = web.Application(client_max_size=_MOST_BYTES)
    app[ORG] = Org(settings, base_url.rstrip("/"))
    route = app.router.add_post
    route("/services/oauth2/token", _token)
    model = f"{_A}/models/{{model}}"
    route(f"{model}/chat-generations", door("chat-generations", platform.chat_generations))
    route(f"{model}/generations", door("generations", platform.generations))
    route(f"{model}/embeddings", door("embeddings", platform.embeddings))
    route(f"{_A}/feedback", door("feedback", platform.feedback))
    for path, speak in (
        ("chat/generations", chat.chat_generations),
        ("chat/generations/stream", chat.chat_stream),
        ("responses", responses.responses),
    ):
        route(f"{_B}/{path}", door(path, speak, gateway=True))
    model = f"{_B}/model/{{model}}"
    route(f"{model}/invoke", door("invoke", bedrock.invoke, gateway=True))
    streaming = "invoke-with-response-stream"
    route(f"{model}/{streaming}", door(streaming, bedrock.invoke_stream, gateway=True))
    app.router.add_route("*", "/{rest:.*}", _nothing)
    return app


async def _token(request: web.Request) -> web.StreamResponse:
    org = request.app[ORG]
    record = Record(route="token", headers=dict(request.headers))
    org.calls.last.append(record)
    org.calls.counts["token", ""] += 1
    basic = request.headers.get("Authorization", "")
    try:
        if request.content_type != _FORM:
            body = msgspec.json.encode(
                {"error": "invalid_request", "error_description": f"send {_FORM}"}
            )
            raise Refusal(400, "", "", body=body)
        form = {
            key: value for key, value in (await request.post()).items() if isinstance(value, str)
        }
        record.model = form.get("client_id", "")
        base_url = org.base_url or f"{request.scheme}://{request.host}"
        response = web.json_response(org.tokens.grant(form, basic, base_url, org.now()))
    except Refusal as refusal:
        response = ready(refusal)
    record.status = response.status
    return response


async def _nothing(_: web.Request) -> web.StreamResponse:
    """Every path that does not exist, the list of models among them."""
    return ready(Refusal(404, "NOT_FOUND", "The requested resource was not found."))
