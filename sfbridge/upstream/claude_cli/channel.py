"""What is written to the process: the opening, the user's words, and the answers to what it asks over the control
channel. There it finds an MCP server with the client's tools, which are never run here: a call stays open until
the client's next request brings its result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from sfbridge.formats.claude_cli import CALL_ID, Control, Line, Rpc

from .faults import garbled
from .launch import SERVER, Launch

PREFIX: Final = f"mcp__{SERVER}__"
_PROTOCOL: Final = "2025-06-18"
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_-]")
# Tool names have 64 characters at most, the prefix included.
_LONGEST: Final = 64 - len(PREFIX)
_encode: Final = msgspec.json.Encoder().encode
_control = msgspec.json.Decoder(Control)

Result = dict[str, Any]


class Channel:
    """The control channel of one process.

    calls  as the model sees a tool's name -> as the client calls it
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._aliases = _aliases([name for name, _, _ in launch.tools])
        self.calls: Mapping[str, str] = {
            PREFIX + alias: name
            for alias, (name, _, _) in zip(self._aliases, launch.tools, strict=True)
        }
        self._open: dict[str, tuple[str, int | str | None]] = {}  # call id -> request, rpc id
        self._results: dict[str, Result] = {}

    def opening(self) -> bytes:
        """The first line: our tool server, and the system prompt, which thus stays out of the argument list."""
        request: dict[str, Any] = {"subtype": "initialize", "systemPrompt": self._launch.system}
        if self._launch.tools:
            request["sdkMcpServers"] = [SERVER]
        return _line({"type": "control_request", "request_id": "open", "request": request})

    def said(self, content: list[dict[str, Any]]) -> bytes:
        """The user's words; they begin a turn, or join the one that is under way."""
        return _line({"type": "user", "message": {"role": "user", "content": content}})

    def results(self, results: Mapping[str, Result]) -> list[bytes]:
        """Answers for the calls that are open by now; the others wait here until they are made, as the
        process makes one call after the other."""
        self._results |= results
        return [self._answered(call_id) for call_id in results if call_id in self._open]

    def asked(self, line: Line) -> tuple[list[bytes], str]:
        """The answer to a `control_request`, and the id of the client's call that it made, if it did."""
        try:
            control = _control.decode(line.request)
        except msgspec.MsgspecError:
            raise garbled("control request") from None
        request_id = str(line.request_id)
        if control.subtype == "mcp_message":
            return self._mcp(request_id, control.message)
        if control.subtype == "can_use_tool":
            denied = {"behavior": "deny", "message": "Nobody is here to permit this."}
            return [_response(request_id, denied)], ""
        return [_refusal(request_id, f"{control.subtype} is not supported")], ""

    def _mcp(self, request_id: str, rpc: Rpc) -> tuple[list[bytes], str]:
        match rpc.method:
            case "initialize":
                result: Result = {
                    "protocolVersion": rpc.params.protocol or _PROTOCOL,
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": SERVER, "version": "1"},
                }
            case "tools/list":
                result = {"tools": self._tools()}
            case "tools/call":
                call_id = str(rpc.params.meta.get(CALL_ID, ""))
                self._open[call_id] = request_id, rpc.id
                known = call_id in self._results
                return [self._answered(call_id)] if known else [], call_id
            case _:  # notifications, pings
                result = {}
        return [_mcp_response(request_id, rpc.id, result)], ""

    def _answered(self, call_id: str) -> bytes:
        request_id, rpc_id = self._open.pop(call_id)
        return _mcp_response(request_id, rpc_id, self._results.pop(call_id))

    def _tools(self) -> list[dict[str, Any]]:
        return [
            {"name": alias, "description": description, "inputSchema": Raw(schema)}
            for alias, (_, description, schema) in zip(
                self._aliases, self._launch.tools, strict=True
            )
        ]


def _aliases(names: Iterable[str]) -> list[str]:
    """The names in the characters and the length that the API takes, each different."""
    found: list[str] = []
    for name in names:
        alias = _UNFIT.sub("_", name)[:_LONGEST]
        number = 1
        while alias in found:
            number += 1
            alias = f"{alias[: _LONGEST - 4]}_{number}"
        found.append(alias)
    return found


def _mcp_response(request_id: str, rpc_id: int | str | None, result: Result) -> bytes:
    answer = {"jsonrpc": "2.0", "id": 0 if rpc_id is None else rpc_id, "result": result}
    return _response(request_id, {"mcp_response": answer})


def _response(request_id: str, body: dict[str, Any]) -> bytes:
    inner = {"subtype": "success", "request_id": request_id, "response": body}
    return _line({"type": "control_response", "response": inner})


def _refusal(request_id: str, error: str) -> bytes:
    inner = {"subtype": "error", "request_id": request_id, "error": error}
    return _line({"type": "control_response", "response": inner})


def _line(body: dict[str, Any]) -> bytes:
    return _encode(body) + b"\n"
