"""What each request of the process is answered with. A client that does not answer at once counts as dead.

Nothing is ever allowed: a tool is refused, a permission denied. An unknown request gets `null` and no error.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, field

from .classic import REFUSAL

_TRUE: Final = frozenset(("chat/answer", "chat/think", "chat/finish"))
INVOKE: Final = "tool/invoke"
APPROVE: Final = "tool/call/approve"
PERMISSION: Final = "session/request_permission"
STEP: Final = "chat/process_step_callback"


class _Asked(Struct, frozen=True):
    requestId: str | None = None  # noqa: N815  the process' own words
    sessionId: str | None = None  # noqa: N815
    toolCallId: str | None = None  # noqa: N815
    name: str | None = None
    status: str | None = None
    later: bool | None = field(default=None, name="async")


_asked: Final = msgspec.json.Decoder(_Asked, strict=False)


class Answers(Struct, frozen=True):
    """The reply to one request, and a request of our own that it calls for: (method, params)."""

    reply: Any
    then: tuple[str, dict[str, Any]] | None = None


def answers(method: str, params: Raw, now_ms: int) -> Answers:
    """`now_ms` is epoch milliseconds."""
    if method in _TRUE:
        return _YES
    if method not in (INVOKE, APPROVE, PERMISSION, STEP):
        return _NULL
    try:
        asked = _asked.decode(params)
    except msgspec.MsgspecError:
        return _NULL
    if method == PERMISSION:
        return Answers(_denied(asked))
    if method == INVOKE:
        refusal = _refusal(asked, now_ms)
        return Answers(None, ("tool/invokeResult", refusal)) if asked.later else Answers(refusal)
    if method == STEP and asked.status != "manual_confirm":
        return _NULL
    return Answers(None, (APPROVE, _disapproval(asked)))


_YES: Final = Answers(True)
_NULL: Final = Answers(None)


def _refusal(asked: _Asked, now_ms: int) -> dict[str, Any]:
    return {
        "toolCallId": asked.toolCallId or "",
        "name": asked.name or "",
        "success": False,
        "errorMessage": REFUSAL,
        "result": {},
        "startTime": now_ms,
        "timeConsuming": 0,
    }


def _disapproval(asked: _Asked) -> dict[str, Any]:
    return {
        "sessionId": asked.sessionId or "",
        "requestId": asked.requestId or "",
        "toolCallId": asked.toolCallId or "",
        "approval": False,
    }


def _denied(asked: _Asked) -> dict[str, Any]:
    """Both forms that are known for it, since nobody has seen which one the process reads."""
    return {
        "outcome": {"outcome": "cancelled"},
        "requestId": asked.requestId or "",
        "successful": False,
        "errorMessage": "denied by gateway policy",
    }
