"""What `check` learns of a model: whether its window is large enough, whether it answers, whether it calls a tool."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from msgspec.json import decode

from sfbridge.client import Client, Unanswered

from .claude_code import LEAST_WINDOW
from .findings import Finding

# Enough for models that think first.
_MOST_OUTPUT: Final = 1024
# Seconds; a server that loads its model first may need a while.
_LONGEST: Final = 120
_QUESTION: Final = "Call the tool report with the status ok."
_REPORT: Final = {
    "type": "function",
    "function": {
        "name": "report",
        "description": "Tells the user how things stand.",
        "parameters": {
            "type": "object",
            "properties": {"status": {"type": "string"}},
            "required": ["status"],
        },
    },
}


def narrow(shown: str, window: int | None, *, for_claude: bool) -> Finding | None:
    """What there is to say of a window that Claude Code does not fit into; worse where it would be sent there."""
    if window is None or window >= LEAST_WINDOW:
        return None
    told = f"its window has {window} tokens, and Claude Code needs {LEAST_WINDOW}"
    advice = (
        f"start its server with a window of {LEAST_WINDOW} or more (llama.cpp: -c {LEAST_WINDOW}), or use it with "
        "smaller programs"
    )
    if not for_claude:
        return Finding("warning", f"model {shown}", told, advice)
    return Finding(
        "fail", f"model {shown}", told, f"{advice}, and let models.default name a larger one"
    )


async def tried(client: Client, shown: str, name: str) -> Finding:
    """Ask a model to call a tool, as Claude Code and n8n's agents do. Costs some tokens."""
    body: dict[str, Any] = {
        "model": name,
        "stream": True,
        "max_tokens": _MOST_OUTPUT,
        "messages": [{"role": "user", "content": _QUESTION}],
        "tools": [_REPORT],
    }
    subject, began, said, written = f"model {shown}", time.monotonic(), "", ""
    try:
        async with asyncio.timeout(_LONGEST):
            async for chunk in client.chat(body):
                deltas = [one.delta for one in chunk.choices or () if one.delta is not None]
                said += "".join(delta.content for delta in deltas if isinstance(delta.content, str))
                calls = [call.function for delta in deltas for call in delta.tool_calls or ()]
                written += "".join(decode(call.arguments) for call in calls if call is not None)
    except TimeoutError:
        told = f"did not answer within {_LONGEST} s"
        return Finding("fail", subject, told, "see that its server is up, and what it is doing")
    except Unanswered as error:
        advice = "the message is the upstream's; do as it says"
        return Finding("fail", subject, str(error), advice)
    after = f"after {time.monotonic() - began:.1f} s"
    if written:
        return Finding("ok", subject, f"answered {after}, with a tool call")
    if said.strip():
        return Finding(
            "warning",
            subject,
            f"answered {after}, but did not call the tool that it was asked to call",
            "Claude Code and agents need a model that calls tools; try another one",
        )
    return Finding("warning", subject, f"answered without words {after}", "try another model")
