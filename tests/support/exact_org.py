"""An org that says exactly the bytes it is given, and nothing else: for tests about single bytes of an answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from sfbridge.formats.eventstream import encode_frame

GATEWAY = "/ai/gpt/v1"
PLATFORM = "/einstein/platform/v1"
_CHUNK = {":message-type": "event", ":event-type": "chunk", ":content-type": "application/json"}
_REQUIRED = ("x-sfdc-app-context", "x-client-feature-id")
_END = 4_000_000_000


class ExactOrg:
    """Answers the doors of `says` (path end -> content type, bytes made from the request); counts what it is asked."""

    def __init__(self) -> None:
        self.says: dict[str, tuple[str, Callable[[str], bytes]]] = {}
        self.asked: list[str] = []
        self.app = web.Application()
        self.app.router.add_post("/services/oauth2/token", self._token)
        self.app.router.add_post("/{path:.*}", self._answer)

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        url = f"http://{request.host}"
        token = ".".join(_base64(part) for part in ({"alg": "HS256"}, {"exp": _END}, {}))
        return web.json_response(
            {
                "access_token": token,
                "signature": "c2lnbmF0dXJl",
                "token_format": "jwt",
                "scope": "sfap_api api",
                "instance_url": url,
                "token_type": "Bearer",
                "issued_at": "1736530186928",
                "api_instance_url": url,
            }
        )

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if not request.headers.get("Authorization", "").startswith("Bearer ") or any(
            name not in request.headers for name in _REQUIRED
        ):
            return web.json_response(
                {"errorCode": "INVALID_AUTH", "message": "headers"}, status=401
            )
        for end, (content_type, make) in self.says.items():
            if request.path.endswith(end):
                body = make(await request.text())
                return web.Response(body=body, content_type=content_type)
        return web.json_response({"errorCode": "NOT_FOUND", "message": request.path}, status=404)


def event_stream(events: list[dict[str, Any]]) -> bytes:
    """Events of the Messages API in the binary frames that Bedrock puts them in."""
    frames = []
    for event in events:
        data = base64.b64encode(json.dumps(event).encode()).decode()
        frames.append(encode_frame(_CHUNK, json.dumps({"bytes": data, "p": "abcd"}).encode()))
    return b"".join(frames)


def _base64(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
