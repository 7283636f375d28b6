"""How the command is started for a request: its arguments, which never hold a word of the prompt, and its environment,
which holds what is allowed and nothing else.

What one process cannot change later (model, system prompt, tools, limits) is one comparable value, so that a
process is used again for the same only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from sfbridge.core.request import ChatRequest, Thinking, Tool

from .settings import Checked, tool_names

# The name of our tool server; the model sees `mcp__c__<tool>`.
SERVER: Final = "c"

_INHERITED: Final = frozenset(
    (
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM",
        "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
        "http_proxy", "https_proxy", "no_proxy", "all_proxy",
        "SYSTEMROOT", "COMSPEC", "APPDATA", "LOCALAPPDATA", "USERPROFILE", "TEMP", "TMP",
    )
)  # fmt: skip
_ALWAYS: Final = {
    # without it, `@/some/file` in a prompt puts that file of this machine into it (measured)
    "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "DISABLE_AUTOUPDATER": "1",
    # or the client's tools hide behind a search tool
    "ENABLE_TOOL_SEARCH": "false",
    # clients may take their time with a tool; `hold_seconds` is the limit
    "MCP_TOOL_TIMEOUT": "86400000",
    # the gateway tries again as well
    "CLAUDE_CODE_MAX_RETRIES": "1",
}
_EFFORTS: Final = {"minimal": "low", "none": ""}
_ATTRIBUTION: Final = re.compile(r"\s*x-anthropic-billing-header:[^\n]*(?:\n|\Z)", re.IGNORECASE)


class Launch(Struct, frozen=True, kw_only=True):
    """What a process was started for."""

    model: str
    system: str
    tools: tuple[tuple[str, str, bytes], ...]
    thinking: tuple[str, ...]
    max_output: int


def launch_of(request: ChatRequest, model: str, checked: Checked) -> Launch:
    """The process that a request needs."""
    offered = () if request.choice.mode == "none" else request.tools
    return Launch(
        model=model,
        system=_system(request),
        tools=tuple([_tool(tool) for tool in offered]),
        thinking=_thinking(request.thinking),
        max_output=request.max_output or checked.settings.max_output,
    )


def argv(launch: Launch, checked: Checked, *, session: str, resumed: bool) -> list[str]:
    """The argument list. `session` is empty for a conversation that is not kept."""
    settings = checked.settings
    own = tool_names(settings)
    found = [
        checked.command,
        *("-p", "--output-format", "stream-json", "--input-format", "stream-json"),
        *("--verbose", "--include-partial-messages"),
        *("--model", launch.model, "--tools", ",".join(own)),
        *("--setting-sources", "", "--strict-mcp-config", "--disable-slash-commands"),
        # what is not allowed here is denied; nobody could answer a question
        *("--permission-mode", "dontAsk"),
        *("--allowedTools", ",".join((f"mcp__{SERVER}", *settings.tools))),
        *launch.thinking,
    ]
    if settings.billing == "api_key":
        found.append("--bare")  # no memory files, hooks or key chain of the host; refuses logins
    if not session:
        return [*found, "--no-session-persistence"]
    return [*found, "--resume" if resumed else "--session-id", session]


def environment(launch: Launch | None, checked: Checked, host: Mapping[str, str]) -> dict[str, str]:
    """The child's environment, made of the host's by a list of names."""
    settings = checked.settings
    allowed = {*_INHERITED, *settings.pass_environment}
    found = {k: v for k, v in host.items() if k in allowed or k.startswith("LC_")}
    found |= _ALWAYS
    if launch is not None and launch.max_output:
        found["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(launch.max_output)
    if settings.base_url:
        found["ANTHROPIC_BASE_URL"] = settings.base_url
    if checked.key:
        found["ANTHROPIC_API_KEY"] = checked.key.reveal()
    return found | settings.environment


def _system(request: ChatRequest) -> str:
    """The system prompt, without the line with which Claude Code signs each request anew."""
    texts = [_ATTRIBUTION.sub("", part.text, count=1) for part in request.system]
    return "\n\n".join(text for text in texts if text.strip())


def _tool(tool: Tool) -> tuple[str, str, bytes]:
    return tool.name, tool.description, bytes(tool.schema)


def _thinking(wish: Thinking | None) -> tuple[str, ...]:
    """A client that does not ask for thoughts gets none, as from the API itself."""
    effort = _EFFORTS.get(wish.effort, wish.effort) if wish is not None else ""
    if wish is None or (wish.effort and not effort):
        return ("--thinking", "disabled")
    budget = ("--max-thinking-tokens", str(wish.budget)) if wish.budget else ()
    known = effort in ("low", "medium", "high", "xhigh", "max")
    return (*budget, "--effort", effort) if known else budget
