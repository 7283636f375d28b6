"""One WebSocket client of the simulated process: requests in, replies and acknowledged pushes out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from .asks import Ask
from .frames import Mouth, NoHeader, WrongLength, parse
from .ledger import Ledger
from .scenario import Scenario

WITHOUT_PARAMETERS = ("ping", "auth/status", "config/queryModels", "config/getGlobal")


class Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Talk:
    """All clients of one process."""

    def __init__(
        self, workdir: Path, scenario: Scenario, ledger: Ledger, logged_in: Callable[[], bool]
    ) -> None:
        self.workdir, self.scenario, self.ledger, self.logged_in = (
            workdir,
            scenario,
            ledger,
            logged_in,
        )
        self.clients: set[Client] = set()
        self.deferred: list[str] = []
        self.busy: set[str] = set()
        self.running = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.get("/", self._serve)])
        return app

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def log(self, line: str) -> None:
        with (self.workdir / "logs" / "lingma.log").open("a") as file:
            file.write(line + "\n")

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=32 * 1024 * 1024, compress=False)
        await socket.prepare(request)
        self.ledger.count("connections")
        client = Client(self, socket)
        self.clients.add(client)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await client.hear(message.data)
        finally:
            self.clients.discard(client)
            client.gone()
        return socket


class Client:
    """One connection. The process numbers its own requests from 1, so ids of both directions collide on purpose."""

    def __init__(self, talk: Talk, socket: web.WebSocketResponse) -> None:
        self.talk, self.socket = talk, socket
        self.scenario, self.ledger = talk.scenario, talk.ledger
        self.mouth = Mouth(socket, self.scenario.chunking, self.scenario.seed)
        self.asks: dict[str, Ask] = {}
        self.initialized = False
        self.mute = False
        self._number = 0
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self.invoked: dict[str, asyncio.Future[Any]] = {}

    async def hear(self, data: str) -> None:
        try:
            bodies = parse(data)
        except NoHeader:
            self.talk.log("unknown message header")
            self.ledger.count("without_header")
            return
        except WrongLength:
            self.ledger.count("wrong_length")
            await self.socket.close(code=1002)
            return
        for body in bodies:
            if "method" not in body:
                future = self._waiting.pop(str(body["id"]), None)
                if future is not None and not future.done():
                    future.set_result(body.get("result"))
            elif "id" in body:
                self.talk.start(self._answer(body))
            else:
                self.talk.log(f"unknown method {body['method']}")
                self.ledger.note("unknown_notifications", body["method"])

    async def _answer(self, body: dict[str, Any]) -> None:
        number = str(body["id"]) if self.scenario.string_ids else body["id"]
        try:
            result = await self._result(body["method"], body.get("params"))
        except Refused as refused:
            error = {"code": refused.code, "message": refused.message}
            await self.mouth.say({"jsonrpc": "2.0", "id": number, "error": error})
            return
        if result is not NOTHING:
            await self.mouth.say({"jsonrpc": "2.0", "id": number, "result": result})

    async def _result(self, method: str, params: Any) -> Any:
        if not isinstance(params, dict):
            self.ledger.count("params_not_object")
            raise Refused(-32602, "json: cannot unmarshal into Go value of type EmptyRequest")
        if method == "initialize":
            self.initialized = True
            self.ledger.note("initialize", params)
            info = {"name": self.scenario.name, "version": self.scenario.version}
            return {"capabilities": {}, "serverInfo": info, "experimental": {}}
        if self.scenario.strict and not self.initialized:
            self.ledger.count("before_initialize")
            raise Refused(-32002, "server not initialized")
        if method in WITHOUT_PARAMETERS and params:
            raise Refused(-32602, "json: unknown field in EmptyRequest")
        match method:
            case "ping":
                self.ledger.count("pings")
                return NOTHING if self.scenario.silent_ping else {"success": True}
            case "auth/status":
                return self._login()
            case "config/queryModels":
                models = {
                    scene: [
                        {"format": "openai", "url": "https://sim.invalid/SIM-SECRET-URL", "apiKey": "SIM-SECRET-KEY",
                         "source": "system", "isReasoning": False, "isVl": False, **item}
                        for item in items
                    ]
                    for scene, items in self.scenario.models.items()
                }  # fmt: skip
                return models if self._login()["status"] == 2 else {}
            case "chat/ask" if self.scenario.dialect != "acp":
                return await self._ask(params)
            case "session/new" | "session/prompt" | "session/cancel" if (
                self.scenario.dialect != "classic"
            ):
                return await self._session(method, params)
            case "chat/stop":
                return self._stop(params["requestId"])
            case "chat/deleteSessionById":
                self.ledger.count("deleted")
                if not self.ledger.forget(params["sessionId"]):
                    raise Refused(-32603, "session not found")
                return {"success": True}
            case "chat/getSessionById" if params.get("sessionId") in self.ledger.sessions:
                return {"sessionId": params["sessionId"]}
            case "chat/listAllSessions":
                return [{"sessionId": name} for name in self.ledger.sessions]
            case "tool/invokeResult":
                self.ledger.note("invoke_results", params)
                future = self.invoked.pop(params["toolCallId"], None)
                if future is not None and not future.done():
                    future.set_result(params)
                return {"errorCode": None, "errorMessage": None}
            case "tool/call/approve":
                self.ledger.note("approvals", params)
                ask = self.asks.get(params.get("requestId", ""))
                if ask is not None:
                    ask.approved.set()
                return {}
        self.ledger.note("unknown_methods", method)
        raise Refused(-32601, f"method not found: {method}")

    def _login(self) -> dict[str, Any]:
        given = dict(self.scenario.auth)
        switch = (
            self.talk.workdir / "sim-auth"
        )  # a file that a test writes to change the login in mid-operation
        if switch.exists():
            given["status"] = int(switch.read_text())
        if not self.talk.logged_in():
            given["status"] = 1
        inside = given["status"] == 2
        return {
            "messageId": "", "name": "SIM-SECRET-NAME" if inside else "", "id": "SIM-SECRET-ACCOUNT",
            "accountId": "SIM-SECRET-ACCOUNT", "token": "SIM-SECRET-TOKEN", "refreshToken": "SIM-SECRET-REFRESH",
            "expireTime": 1790000000000, "quota": 0, "orgId": "SIM-SECRET-ORG", "userType": "personal_standard",
            "cloudType": "cloud", "privacyPolicyAgreed": True, **given,
        }  # fmt: skip

    # ---- asks

    async def _ask(self, params: dict[str, Any]) -> Any:
        request, session, question = (
            params["requestId"],
            params["sessionId"],
            params["questionText"],
        )
        self.ledger.count("asks")
        if not session:
            self.ledger.count("empty_session")
        if params.get("customModel") is not None or params.get("chatContext") is not None:
            self.ledger.count("strange_asks")
        if params["pluginPayloadConfig"] != {"isEnableAutoMemory": False}:
            self.ledger.count("strange_asks")
        if request in self.asks:
            raise Refused(-32602, "requestId was used before")
        self._refuse_when_busy()
        if self.scenario.forget_sessions and len(self.ledger.sessions.get(session, [])) == 1:
            self.ledger.forget(session)
            raise Refused(-32001, "unknown session")
        if not self.ledger.belongs(session):
            self.ledger.count("foreign_sessions")
            raise Refused(-32001, "unknown session")
        if session in self.talk.busy:
            self.ledger.count("busy_sessions")
            return {"success": False, "errorMessage": "session busy"}
        ask = Ask(
            self,
            request,
            session,
            question,
            model=(params["extra"] or {}).get("modelConfig", {}).get("key", ""),
        )
        return self._begin(ask)

    def _refuse_when_busy(self) -> None:
        if self.scenario.busy_times > 0:
            self.scenario.busy_times -= 1
            raise Refused(-32602, "Another chat is in progress")
        if self.scenario.single_ask_per_connection and self.asks:
            raise Refused(-32602, "Another chat is in progress")

    def _begin(self, ask: Ask) -> Any:
        if ask.play.steps and (refusal := ask.play.steps[0].get("rpc_error")):
            raise Refused(*refusal)
        if ask.play.steps and (words := ask.play.steps[0].get("reject")):
            return {"success": False, "errorMessage": words}
        self.asks[ask.request] = ask
        self.talk.busy.add(ask.session)
        self.talk.running += 1
        self.ledger.most("most_at_once", self.talk.running)
        self.ledger.heard(ask.session, ask.question)
        self.talk.start(self._run(ask))
        return {"success": True}

    async def _run(self, ask: Ask) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                await ask.run()
        finally:
            self.asks.pop(ask.request, None)
            self.talk.busy.discard(ask.session)
            self.talk.running -= 1

    async def _session(self, method: str, params: dict[str, Any]) -> Any:
        if method == "session/new":
            session = f"acp-{self.talk.workdir.name}-{len(self.ledger.sessions) + 1}"
            self.ledger.sessions[session] = []
            update = {"sessionUpdate": "available_commands_update", "availableCommands": []}
            await self.tell("session/update", {"sessionId": session, "update": update})
            return {"sessionId": session}
        request = params.get("_meta", {}).get("ai-coding/request-id", "")
        if method == "session/cancel":
            return self._stop(request)
        self.ledger.count("asks")
        if not request:
            raise Refused(-32602, "request id is empty")
        session = params["sessionId"]
        if session not in self.ledger.sessions:
            self.ledger.count("foreign_sessions")
            raise Refused(-32001, "unknown session")
        question = "".join(block["text"] for block in params["prompt"])
        model = params["_meta"]["ai-coding/model"]
        self._begin(Ask(self, request, session, question, model=model, acp=True))
        return None

    def _stop(self, request: str) -> Any:
        self.ledger.count("stops")
        ask = self.asks.get(request)
        if ask is not None and not self.scenario.ignore_stop:
            ask.stopped.set()
        return {}

    # ---- pushes

    async def push(self, method: str, params: dict[str, Any]) -> Any:
        """One request of the process to its client; its answer, or None when none came in time."""
        if self.mute:
            await asyncio.Event().wait()
        self._number += 1
        number = self._number
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[str(number)] = future
        if self.scenario.chunking in ("coalesce", "mixed"):
            noise = {
                "jsonrpc": "2.0",
                "method": "$/progress",
                "params": {"token": "SIM-SECRET-PROGRESS"},
            }
            await self.mouth.say(noise, more=True)
        began = time.monotonic()
        name = str(number) if self.scenario.string_ids else number
        await self.mouth.say({"jsonrpc": "2.0", "id": name, "method": method, "params": params})
        try:
            async with asyncio.timeout(self.scenario.ack_timeout):
                answer = await future
        except TimeoutError:
            await self._unanswered(method, params)
            return None
        self.ledger.most("slowest_ack", time.monotonic() - began)
        wanted = method in ("chat/answer", "chat/think", "chat/finish")
        if wanted and answer is not True:
            self.ledger.note("odd_acknowledgements", method)
        return answer

    async def _unanswered(self, method: str, params: dict[str, Any]) -> None:
        self.ledger.count("unacknowledged")
        self.talk.log(f"{method} failed: no response from client, timeout reached")
        self.talk.log("client is closed, request is ignored")
        match self.scenario.on_missing_ack:
            case "close":
                await self.socket.close()
                raise ConnectionError
            case "mute":
                self.mute = True
            case "defer" if method == "chat/answer":
                self.talk.deferred.append(params["text"])

    async def tell(self, method: str, params: dict[str, Any], *, more: bool = False) -> None:
        """A notification."""
        await self.mouth.say({"jsonrpc": "2.0", "method": method, "params": params}, more=more)

    def gone(self) -> None:
        for ask in self.asks.values():
            ask.stopped.set()


NOTHING = object()
