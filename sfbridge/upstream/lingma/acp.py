"""The Agent Client Protocol with the vendor's own `_meta`: `session/new`, `session/prompt`, `session/update`."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, field

from .signals import Ended, Heard, Mused, Other, Said, Signal, ToolSeen
from .toolwords import NOTHING, in_extra, phase_of, telling

METHOD: Final = "session/prompt"
UPDATE: Final = "session/update"


class _Meta(Struct, frozen=True):
    request: str = field(default="", name="ai-coding/request-id")
    sub_request: str = field(default="", name="ai-coding/sub-request-id")
    parent: str = field(default="", name="ai-coding/parent-tool-call-id")
    tool: str = field(default="", name="ai-coding/tool-name")


class _Data(Struct, frozen=True):
    requestId: str = ""  # noqa: N815  the process' own words
    reason: str = ""
    statusCode: int | None = None  # noqa: N815
    fullAnswer: str | None = None  # noqa: N815
    extra: Raw = NOTHING


class _Text(Struct, frozen=True):
    text: str = ""


class _Update(Struct, frozen=True):
    sessionUpdate: str = ""  # noqa: N815
    content: Raw = NOTHING
    toolCallId: str = ""  # noqa: N815
    title: str = ""
    toolName: str = ""  # noqa: N815
    status: str = ""
    rawInput: Raw = NOTHING  # noqa: N815
    rawOutput: Raw = NOTHING  # noqa: N815
    type: str = ""
    data: Raw = NOTHING


class _Params(Struct, frozen=True):
    sessionId: str = ""  # noqa: N815
    meta: _Meta | None = field(default=None, name="_meta")
    update: _Update = _Update()


class _Session(Struct, frozen=True):
    sessionId: str  # noqa: N815


_params: Final = msgspec.json.Decoder(_Params, strict=False)
_data: Final = msgspec.json.Decoder(_Data, strict=False)
_text: Final = msgspec.json.Decoder(_Text | None, strict=False)
_session: Final = msgspec.json.Decoder(_Session)


def new_session(workspace: str, timestamp: int) -> dict[str, Any]:
    """The parameters of `session/new`; `timestamp` in epoch milliseconds."""
    return {"cwd": workspace, "mcpServers": [], "_meta": {}, "timestamp": timestamp}


def session_id(result: Raw) -> str:
    """The id that `session/new` gave. Raises ValueError."""
    return _session.decode(result).sessionId


def prompt(
    request: str, session: str, question: str, model: str, mode: str, workspace: str
) -> dict[str, Any]:
    """The parameters of `session/prompt`; without a request id the process refuses it."""
    meta = {
        "request-id": request,
        "mode": mode,
        "model": model,
        "shell-type": "",
        "current-file-path": "",
        "enabled-mcp-servers": [],
        "workspace-path": workspace,
    }
    return {
        "sessionId": session,
        "prompt": [{"type": "text", "text": question}],
        "_meta": {f"ai-coding/{name}": value for name, value in meta.items()},
    }


def stop(request: str, session: str) -> tuple[str, dict[str, Any]]:
    return "session/cancel", {"sessionId": session, "_meta": {"ai-coding/request-id": request}}


def heard(params: Raw) -> Heard | None:
    """What a `session/update` says of an ask; None when it cannot be read."""
    try:
        found = _params.decode(params)
        meta = found.meta or _Meta()
        if found.update.sessionUpdate == "notification":
            return _notified(found, meta)
        return Heard(meta.request, found.sessionId, _signals(found.update, meta))
    except msgspec.MsgspecError:
        return None


def _notified(found: _Params, meta: _Meta) -> Heard:
    update = found.update
    if update.type != "chat_finish":
        return Heard(meta.request, found.sessionId, [Other()])
    data = _data.decode(update.data)
    ended = Ended(data.statusCode, data.reason, data.fullAnswer or "")
    request = data.requestId or meta.request
    return Heard(request, found.sessionId, [*in_extra(data.extra), ended])


def _signals(update: _Update, meta: _Meta) -> list[Signal]:
    by_another = bool(meta.sub_request or meta.parent)  # a sub-agent's text is no answer
    match update.sessionUpdate:
        case "agent_message_chunk" if not by_another:
            return [Said(_text_of(update.content))]
        case "agent_thought_chunk" if not by_another:
            return [Mused(_text_of(update.content))]
        case "tool_call" | "tool_call_update" if update.toolCallId:
            return [_tool(update, meta)]
        case _:
            return [Other()]


def _tool(update: _Update, meta: _Meta) -> ToolSeen:
    begun = update.sessionUpdate == "tool_call"
    return ToolSeen(
        id=update.toolCallId,
        phase=phase_of(update.status) or ("start" if begun else "running"),
        name=meta.tool or update.toolName or (update.title if begun else ""),
        arguments=telling(update.rawInput),
        output=telling(update.rawOutput),
    )


def _text_of(content: Raw) -> str:
    found = _text.decode(content)
    return found.text if found is not None else ""
