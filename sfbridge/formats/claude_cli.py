"""What the `claude` command prints with `--output-format stream-json`: one object per line.

One Struct takes any line, because new kinds appear with every version and use old names for other things; the
few kinds that matter are decoded a second time. Measured with the versions 2.1.197 and 2.1.329.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw, Struct, field

from .anthropic import UsageBody

_NONE: Final = Raw(b"")


class Denial(Struct, frozen=True, gc=False):
    """A tool of the CLI's own that it was not permitted to use."""

    tool_name: str = ""


class ModelUsage(Struct, frozen=True, gc=False, rename="camel"):
    """What the result line tells of one model."""

    context_window: int | None = None
    max_output_tokens: int | None = None


class Line(Struct, frozen=True, kw_only=True):
    """Any line. Only the type is certain; the other fields mean what they mean on a line of that type, and stay
    undecided until it is known.

    stream_event      event
    assistant         message (one content block of it), error
    control_request   request_id, request
    system/init       see Init
    result            see Result

    `parent` is set on lines that belong to a sub-agent of the CLI's own.
    """

    type: str = ""
    subtype: Any = None
    parent: Any = field(name="parent_tool_use_id", default=None)
    event: Raw = _NONE
    message: Raw = _NONE
    error: Any = None
    request_id: Any = None
    request: Raw = _NONE


class Init(Struct, frozen=True, gc=False):
    """The first line of a turn: what it is about to be done with."""

    key_source: str | None = field(name="apiKeySource", default=None)


class Result(Struct, frozen=True, kw_only=True):
    """The last line of a turn. `is_error` may be true although the subtype is "success"; the cost counts from the
    start of the process, usage from the start of the turn."""

    subtype: str = ""
    is_error: bool = False
    result: str | None = None
    errors: list[Any] | None = None
    status: int | None = field(name="api_error_status", default=None)
    terminal_reason: str | None = None
    cost: float | None = field(name="total_cost_usd", default=None)
    usage: UsageBody | None = None
    models: dict[str, ModelUsage] | None = field(name="modelUsage", default=None)
    denials: list[Denial] | None = field(name="permission_denials", default=None)


class RpcParams(Struct, frozen=True, gc=False):
    """Parameters of the MCP requests that the CLI makes; `meta` names the tool call."""

    name: str = ""
    protocol: str = field(name="protocolVersion", default="")
    meta: dict[str, Any] = field(name="_meta", default={})


class Rpc(Struct, frozen=True, gc=False):
    """A JSON-RPC message of the CLI's MCP client; without an id it is a notification."""

    method: str = ""
    id: int | str | None = None
    params: RpcParams = RpcParams()


class Control(Struct, frozen=True, gc=False):
    """The inner object of a `control_request`."""

    subtype: str = ""
    message: Rpc = Rpc()


# Where a call of a tool names the model's call.
CALL_ID: Final = "claudecode/toolUseId"
