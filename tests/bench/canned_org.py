"""An upstream as cheap as can be: canned answers of the gateway surface, so that only the bridge is measured."""

from __future__ import annotations

import base64
import json
import sys
import time

from aiohttp import web

from sfbridge.formats.eventstream import encode_frame

FACTS = {"provider": "openai", "created": 1, "model": "gpt-4o", "object": "chat.completion"}
USAGE = {"prompt_tokens": 50, "completion_tokens": 12, "total_tokens": 62}


def generation(text: str, reason: str | None) -> dict[str, object]:
    return {
        "id": "chatcmpl-1",
        "generation_details": {
            "generations": [
                {
                    "id": "g",
                    "role": "assistant",
                    "content": text,
                    "parameters": {"finish_reason": reason, "index": 0},
                }
            ],
            "parameters": {**FACTS, "usage": USAGE} if reason else FACTS,
        },
    }


def sse(data: object) -> bytes:
    return b"event: generation\ndata: " + json.dumps(data).encode() + b"\n\n"


WHOLE = json.dumps(generation("A short answer of a few words.", "stop")).encode()
DELTA = sse(generation(" word", None))
END = sse(generation("", "stop")) + b"event: generation\ndata: [DONE]\n\n"


def bedrock(event: dict[str, object]) -> bytes:
    payload = json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode()}).encode()
    headers = {
        ":message-type": "event",
        ":event-type": "chunk",
        ":content-type": "application/json",
    }
    return encode_frame(headers, payload)


MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [],
    "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 50, "output_tokens": 1},
}  # fmt: skip
B_WHOLE = json.dumps(
    {
        **MESSAGE,
        "content": [{"type": "text", "text": "A short answer of a few words."}],
        "stop_reason": "end_turn",
    }
).encode()
B_START = bedrock({"type": "message_start", "message": MESSAGE}) + bedrock(
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
)
B_DELTA = bedrock(
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " word"}}
)
B_END = (
    bedrock({"type": "content_block_stop", "index": 0})
    + bedrock(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 12},
        }
    )
    + bedrock({"type": "message_stop"})
)


async def token(request: web.Request) -> web.Response:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    jwt = f"{part({'alg': 'RS256', 'tnk': 'core/x/00D'})}.{part({'exp': int(time.time()) + 7200})}.c2ln"
    url = f"http://{request.host}"
    return web.json_response(
        {"access_token": jwt, "token_format": "jwt", "instance_url": url, "api_instance_url": url}
    )


def answering(whole: bytes) -> object:
    async def door(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=whole, content_type="application/json")

    return door


def streaming(kind: str, start: bytes, delta: bytes, end: bytes, chunks: int) -> object:
    async def door(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        if start:
            await response.write(start)
        for _ in range(chunks):
            await response.write(delta)
        await response.write(end)
        return response

    return door


def main(port: int, chunks: int) -> None:
    app = web.Application(client_max_size=64 << 20)
    bedrock_kind = "application/vnd.amazon.eventstream"
    app.router.add_post("/services/oauth2/token", token)
    app.router.add_post("/ai/gpt/v1/chat/generations", answering(WHOLE))  # type: ignore[arg-type]
    app.router.add_post("/ai/gpt/v1/model/{m}/invoke", answering(B_WHOLE))  # type: ignore[arg-type]
    app.router.add_post(
        "/ai/gpt/v1/chat/generations/stream",
        streaming("text/event-stream", b"", DELTA, END, chunks),  # type: ignore[arg-type]
    )
    app.router.add_post(
        "/ai/gpt/v1/model/{m}/invoke-with-response-stream",
        streaming(bedrock_kind, B_START, B_DELTA, B_END, chunks),  # type: ignore[arg-type]
    )
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
