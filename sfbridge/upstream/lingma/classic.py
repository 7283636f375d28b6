"""The classic dialect: `chat/ask`, and pushes that are requests of the process, each to be acknowledged."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from sfbridge.formats.jsonrpc import Fault

from .signals import Accepted, Ended, Heard, Mused, Other, Said, Signal, Stepped, ToolSeen
from .toolwords import NOTHING, in_extra, phase_of, telling

METHOD: Final = "chat/ask"
REFUSAL: Final = "tool not supported by this client"
# Pushes that concern an ask even where they name only its session.
_MESSAGES: Final = frozenset({"chat/answer", "chat/think", "chat/finish"})


class Push(Struct, frozen=True):
    """The parameters of every push that concerns one ask; which are there depends on the method."""

    requestId: str | None = None  # noqa: N815  the process' own words
    sessionId: str | None = None  # noqa: N815
    text: str | None = None
    overwrite: bool | None = None
    isFiltered: bool | None = None  # noqa: N815
    step: str | None = None
    status: str | None = None
    reason: str | None = None
    statusCode: int | None = None  # noqa: N815
    fullAnswer: str | None = None  # noqa: N815
    extra: Raw = NOTHING
    toolCallId: str | None = None  # noqa: N815
    toolCallStatus: str | None = None  # noqa: N815
    name: str | None = None
    parameters: Raw = NOTHING
    results: Raw = NOTHING
    errorMsg: str | None = None  # noqa: N815


class _Result(Struct, frozen=True):
    success: bool | None = None
    isSuccess: bool | None = None  # noqa: N815
    errorMessage: str | None = None  # noqa: N815


_push: Final = msgspec.json.Decoder(Push, strict=False)
_result: Final = msgspec.json.Decoder(_Result | None, strict=False)


def ask(request: str, session: str, question: str, model: str, mode: str) -> dict[str, Any]:
    """The parameters of `chat/ask`. Never a model with a key of its own, never the process' memory."""
    return {
        "requestId": request,
        "chatTask": "FREE_INPUT",
        "chatContext": None,
        "sessionId": session,
        "codeLanguage": "",
        "isReply": False,
        "source": 1,
        "questionText": question,
        "stream": True,
        "taskDefinitionType": "",
        "extra": {"modelConfig": {"key": model}},
        "sessionType": "chat",
        "targetAgent": "",
        "pluginPayloadConfig": {"isEnableAutoMemory": False},
        "mode": mode,
        "shellType": "",
        "customModel": None,
    }


def stop(request: str, session: str) -> tuple[str, dict[str, Any]]:
    return "chat/stop", {"requestId": request, "sessionId": session}


def accepted(result: Raw) -> Accepted:
    """What the reply to an ask says: null or an object that does not deny success is acceptance."""
    try:
        found = _result.decode(result)
    except msgspec.MsgspecError:
        return Accepted()
    if found is None or (found.success is not False and found.isSuccess is not False):
        return Accepted()
    return Accepted(Fault(0, found.errorMessage or ""))


def heard(method: str, params: Raw) -> Heard | None:
    """What a push says of an ask; None when it concerns none, or cannot be read."""
    try:
        push = _push.decode(params)
    except msgspec.MsgspecError:
        return None
    if not push.requestId and not (push.sessionId and method in _MESSAGES):
        return None
    return Heard(push.requestId or "", push.sessionId or "", _signals(method, push))


def _signals(method: str, push: Push) -> list[Signal]:
    match method:
        case "chat/answer":
            said = Said(push.text or "", bool(push.overwrite), bool(push.isFiltered))
            return [*in_extra(push.extra), said]
        case "chat/think":
            return [Mused(push.text)] if push.text else [Other()]
        case "chat/finish":
            ended = Ended(push.statusCode, push.reason or "", push.fullAnswer or "")
            return [*in_extra(push.extra), ended]
        case "chat/process_step_callback":
            return [Stepped(push.step or "", push.status == "manual_confirm")]
        case "tool/call/sync":
            return _synced(push)
        case "tool/invoke":
            return _invoked(push)
        case _:
            return [Other()]


def _synced(push: Push) -> list[Signal]:
    phase = phase_of(push.toolCallStatus)
    if phase is None or not push.toolCallId:
        return [Other()]
    output = telling(push.results)
    if output is None and push.errorMsg:
        output = Raw(msgspec.json.encode(push.errorMsg))
    return [
        ToolSeen(
            id=push.toolCallId,
            phase=phase,
            name=push.name or "",
            arguments=telling(push.parameters),
            output=output,
        )
    ]


def _invoked(push: Push) -> list[Signal]:
    """A tool that the process wants run in its IDE: there is none, so it was refused by the acknowledgement."""
    call = push.toolCallId or ""
    begun = ToolSeen(
        id=call, phase="start", name=push.name or "", arguments=telling(push.parameters)
    )
    output = Raw(msgspec.json.encode(REFUSAL))
    return [begun, ToolSeen(id=call, phase="error", output=output, refused=True)]
