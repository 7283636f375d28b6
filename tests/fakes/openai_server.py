"""A strict server of the OpenAI dialect in the manner of one family, scripted or by the sandbox's rules.

It refuses what real servers and their templates refuse, counts what it was asked, and misbehaves on demand:
`server.plan` holds one behaviour per coming chat request. Run by hand it plays a scenario file:

    python tests/fakes/openai_server.py --port 8090 --family llamacpp --scenario script.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from aiohttp import web

from sfbridge.sandbox.conversation import Conversation, Made, Offered, Result, Said
from sfbridge.sandbox.faults import Fault
from sfbridge.sandbox.model import Answer, answer
from sfbridge.sandbox.scenario import player_of
from sfbridge.sandbox.usage import tokens

FIELDS = frozenset((
    "model", "messages", "stream", "stream_options", "tools", "tool_choice", "max_tokens", "stop",
    "parallel_tool_calls", "max_completion_tokens", "temperature", "top_p", "seed", "user",
    "frequency_penalty", "presence_penalty", "reasoning_effort", "response_format",
))  # fmt: skip
EXTRA = {
    "llamacpp": {"top_k", "min_p", "cache_prompt", "chat_template_kwargs"},
    "vllm": {"top_k", "min_p", "repetition_penalty"},
    "lmstudio": {"top_k", "ttl"},
    "ollama": {"keep_alive"},
    "generic": {"service_tier"},
}  # fmt: skip
MESSAGE = frozenset((
    "role", "content", "tool_calls", "tool_call_id", "name", "reasoning", "reasoning_content",
))  # fmt: skip
OWNER = {"llamacpp": "llamacpp", "vllm": "vllm", "ollama": "library", "generic": "me"}
TINY_PNG = "iVBORw0KGgo="


class Refused(Exception):
    """The request is not one that the family takes."""

    def __init__(self, message: str, status: int = 400, **more: Any) -> None:
        super().__init__(message)
        self.status, self.more = status, more


@dataclass
class Behaviour:
    """What happens to one chat request.

    status, body   an error answer in place of a turn
    reset          the connection breaks before the first byte
    cut            bytes of the stream (or body) after which the connection breaks
    stall          bytes after which nothing follows
    frames         the event stream, exactly; whole, the body, exactly
    delay          seconds before anything
    """

    status: int = 0
    body: Any = None
    reset: bool = False
    cut: int | None = None
    stall: int | None = None
    frames: bytes | None = None
    whole: bytes | None = None
    delay: float = 0.0


@dataclass
class Server:
    """One server; change its fields between requests as an operator would.

    usage        where the counts of a stream stand: "chunk" of its own, "last" content chunk, "none"
    reasoning    the field of thoughts; empty: the model does not think
    only_thinks  the model says nothing but its thoughts
    done         whether [DONE] ends a stream
    strict_turns the template wants user and assistant in strict turns, results not counted
    split        bytes of a write; 0: a frame at a time
    loads        what answers, whichever model is asked; empty: that model
    """

    family: str = "generic"
    models: tuple[str, ...] = ("tiny",)
    window: int = 4096
    key: str = ""
    vision: bool = False
    tools: bool = True
    usage: str = "chunk"
    reasoning: str = ""
    only_thinks: bool = False
    done: bool = True
    strict_turns: bool = False
    split: int = 0
    loading: bool = False
    scenario: str = ""
    loads: str = ""
    plan: list[Behaviour] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    open: int = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        if self.family == "llamacpp":
            app.router.add_get("/props", self._props)
            app.router.add_get("/slots", self._slots)
        elif self.family == "ollama":
            app.router.add_get("/api/version", self._version)
            app.router.add_get("/api/ps", self._ps)
            app.router.add_post("/api/show", self._show)
        elif self.family == "lmstudio":
            app.router.add_get("/api/v0/models", self._studio)
        return app

    # ---- what a family tells of itself

    async def _models(self, request: web.Request) -> web.Response:
        self.counts["models"] += 1
        try:
            self._admit(request)
        except Refused as refused:
            return self._refusal(refused)
        listed = []
        for name in self.models:
            entry = {"id": name, "object": "model", "created": 1_700_000_000}
            entry["owned_by"] = OWNER.get(self.family, "organization_owner")
            if self.family == "vllm":
                entry["max_model_len"] = self.window
            if self.family == "llamacpp":
                entry["meta"] = {"n_ctx_train": 1_000_000, "n_params": 1}
            listed.append(entry)
        return web.json_response({"object": "list", "data": listed})

    async def _props(self, _: web.Request) -> web.Response:
        if self.loading:
            return web.json_response(_error("Loading model", 503, "unavailable_error"), status=503)
        told = {
            "default_generation_settings": {"id": 0, "n_ctx": self.window, "params": {}},
            "total_slots": 1,
            "modalities": {"vision": self.vision, "audio": False},
            "build_info": "b6000-abcdef",
        }
        return web.json_response(told)

    async def _slots(self, _: web.Request) -> web.Response:
        return web.json_response([{"id": 0, "n_ctx": self.window, "is_processing": False}])

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "0.12.3"})

    async def _ps(self, _: web.Request) -> web.Response:
        loaded = [{"name": self.models[0], "model": self.models[0], "context_length": self.window}]
        return web.json_response({"models": loaded})

    async def _show(self, request: web.Request) -> web.Response:
        self.counts["show"] += 1
        name = (await request.json())["model"]
        able = ["completion", *(["tools"] if self.tools else [])]
        able += ["vision"] if self.vision else []
        told = {
            "parameters": f'stop    "<end>"\nnum_ctx    {self.window // 2}',
            "model_info": {"general.architecture": "tiny", "tiny.context_length": 131072},
            "capabilities": ["embedding"] if "embed" in name else able,
        }
        return web.json_response(told)

    async def _studio(self, _: web.Request) -> web.Response:
        models = [
            {
                "id": name, "object": "model", "type": "vlm" if self.vision else "llm",
                "state": "not-loaded" if place else "loaded", "max_context_length": 131072,
                **({} if place else {"loaded_context_length": self.window}),
            }
            for place, name in enumerate(self.models)
        ]  # fmt: skip
        return web.json_response({"object": "list", "data": models})

    # ---- chat

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.counts["chat"] += 1
        self.open += 1
        try:
            return await self._answered(request)
        except Refused as refused:
            return self._refusal(refused)
        finally:
            self.open -= 1

    async def _answered(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        plan = self.plan.pop(0) if self.plan else Behaviour()
        if plan.delay:
            await asyncio.sleep(plan.delay)
        if plan.reset:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if plan.status:
            return web.json_response(plan.body, status=plan.status)
        self._admit(request)
        if self.loading:
            raise Refused("Loading model", 503, type="unavailable_error")
        self._check(body)
        self.asked.append(body)
        conversation = _conversation(body)
        turn = answer(conversation, player_of(self.scenario), Fault(), 7)
        if body.get("stream"):
            data = plan.frames or b"".join(_frames(self, body, turn))
            return await self._say(request, data, "text/event-stream", plan)
        whole = plan.whole or json.dumps(_completion(self, body, turn)).encode()
        return await self._say(request, whole, "application/json", plan)

    async def _say(
        self, request: web.Request, data: bytes, kind: str, plan: Behaviour
    ) -> web.StreamResponse:
        """The bytes, frame by frame or in odd pieces, as far as the plan lets them through."""
        response = web.StreamResponse(headers={"Content-Type": kind})
        if plan.cut is not None or plan.stall is not None:
            response.content_length = len(data) + 1
        await response.prepare(request)
        shown = data[: plan.cut] if plan.cut is not None else data[: plan.stall]
        step = self.split or 4096
        for start in range(0, len(shown), step):
            await response.write(shown[start : start + step])
            if self.split:
                await asyncio.sleep(0)
        if plan.stall is not None:
            await asyncio.Event().wait()
        if plan.cut is not None:
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write_eof()
        return response

    def _refusal(self, refused: Refused) -> web.Response:
        """An error in the family's envelope."""
        message, status = str(refused), refused.status
        if self.family == "lmstudio":
            return web.json_response({"error": message}, status=status)
        if self.family == "vllm":
            flat = {
                "object": "error",
                "message": message,
                "type": "BadRequestError",
                "code": status,
            }
            return web.json_response(flat, status=status)
        told = _error(message, status, refused.more.pop("type", "invalid_request_error"))
        told["error"].update(refused.more)
        return web.json_response(told, status=status)

    def _admit(self, request: web.Request) -> None:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            raise Refused("Invalid API Key", 401, type="authentication_error")

    # ---- what is refused

    def _check(self, body: dict[str, Any]) -> None:
        _demand(not (odd := set(body) - FIELDS - EXTRA[self.family]), f"unknown fields {odd}")
        _demand(body.get("model") in (*self.models, "default"), "model not found")
        _demand("stream_options" not in body or body.get("stream"), "stream_options need stream")
        _history(body.get("messages"), self.vision)
        names = _tools(body, self.family)
        _demand(self.tools or not names, f"{body['model']} does not support tools")
        if self.strict_turns:
            _turns(body["messages"])
        size = tokens(_conversation(body).everything)
        if size > self.window:
            raise self._overflow(size)

    def _overflow(self, size: int) -> Refused:
        match self.family:
            case "llamacpp":
                told = "the request exceeds the available context size, try increasing it"
                more = {"n_prompt_tokens": size, "n_ctx": self.window}
                return Refused(told, type="exceed_context_size_error", **more)
            case "lmstudio":
                return Refused(
                    f"Trying to keep the first {size} tokens when context the overflows. However, the "
                    f"model is loaded with context length of only {self.window} tokens, which is not "
                    "enough. Try to load the model with a larger context length."
                )
            case "ollama":
                return Refused("the input length exceeds the context length")
            case _:
                return Refused(
                    f"This model's maximum context length is {self.window} tokens. However, your "
                    f"request has {size} input tokens. Please reduce the length of the messages."
                )


def _error(message: str, status: int, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def _demand(true: object, otherwise: str) -> None:
    if not true:
        raise Refused(otherwise)


# ---- histories


def _history(messages: Any, vision: bool) -> None:
    """The vendor's rules: known roles and keys, every call answered at once and exactly once."""
    _demand(isinstance(messages, list) and messages, "messages: must not be empty")
    waiting: set[str] = set()
    used: set[str] = set()
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        role = message.get("role")
        _demand(
            role in ("system", "developer", "user", "assistant", "tool"), f"{where}: role {role!r}"
        )
        _demand(not (odd := set(message) - MESSAGE), f"{where}: unknown keys {odd}")
        _demand(role != "system" or place == 0, f"{where}: system message not at the beginning")
        if role == "tool":
            call_id = message.get("tool_call_id")
            _demand(call_id in waiting, f"{where}: no call {call_id!r} waits for a result")
            _demand(isinstance(message.get("content"), str), f"{where}: a result is text")
            waiting.discard(call_id)
            continue
        _demand(not waiting, f"{where}: the calls {waiting} have no results")
        if role == "assistant":
            waiting = _calls(message, where, used)
        _content(message, where, vision)
    _demand(not waiting, f"the calls {waiting} have no results")


def _calls(message: dict[str, Any], where: str, used: set[str]) -> set[str]:
    ids = set()
    _demand(message.get("tool_calls", [0]), f"{where}: tool_calls must not be empty")
    for call in message.get("tool_calls", []):
        _demand(set(call) == {"id", "type", "function"}, f"{where}: a call has id, type, function")
        _demand(call["id"] and call["id"] not in used, f"{where}: id {call['id']!r}")
        _demand(call["type"] == "function", f"{where}: type {call['type']!r}")
        _demand(set(call["function"]) == {"name", "arguments"}, f"{where}: function")
        _demand(isinstance(json.loads(call["function"]["arguments"]), dict), f"{where}: arguments")
        ids.add(call["id"])
        used.add(call["id"])
    return ids


def _content(message: dict[str, Any], where: str, vision: bool) -> None:
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            _demand(
                part.get("type") in ("text", "image_url"), f"{where}: part {part.get('type')!r}"
            )
            if part["type"] == "image_url":
                _demand(vision, "image input is not supported - hint: provide the mmproj")
                _demand(message["role"] == "user", f"{where}: pictures come from users")
                _demand(part["image_url"]["url"].startswith("data:image/"), f"{where}: url")
    else:
        bare = content is None and message.get("tool_calls")
        _demand(isinstance(content, str) or bare, f"{where}: content")
        _demand(content or message["role"] == "assistant", f"{where}: empty content")


def _turns(messages: list[dict[str, Any]]) -> None:
    """As Mistral's template counts: users and assistants without calls, in strict turns."""
    spoken = [m["role"] for m in messages if m["role"] == "user" or (
        m["role"] == "assistant" and not m.get("tool_calls"))]  # fmt: skip
    wanted = [("user", "assistant")[place % 2] for place in range(len(spoken))]
    if spoken != wanted:
        raise Refused(
            "After the optional system message, conversation roles must alternate user and "
            "assistant roles except for tool calls and results.",
            500,
        )


def _tools(body: dict[str, Any], family: str) -> list[str]:
    names = []
    for tool in body.get("tools", []):
        _demand(tool["type"] == "function", "tools: type")
        _demand(tool["function"]["parameters"].get("type") == "object", "tools: parameters")
        names.append(tool["function"]["name"])
    _demand(names or "tools" not in body, "tools: must not be empty")
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        _demand(family in ("vllm", "generic"), f"Invalid tool_choice type: 'object'. ({family})")
        _demand(choice["function"]["name"] in names, "tool_choice: no such tool")
    else:
        _demand(choice in (None, "auto", "none", "required"), "tool_choice")
        _demand(choice is None or names, "tool_choice without tools")
    _demand(names or "parallel_tool_calls" not in body, "parallel_tool_calls without tools")
    return names


# ---- what the model reads and says


def _conversation(body: dict[str, Any]) -> Conversation:
    names: dict[str, str] = {}
    said: list[Said] = []
    for message in body["messages"]:
        text = _text(message.get("content"))
        if message["role"] == "tool":
            result = Result(names[message["tool_call_id"]], text, text.startswith("Error: "))
            before = (
                said.pop() if said[-1].role == "user" and said[-1].results else Said(role="user")
            )
            said.append(Said(role="user", text=before.text, results=(*before.results, result)))
            continue
        made = []
        for call in message.get("tool_calls", []):
            names[call["id"]] = call["function"]["name"]
            made.append(Made(call["function"]["name"], call["id"]))
        said.append(Said(role=message["role"], text=text, calls=tuple(made)))
    functions = [tool["function"] for tool in body.get("tools", [])]
    choice = body.get("tool_choice", "auto")
    named = choice["function"]["name"] if isinstance(choice, dict) else ""
    form = body.get("response_format") or {}
    return Conversation(
        said=tuple(said),
        everything="\n".join(_text(m.get("content")) for m in body["messages"]),
        tools=tuple(
            Offered(f["name"], f.get("description", ""), f["parameters"]) for f in functions
        ),
        choice="named" if named else choice,
        named=named,
        parallel=body.get("parallel_tool_calls", True),
        schema=form.get("json_schema", {}).get("schema"),
        max_tokens=body.get("max_tokens") or body.get("max_completion_tokens"),
        stop=tuple(body.get("stop", ())),
    )


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text", "[image]") for part in content)
    return content or ""


def _finish(turn: Answer) -> str:
    return "stop" if turn.finish == "stop_sequence" else turn.finish


def _usage(turn: Answer) -> dict[str, Any]:
    count = turn.count
    return {
        "prompt_tokens": count.prompt,
        "completion_tokens": count.output,
        "total_tokens": count.total,
        "prompt_tokens_details": {"cached_tokens": min(3, count.prompt - 1)},
    }


def _completion(server: Server, body: dict[str, Any], turn: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": turn.text or None}
    if server.reasoning:
        message[server.reasoning] = "Let me think." if not server.only_thinks else turn.text
        if server.only_thinks:
            message["content"] = None
    if turn.calls:
        message["tool_calls"] = [_call(call.id, call.name, call.arguments) for call in turn.calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish(turn)}
    told = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000}
    model = server.loads or body["model"]
    return {**told, "model": model, "choices": [choice], "usage": _usage(turn)}


def _call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{call_id}", "type": "function",
            "function": {"name": name, "arguments": arguments}}  # fmt: skip


def _frames(server: Server, body: dict[str, Any], turn: Answer) -> Iterator[bytes]:
    """The turn as the family streams it; calls come in pieces, several of them interleaved."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk"}
    head["model"] = server.loads or body["model"]

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: %b\n\n" % json.dumps({**head, "choices": [choice], **more}).encode()

    yield chunk({"role": "assistant", "content": None if turn.calls else ""})
    if server.reasoning:
        for text in turn.deltas if server.only_thinks else ("Let me ", "think."):
            yield chunk({server.reasoning: text})
    for text in () if server.only_thinks else turn.deltas:
        yield chunk({"content": text})
    for index, call in enumerate(turn.calls):
        whole = _call(call.id, call.name, call.arguments[:2])
        yield chunk({"tool_calls": [{"index": index, **whole}]})
    for start in range(2, max([len(c.arguments) for c in turn.calls], default=0), 5):
        for index, call in enumerate(turn.calls):
            if piece := call.arguments[start : start + 5]:
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    wanted = server.usage != "none" and body.get("stream_options", {}).get("include_usage")
    last = {"usage": _usage(turn)} if wanted and server.usage == "last" else {}
    yield chunk({}, _finish(turn), **last)
    if wanted and server.usage == "chunk":
        usage = {**head, "choices": [], "usage": _usage(turn)}
        yield b"data: %b\n\n" % json.dumps(usage).encode()
    if server.done:
        yield b"data: [DONE]\n\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--family", choices=sorted(EXTRA), default="generic")
    parser.add_argument("--scenario", default="")
    parser.add_argument("--window", type=int, default=200_000)
    chosen = parser.parse_args()
    server = Server(family=chosen.family, window=chosen.window, scenario=chosen.scenario)
    web.run_app(server.app(), host="127.0.0.1", port=chosen.port, print=None)


if __name__ == "__main__":
    main()
