#!/usr/bin/env python3
"""An imitation of the `claude` command in its stream-json mode, run as the real one is run: an executable.

Written after what 2.1.197 and 2.1.329 print. It is strict: an unknown option, a prompt in the argument list, a
first line that is not `initialize` or a tool result among the user's words end it with exit code 64. What it
does follows from the user's last words; what it is asked, it writes to the file that FAKE_CLAUDE_LOG names.

    my name is Ada / what is my name    answered from what it was told, in its session or in the prompt
    use A and B                         calls of the offered tools
    slowly                              a pause after each piece of the answer
    fault=NAME                          see FAULTS below
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOG = Path(os.environ["FAKE_CLAUDE_LOG"])
SESSIONS = LOG.parent / "sessions"
FLAGS = {"-p", "--verbose", "--include-partial-messages", "--strict-mcp-config", "--bare",
         "--disable-slash-commands", "--no-session-persistence"}  # fmt: skip
VALUES = {"--output-format", "--input-format", "--model", "--tools", "--setting-sources", "--permission-mode",
          "--allowedTools", "--session-id", "--resume", "--thinking", "--max-thinking-tokens", "--effort"}  # fmt: skip
USAGE = {"input_tokens": 11, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2}


def note(**fact: Any) -> None:
    with LOG.open("a") as log:
        log.write(json.dumps({"pid": os.getpid(), **fact}) + "\n")


def refuse(why: str) -> Any:
    note(refused=why)
    sys.stderr.write(f"error: {why}\n")
    sys.stderr.flush()
    os._exit(64)


def options() -> dict[str, str]:
    found: dict[str, str] = {}
    words = iter(sys.argv[1:])
    for word in words:
        if word in FLAGS:
            found[word] = ""
        elif word in VALUES:
            found[word] = next(words)
        else:
            refuse(f"unknown option {word!r}")
    for needed in ("-p", "--verbose", "--include-partial-messages", "--strict-mcp-config"):
        if needed not in found:
            refuse(f"{needed} is missing")
    return found


class Command:
    def __init__(self) -> None:
        self.options = options()
        self.session = self.options.get("--resume") or self.options.get("--session-id", "")
        self.kept = "--no-session-persistence" not in self.options
        self.said: list[str] = []  # everything the user said, in this session
        self.tools: dict[str, str] = {}
        self.later: list[dict[str, Any]] = []  # said while something else was awaited
        self.cost = 0.0
        self.messages = 0
        self.numbers = iter(range(10**6))

    # ---- lines

    def line(self, **body: Any) -> None:
        self.raw(json.dumps({**body, "session_id": self.session, "uuid": "u"}).encode() + b"\n")

    def raw(self, data: bytes, size: int = 0) -> None:
        for start in range(0, len(data), size or len(data)):
            sys.stdout.buffer.write(data[start : start + (size or len(data))])
            sys.stdout.buffer.flush()

    def event(self, kind: str, **body: Any) -> None:
        self.line(type="stream_event", event={"type": kind, **body}, parent_tool_use_id=None)

    def read(self) -> dict[str, Any]:
        data = sys.stdin.buffer.readline()
        if not data:
            note(end="stdin closed")
            os._exit(0)
        return json.loads(data)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """A control request, and the answer to it; the user may say something meanwhile."""
        request_id = f"c{next(self.numbers)}"
        self.line(type="control_request", request_id=request_id, request=request)
        while True:
            got = self.read()
            if got["type"] == "user":
                self.later.append(got)
                continue
            response = got["response"]
            if response["request_id"] != request_id or response["subtype"] != "success":
                refuse(f"an answer to something else: {got}")
            return response["response"]

    def rpc(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self.numbers)
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        asked = {"subtype": "mcp_message", "server_name": "c", "message": message}
        answer = self.ask(asked)["mcp_response"]
        if answer["id"] != number:
            refuse("an MCP answer with another id")
        return answer["result"]

    def words(self, line: dict[str, Any]) -> str:
        texts = []
        for block in line["message"]["content"]:
            if block["type"] not in ("text", "image", "document"):
                refuse(f"a {block['type']} among the user's words is dropped by the real command")
            texts.append(block.get("text", f"<{block['type']}>"))
        if texts[-1].startswith("/"):
            refuse("a slash at the beginning is a command")
        return "\n".join(texts)

    # ---- a run

    def run(self) -> None:
        note(argv=sys.argv[1:], env=dict(os.environ), cwd=os.getcwd())
        opening = self.read()
        if opening.get("request", {}).get("subtype") != "initialize":
            refuse("the first line is not initialize")
        note(system=opening["request"]["systemPrompt"])
        self.resume()
        if "c" in opening["request"].get("sdkMcpServers", ()):
            self.rpc("initialize", protocolVersion="2025-11-25", capabilities={})
            offered = self.rpc("tools/list")["tools"]
            self.tools = {f"mcp__c__{tool['name']}": tool["name"] for tool in offered}
            note(tools=offered)
        self.line(type="control_response", response={"subtype": "success", "request_id": "open"})
        while True:
            got = self.later.pop(0) if self.later else self.read()
            if got["type"] != "user":
                refuse(f"not a user line: {got}")
            self.turn(self.words(got))

    def resume(self) -> None:
        if "--resume" not in self.options:
            return
        try:
            stored = json.loads((SESSIONS / f"{self.session}.json").read_text())
        except FileNotFoundError:
            stored = {}
        if stored.get("cwd") != os.getcwd():
            told = f"No conversation found with session ID: {self.session}"
            sys.stderr.write(told + "\n")
            self.line(type="result", subtype="error_during_execution", is_error=True, errors=[told],
                      num_turns=0, total_cost_usd=0, usage={})  # fmt: skip
            sys.exit(1)
        self.said = stored["said"]

    def turn(self, words: str) -> None:
        self.said.append(words)
        note(user=words)
        self.line(type="system", subtype="init", model=self.options["--model"], tools=list(self.tools),
                  apiKeySource=self.source(), claude_code_version="2.1.329")  # fmt: skip
        self.line(type="system", subtype="ui_invalidate", event="ui.render")
        self.line(type="system", subtype="status", status="requesting")
        fault = re.search(r"fault=([a-z0-9-]+)", words)
        if fault and FAULTS[fault[1]](self):
            return
        wanted = [
            name for name in re.findall(r"use (\w+)", words) if f"mcp__c__{name}" in self.tools
        ]
        if wanted:
            words = self.calls(wanted)
        self.message([self.answer(words)], "end_turn")
        self.result()

    def answer(self, words: str) -> str:
        names = re.findall(r"my name is (\w+)", "\n".join(self.said))
        if "what is my name" in words:
            return f"Your name is {names[-1]}." if names else "I do not know your name."
        return f"You said: {words}"

    def calls(self, names: list[str]) -> str:
        """Call the tools one after the other, as the real command does; what came of it."""
        ids = [f"toolu_{os.getpid()}_{next(self.numbers)}" for _ in names]
        blocks = [
            {"type": "tool_use", "id": one, "name": f"mcp__c__{name}", "input": {"q": name}}
            for one, name in zip(ids, names, strict=True)
        ]
        self.message(["Using it.", *blocks], "tool_use")
        told = []
        for one, name in zip(ids, names, strict=True):
            result = self.rpc("tools/call", name=name, arguments={"q": name},
                              _meta={"claudecode/toolUseId": one})  # fmt: skip
            note(result=result, call=one)
            text = " ".join(part.get("text", "<image>") for part in result["content"])
            told.append(f"{name} {'failed' if result['isError'] else 'gave'} {text}")
            self.line(type="user", message={"role": "user", "content": [{"type": "tool_result"}]})
        joined = [self.words(line) for line in self.later]  # into the turn that is under way
        self.later.clear()
        self.said += joined
        return "; ".join([*told, *joined])

    def message(self, blocks: list[Any], reason: str) -> None:
        """One streamed message, and between its events the lines that repeat it."""
        self.begin()
        if "--thinking" not in self.options:
            blocks = [
                {"type": "thinking", "thinking": "Let me think.", "signature": "c2ln"},
                *blocks,
            ]
        for index, block in enumerate(blocks):
            whole = {"type": "text", "text": block} if isinstance(block, str) else block
            self.block(index, whole)
            self.line(type="assistant", parent_tool_use_id=None, message={
                "id": self.message_id, "model": self.options["--model"], "content": [whole],
                "stop_reason": None, "usage": USAGE})  # fmt: skip
            self.event("content_block_stop", index=index)
        self.event("message_delta", delta={"stop_reason": reason, "stop_sequence": None},
                   usage={"output_tokens": 42})  # fmt: skip
        self.event("message_stop")
        self.cost += 0.25

    def begin(self) -> None:
        self.messages += 1
        self.message_id = f"msg_{os.getpid()}_{self.messages}"
        start = {"id": self.message_id, "model": self.options["--model"], "content": [],
                 "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}  # fmt: skip
        self.event("message_start", message=start)

    def block(self, index: int, block: dict[str, Any]) -> None:
        kind = block["type"]
        if kind == "text":
            self.event(
                "content_block_start", index=index, content_block={"type": "text", "text": ""}
            )
            size = max(8, len(block["text"]) // 20)
            for start in range(0, len(block["text"]), size):
                self.text(index, block["text"][start : start + size])
                time.sleep(0.02 if "slowly" in self.said[-1] else 0)
        elif kind == "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            self.event("content_block_start", index=index, content_block=empty)
            delta = {"type": "thinking_delta", "thinking": block["thinking"]}
            self.event("content_block_delta", index=index, delta=delta)
        else:
            self.event("content_block_start", index=index, content_block={**block, "input": {}})
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            self.event("content_block_delta", index=index, delta=delta)

    def text(self, index: int, text: str) -> None:
        self.event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})

    def result(self, **more: Any) -> None:
        if self.kept:
            SESSIONS.mkdir(exist_ok=True)
            kept = {"cwd": os.getcwd(), "said": self.said}
            (SESSIONS / f"{self.session}.json").write_text(json.dumps(kept))
        self.line(**{
            "type": "result", "subtype": "success", "is_error": False, "result": "", "num_turns": 1,
            "total_cost_usd": self.cost, "usage": {**USAGE, "output_tokens": 42}, "permission_denials": [],
            "modelUsage": {self.options["--model"]: {"contextWindow": 200000}}, **more})  # fmt: skip

    def source(self) -> str:
        return "ANTHROPIC_API_KEY" if "ANTHROPIC_API_KEY" in os.environ else "none"

    def failed(self, word: str, status: int | None, told: str, **more: Any) -> bool:
        """The way the real command fails: a synthetic message, a result, and exit code 1 at the end."""
        self.line(type="assistant", error=word, parent_tool_use_id=None, message={
            "id": "synthetic", "model": "<synthetic>", "content": [{"type": "text", "text": told}],
            "stop_reason": "stop_sequence"})  # fmt: skip
        self.result(
            is_error=True, result=told, api_error_status=status, terminal_reason="api_error", **more
        )
        return True


# ---- misbehaviour: True where the turn is over with it


def forever() -> None:
    while True:
        time.sleep(3600)


def begun(command: Command) -> None:
    command.begin()
    command.event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    command.text(0, "It begins ")


def silence(command: Command) -> bool:
    forever()
    return True


def stall(command: Command) -> bool:
    begun(command)
    forever()
    return True


def stubborn(command: Command) -> bool:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import signal,time;"
                              "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"])  # fmt: skip
    note(grandchild=child.pid)
    return stall(command)


def noise(command: Command) -> bool:
    command.raw(b"Warning: something unheard of\n\n   \n(node:1) deprecated\n")
    command.line(type="something_new", event=7, message="text", error={"a": 1}, request=[])
    command.line(type="stream_event", event={"type": "ping"}, parent_tool_use_id=None)
    command.line(type="stream_event", parent_tool_use_id="toolu_sub", event={
        "type": "message_start", "message": {"id": "sub", "content": []}})  # fmt: skip
    return False


def broken(command: Command) -> bool:
    begun(command)
    command.raw(b'{"type":"stream_event","event":{\n')
    forever()
    return True


def split(command: Command) -> bool:
    write = command.raw
    command.raw = lambda data, size=0: write(data, 7)  # type: ignore[method-assign]
    return False


def flood(command: Command) -> bool:
    sys.stderr.write("x" * 2_000_000)
    sys.stderr.flush()
    return False


def long_line(command: Command) -> bool:
    command.message(["y" * 1_000_000], "end_turn")
    command.line(type="user", message={"content": "z" * 3_000_000})
    command.result()
    return True


def endless_line(command: Command) -> bool:
    begun(command)
    while True:
        command.raw(b'{"type":"' + b"a" * 1_000_000)


def exits(code: int) -> Callable[[Command], bool]:
    def leave(command: Command) -> bool:
        begun(command)
        sys.stderr.write("a secret of this machine\n")
        os._exit(code)

    return leave


def killed(command: Command) -> bool:
    begun(command)
    os.kill(os.getpid(), signal.SIGKILL)
    return True


def cut(command: Command) -> bool:
    begun(command)
    command.line(type="system", subtype="api_retry", attempt=1, error_status=None)
    command.message(["It begins anew."], "end_turn")
    command.result()
    return True


def retried(command: Command) -> bool:
    command.begin()  # nothing was said yet, so nothing is lost
    command.line(type="system", subtype="api_retry", attempt=1, error_status=529)
    return False


def whole(command: Command) -> bool:
    command.line(type="assistant", parent_tool_use_id=None, message={
        "id": "msg_whole", "model": "m", "content": [{"type": "text", "text": "All at once."}],
        "stop_reason": "end_turn", "usage": {**USAGE, "output_tokens": 5}})  # fmt: skip
    command.result(result="All at once.")
    return True


def limit(command: Command) -> bool:
    command.message(["As far as it goes, "], "max_tokens")
    command.line(type="user", isSynthetic=True, message={"content": "Output token limit hit."})
    command.message(["and further."], "end_turn")
    command.result()
    return True


def denied(command: Command) -> bool:
    command.message(
        [{"type": "tool_use", "id": "toolu_own", "name": "Bash", "input": {}}], "tool_use"
    )
    command.message(["I may not."], "end_turn")
    command.result(permission_denials=[{"tool_name": "Bash", "tool_use_id": "toolu_own"}])
    return True


def denied_silent(command: Command) -> bool:
    command.message(
        [{"type": "tool_use", "id": "toolu_own", "name": "Bash", "input": {}}], "tool_use"
    )
    command.result(permission_denials=[{"tool_name": "Bash", "tool_use_id": "toolu_own"}])
    return True


def zero(command: Command) -> bool:
    command.failed("unknown", None, "API Error: something else")
    os._exit(0)


def asks(command: Command) -> bool:
    answer = command.ask({"subtype": "can_use_tool", "tool_name": "Bash", "input": {}})
    note(permission=answer)
    return False


FAULTS: dict[str, Callable[[Command], bool]] = {
    "silence": silence,
    "stall": stall,
    "stubborn": stubborn,
    "noise": noise,
    "broken": broken,
    "split": split,
    "flood": flood,
    "long-line": long_line,
    "endless-line": endless_line,
    "exit-1": exits(1),
    "exit-0": exits(0),
    "killed": killed,
    "cut": cut,
    "retried": retried,
    "whole": whole,
    "limit": limit,
    "denied": denied,
    "denied-silent": denied_silent,
    "zero": zero,
    "asks": asks,
    "rate-limit": lambda c: c.failed("rate_limit", 429, "API Error: Request rejected (429) · Slow down"),
    "overloaded": lambda c: c.failed("overloaded", 529, "API Error: 529 Overloaded."),
    "login": lambda c: c.failed("authentication_failed", None, "Not logged in · Please run /login"),
    "bad-key": lambda c: c.failed("authentication_failed", 401, "Invalid API key"),
    "forbidden": lambda c: c.failed("authentication_failed", 403, "API Error: 403 no access"),
    "no-model": lambda c: c.failed("model_not_found", 404, "There's an issue with the selected model."),
    "bad-request": lambda c: c.failed("invalid_request", 400, "API Error: 400 messages: bad"),
    "billing": lambda c: c.failed("billing_error", None, "Credit balance is too low"),
    "too-long": lambda c: c.failed("invalid_request", 400,
        "Prompt is too long · the request is ~210000 tokens (limit 200000)"),
}  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print("2.1.329 (Claude Code)")
        sys.exit(0)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    Command().run()
