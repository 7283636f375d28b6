"""Calls that an upstream ran and showed, when they come back in a client's history."""

from __future__ import annotations

from sfbridge.core.request import ChatRequest, Message, TextPart, ToolCall, ToolResult
from sfbridge.policy.mirrored import without_mirrored


def test_they_are_left_out_with_their_results() -> None:
    """Neither the call nor a result for it stays; a message of nothing else goes; the client's own calls stay."""
    own, own_result = ToolCall("call_1", "f", "{}"), ToolResult("call_1", (TextPart("r"),))
    messages = (
        Message("user", (TextPart("a"),)),
        Message("assistant", (TextPart("b"), ToolCall("lingma_1", "read", "{}"), own)),
        Message("user", (ToolResult("lingma_1"), own_result)),
        Message("assistant", (ToolCall("lingma_2", "read", "{}"),)),
        Message("user", (ToolResult("lingma_2"),)),
    )
    found = without_mirrored(ChatRequest(model="m", messages=messages))
    assert found.messages == (
        messages[0],
        Message("assistant", (TextPart("b"), own)),
        Message("user", (own_result,)),
    )


def test_where_there_are_none_nothing_is_copied() -> None:
    """A request without them is the very same one."""
    request = ChatRequest(model="m", messages=(Message("user", (TextPart("lingma_1"),)),))
    assert without_mirrored(request) is request
