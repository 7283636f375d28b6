"""A desk in front of one sandbox org: mints a token on first use and posts what tests want to post."""

from __future__ import annotations

import base64
import json
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from sfbridge.formats.eventstream import Frames
from sfbridge.formats.sse import Events
from sfbridge.sandbox import ORG, Org

A = "/einstein/platform/v1"
B = "/ai/gpt/v1"
GPT = "sfdc_ai__DefaultGPT41"
CLAUDE = "sfdc_ai__DefaultBedrockAnthropicClaude45Sonnet"
HEADERS = {
    "x-sfdc-app-context": "EinsteinGPT",
    "x-client-feature-id": "ai-platform-models-connected-app",
    "Content-Type": "application/json",
}
CALCULATOR = {
    "name": "calculator",
    "description": "Computes an arithmetic expression.",
    "parameters": {"type": "object", "properties": {"input": {"type": "string"}}},
}
ASK = "Use the calculator tool to compute 6*7, then state the result."


class Desk:
    def __init__(self, client: TestClient[Any, Any]) -> None:
        self.client = client
        self.org: Org = client.app[ORG]
        self._token = ""

    async def mint(self, client_id: str = "sandbox-client", **form: str) -> tuple[int, Any]:
        """A token request; status and body."""
        data = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": "sandbox-secret",
            **form,
        }
        async with self.client.post("/services/oauth2/token", data=data) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith("{") else text

    async def token(self) -> str:
        if not self._token:
            self._token = (await self.mint())[1]["access_token"]
        return self._token

    async def send(self, path: str, body: Any, **headers: str) -> ClientResponse:
        """A POST with all headers; a header given as "" is left out."""
        sent = {**HEADERS, "Authorization": f"Bearer {await self.token()}", **headers}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post(
            path, data=data, headers={name: value for name, value in sent.items() if value}
        )

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Status, and the body as JSON where it is JSON."""
        response = await self.send(path, body, **headers)
        text = await response.text()
        return response.status, json.loads(text) if text.startswith("{") else text

    async def chat(self, model: str, *texts: str) -> tuple[int, Any]:
        """A platform chat whose texts are user, assistant, user, … turns."""
        return await self.post(f"{A}/models/{model}/chat-generations", {"messages": turns(*texts)})

    async def says(self, *texts: str, system: str = "", model: str = GPT) -> str:
        """What the model says on the platform."""
        messages = [{"role": "system", "content": system}] if system else []
        body = {"messages": messages + turns(*texts)}
        status, told = await self.post(f"{A}/models/{model}/chat-generations", body)
        assert status == 200, told
        content = told["generationDetails"]["generations"][0]["content"]
        assert isinstance(content, str)
        return content

    async def sse(self, path: str, body: Any) -> list[tuple[str, bytes]]:
        response = await self.send(path, body)
        assert response.content_type == "text/event-stream", await response.text()
        return [(event.event, event.data) for event in Events().feed(await response.read())]

    async def invoke_stream(self, model: str, body: Any) -> list[dict[str, Any]]:
        """The Anthropic events of a binary stream, checksums proved on the way."""
        response = await self.send(f"{B}/model/{model}/invoke-with-response-stream", body)
        assert response.content_type == "application/vnd.amazon.eventstream", await response.text()
        reader, found = Frames(), []
        async for chunk in response.content.iter_any():
            for frame in reader.feed(chunk):
                assert frame.headers[":message-type"] == "event", frame.payload
                found.append(json.loads(base64.b64decode(json.loads(frame.payload)["bytes"])))
        reader.drain()
        return found


def turns(*texts: str) -> list[dict[str, str]]:
    return [
        {"role": "assistant" if place % 2 else "user", "content": text}
        for place, text in enumerate(texts)
    ]


def bedrock(*messages: Any, **more: Any) -> dict[str, Any]:
    """A valid `invoke` body; a text stands for a user turn."""
    said = [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]
    return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1024, "messages": said, **more}
