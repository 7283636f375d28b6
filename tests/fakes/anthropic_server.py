"""An Anthropic server that plays by rules, for the real `claude` command to ask; it answers from the prompt alone.

    my name is Ada / what is my name    from the history that it is sent
    use A and B                         calls of the offered tools that end so
    slowly                              a pause between pieces, until `release` is set
    fail N                              status N

It is strict about what the API is strict about: every call has its result in the next message.
"""

from __future__ import annotations

import asyncio
import json
import re
from itertools import pairwise
from typing import Any

from aiohttp import web

REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>\s*", re.DOTALL)
ERRORS = {
    401: "authentication_error",
    429: "rate_limit_error",
    404: "not_found_error",
    529: "overloaded_error",
}


class Anthropic:
    """`asked` holds every body; `open` counts the answers under way."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.open = self.most = 0
        self.release = asyncio.Event()
        self.speaking = asyncio.Event()
        self._ids = iter(range(10**6))

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/messages", self.messages)
        return app

    async def messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        said = [message for message in body["messages"] if message["role"] != "system"]
        self._check(said)
        words = _texts(said[-1]["content"])
        if found := re.search(r"fail (\d+)", words):
            status = int(found[1])
            error = {"type": ERRORS[status], "message": "Refused as told."}
            return web.json_response(
                {"type": "error", "error": error},
                status=status,
                headers={"x-should-retry": "false"},
            )
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            return await self._answer(request, body, said, words)
        finally:
            self.open -= 1

    async def _answer(
        self, request: web.Request, body: dict[str, Any], said: list[dict[str, Any]], words: str
    ) -> web.StreamResponse:
        blocks, reason = self._decide(body, said, words)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)

        async def event(kind: str, **more: Any) -> None:
            data = json.dumps({"type": kind, **more})
            await response.write(f"event: {kind}\ndata: {data}\n\n".encode())

        start = {"id": f"msg_{next(self._ids)}", "type": "message", "role": "assistant", "content": [],
                 "model": body["model"], "stop_reason": None, "stop_sequence": None,
                 "usage": {"input_tokens": 11, "output_tokens": 1}}  # fmt: skip
        await event("message_start", message=start)
        for index, block in enumerate(blocks):
            if block["type"] == "tool_use":
                await event(
                    "content_block_start", index=index, content_block={**block, "input": {}}
                )
                delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
                await event("content_block_delta", index=index, delta=delta)
            else:
                await event(
                    "content_block_start", index=index, content_block={"type": "text", "text": ""}
                )
                for piece in re.findall(r".{1,6}", block["text"], re.DOTALL):
                    await event(
                        "content_block_delta",
                        index=index,
                        delta={"type": "text_delta", "text": piece},
                    )
                    if "slowly" in words:
                        self.speaking.set()
                        await self.release.wait()
                        await asyncio.sleep(0.05)
            await event("content_block_stop", index=index)
        delta = {"stop_reason": reason, "stop_sequence": None}
        await event("message_delta", delta=delta, usage={"output_tokens": 42})
        await event("message_stop")
        return response

    def _decide(
        self, body: dict[str, Any], said: list[dict[str, Any]], words: str
    ) -> tuple[list[dict[str, Any]], str]:
        results = [
            b for b in said[-1]["content"] if isinstance(b, dict) and b["type"] == "tool_result"
        ]
        names = [tool["name"] for tool in body.get("tools", ())]
        wanted = [
            name
            for word in re.findall(r"use (\w+)", words)
            for name in names
            if name.endswith(f"__{word}")
        ]
        if wanted and not results:
            calls = [
                {
                    "type": "tool_use",
                    "id": f"toolu_{next(self._ids)}",
                    "name": name,
                    "input": {"q": name[-4:]},
                }
                for name in wanted
            ]
            return [{"type": "text", "text": "Using it."}, *calls], "tool_use"
        if results:
            told = "; ".join(
                ("failed: " if r.get("is_error") else "") + _texts(r["content"]) for r in results
            )
            return [{"type": "text", "text": f"I was told: {told}"}], "end_turn"
        if "what is my name" in words:
            heard = "\n".join(_texts(m["content"]) for m in said if m["role"] == "user")
            known = re.findall(r"my name is (\w+)", heard)
            text = f"Your name is {known[-1]}." if known else "I do not know your name."
            return [{"type": "text", "text": text}], "end_turn"
        return [{"type": "text", "text": f"You said: {words}"}], "end_turn"

    def _check(self, said: list[dict[str, Any]]) -> None:
        for before, after in pairwise(said):
            if isinstance(before["content"], str):
                continue
            calls = {b["id"] for b in before["content"] if b["type"] == "tool_use"}
            given = {b["tool_use_id"] for b in after["content"]
                     if isinstance(b, dict) and b["type"] == "tool_result"}  # fmt: skip
            assert calls == given, "a call without its result, or a result without its call"


def _texts(content: str | list[dict[str, Any]]) -> str:
    """The words of a message, without what the command adds of its own."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    texts = [block["text"] for block in content if block["type"] == "text"]
    return REMINDER.sub("", "\n".join(texts)).strip()
