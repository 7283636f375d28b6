"""One ask of the simulated process: its scripted steps, in either dialect, each push waiting for the one before."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING, Any

from .scenario import Play

if TYPE_CHECKING:
    from .talk import Client

META = "ai-coding/"


class Stopped(Exception):
    pass


class Ask:
    """One question. What it says goes through `client.push` (classic) or `client.tell` (ACP)."""

    def __init__(
        self,
        client: Client,
        request: str,
        session: str,
        question: str,
        *,
        model: str,
        acp: bool = False,
    ) -> None:
        self.client, self.request, self.session, self.question = client, request, session, question
        self.model, self.acp = model, acp
        self.stopped, self.approved = asyncio.Event(), asyncio.Event()
        self.said: list[str] = []
        self.told_session = "sim-chosen-" + session if client.scenario.own_session_ids else session
        self.play: Play = client.scenario.play(question.splitlines()[-1] if question else "")

    async def run(self) -> None:
        for late in list(self.client.talk.deferred):
            self.client.talk.deferred.remove(late)
            await self._answer(late)
        try:
            await self._sleep(self.play.first_delay)
            for step in self.play.steps:
                if self.stopped.is_set():
                    raise Stopped
                if not await self._step(step):
                    return
        except Stopped:
            for number in range(self.client.scenario.late_answers):
                await self._push("chat/answer", {"text": f"late {number}", "overwrite": False})
            await self._finish({"finish": 200, "reason": "cancelled", "fullAnswer": ""})

    async def _step(self, step: dict[str, Any]) -> bool:
        """One step; False ends the ask."""
        match next(iter(step)):
            case "step":
                for name in ("step_start", "step_end"):
                    await self._push_classic(
                        "chat/process_step_callback",
                        {"step": name, "description": "", "status": step.get("status", "done"), "result": None, "message": ""},
                    )  # fmt: skip
            case "title":
                await self._push_classic("session/title/update", {"sessionTitle": step["title"]})
            case "answer":
                for part in split(self._filled(step["answer"]), step.get("n", 1)):
                    await self._sleep(self.play.chunk_delay)
                    await self._answer(part)
            case "overwrite":
                text = self._filled(step["overwrite"])
                self.said = [text]
                await self._push("chat/answer", {"text": text, "overwrite": True})
            case "filtered":
                await self._push("chat/answer", {"text": step["filtered"], "isFiltered": True})
            case "think":
                await self._think(step)
            case "tool":
                await self._tool(step["tool"])
            case "sync":
                await self._sync(step["sync"], step["sync"]["status"])
            case "invoke":
                await self._invoke(step["invoke"])
            case "permission":
                await self._permission(step["permission"])
            case "push":
                given = step["push"]
                if given.get("notify"):
                    await self.client.tell(given["method"], given["params"])
                else:
                    await self.client.push(given["method"], self._ids(given["params"]))
            case "orphan_answer":
                params = {
                    "requestId": "someone-else",
                    "sessionId": "s",
                    "text": step["orphan_answer"],
                }
                await self.client.push("chat/answer", params)
            case "sleep":
                await self._sleep(step["sleep"])
            case "finish":
                await self._finish(step)
            case "no_finish":
                return False
            case "drop_socket":
                await self.client.socket.close()
                return False
            case "exit":
                os._exit(step["exit"])
            case "garbage":
                await self.client.mouth.raw(step["garbage"])
            case "logout":
                (self.client.talk.workdir / "sim-auth").write_text(str(step["logout"]))
            case wrong:
                raise SystemExit(f"sim.json: no step is called {wrong}")
        return True

    def _filled(self, text: str) -> str:
        sessions = self.client.ledger.sessions
        heard = sessions.get(self.session, [])
        words = {
            "question": self.question.splitlines()[-1] if self.question else "",
            "text": self.question,
            "history": " | ".join(heard),
            "model": self.model,
            "session": self.session,
        }
        for name, word in words.items():
            text = text.replace("{{" + name + "}}", word)
        mark = re.search(r"<tool_call (\S+) name=", self.question)
        if mark is not None:
            call = f'<tool_call {mark[1]} name="\\1">\n\\2\n</tool_call {mark[1]}>'
            text = re.sub(r"\{\{call:(\w+):(.*)\}\}", call, text)
        return text

    def _ids(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"requestId": self.request, "sessionId": self.told_session, **params}

    async def _sleep(self, seconds: float) -> None:
        if not seconds:
            return
        try:
            async with asyncio.timeout(seconds):
                await self.stopped.wait()
        except TimeoutError:
            return
        raise Stopped

    async def _answer(self, text: str) -> None:
        self.said.append(text)
        await self._push("chat/answer", {"text": text, "overwrite": False})
        if len(self.said) == 1:
            self.client.ledger.count("begun")  # its first text has reached the client

    async def _push(self, method: str, params: dict[str, Any]) -> None:
        """Text, in the words of the dialect."""
        if not self.acp:
            facts = {
                "isFiltered": False,
                "timestamp": 1790000000000,
                "extra": {"sessionType": "chat"},
            }
            await self._push_classic(method, {**facts, **params})
            return
        kind = "agent_message_chunk" if method == "chat/answer" else "agent_thought_chunk"
        await self._update(
            {"sessionUpdate": kind, "content": {"type": "text", "text": params["text"]}}
        )

    async def _push_classic(self, method: str, params: dict[str, Any]) -> None:
        if not self.acp:
            await self.client.push(method, self._ids(params))

    async def _update(self, update: dict[str, Any], meta: dict[str, Any] | None = None) -> None:
        found = {META + "request-id": self.request, **(meta or {})}
        params = {"sessionId": self.session, "_meta": found, "update": update}
        await self.client.tell("session/update", params, more=True)

    async def _think(self, step: dict[str, Any]) -> None:
        for part in split(step["think"], step.get("n", 1)):
            await self._push("chat/think", {"text": part, "step": "start"})
        if not self.acp:
            await self._push("chat/think", {"text": "", "step": step.get("end", "done")})

    async def _tool(self, tool: dict[str, Any]) -> None:
        if self.acp:
            begun = {"sessionUpdate": "tool_call", "toolCallId": tool["id"], "title": "A tool", "kind": "read",
                     "status": "in_progress", "rawInput": tool["args"]}  # fmt: skip
            await self._update(begun, {META + "tool-name": tool["name"]})
            done = {"sessionUpdate": "tool_call_update", "toolCallId": tool["id"],
                    "status": "failed" if "error" in tool else "completed",
                    "rawOutput": tool.get("result", tool.get("error"))}  # fmt: skip
            await self._update(done)
            return
        if tool.get("fence"):
            await self._answer(f"\n```toolCall::{tool['name']}::{tool['id']}::INIT\n```\n")
        for status in ("INIT", "RUNNING", "ERROR" if "error" in tool else "FINISHED"):
            await self._sync(tool, status)

    async def _sync(self, tool: dict[str, Any], status: str) -> None:
        over = status in ("FINISHED", "ERROR")
        params = {
            "projectPath": "", "toolCallId": tool["id"], "toolCallStatus": status, "parameters": tool.get("args", {}),
            "results": tool.get("result", []) if over else [], "errorCode": "1" if status == "ERROR" else "",
            "errorMsg": tool.get("error", ""),
        }  # fmt: skip
        await self._push_classic("tool/call/sync", params)

    async def _invoke(self, tool: dict[str, Any]) -> None:
        waits: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.client.invoked[tool["id"]] = waits
        params = {"toolCallId": tool["id"], "name": tool["name"], "parameters": tool["args"],
                  "async": tool.get("async", False)}  # fmt: skip
        answer = await self.client.push("tool/invoke", self._ids(params))
        if tool.get("async"):
            answer = await waits
        self.client.ledger.note("invokes", answer)

    async def _permission(self, asked: dict[str, Any]) -> None:
        if self.acp or asked.get("acp"):
            answer = await self.client.push(
                "session/request_permission", self._ids({"options": [], **asked})
            )
            self.client.ledger.note("permissions", answer)
            return
        if asked.get("in_step"):
            facts = {
                "step": "tool",
                "status": "manual_confirm",
                "description": "",
                "result": None,
                "message": "",
            }
            await self._push_classic("chat/process_step_callback", facts)
        else:
            await self._push_classic("tool/call/approve", {"toolCallId": asked.get("id", "call_1")})
        await self.approved.wait()

    async def _finish(self, step: dict[str, Any]) -> None:
        full = step.get("fullAnswer")
        data = {
            "reason": step.get("reason", "success"), "statusCode": step["finish"],
            "fullAnswer": "".join(self.said) if full is None else full, "extra": step.get("extra", {}),
        }  # fmt: skip
        if step["finish"] is None:
            del data["statusCode"]
        for _ in range(step.get("times", 1)):
            if not self.acp:
                await self.client.push("chat/finish", self._ids(data))
                continue
            ended = {"sessionUpdate": "notification", "type": "chat_finish",
                     "data": {"requestId": self.request, "sessionId": self.session, **data}}  # fmt: skip
            await self.client.tell("session/update", {"sessionId": self.session, "update": ended})


def split(text: str, parts: int) -> list[str]:
    size = max(1, -(-len(text) // parts))
    return [text[at : at + size] for at in range(0, len(text), size)] or [text]
