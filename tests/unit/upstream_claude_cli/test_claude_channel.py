"""The control channel: what the `claude` command is told, and the answers to what it asks."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sfbridge.core.errors import GatewayError
from sfbridge.formats.claude_cli import Line
from sfbridge.upstream.claude_cli.channel import Channel
from sfbridge.upstream.claude_cli.launch import Launch


def channel(*names: str, system: str = "Be brief.") -> Channel:
    tools = tuple([(name, f"{name}s.", b'{"type":"object"}') for name in names])
    return Channel(Launch(model="m", system=system, tools=tools, thinking=(), max_output=0))


def asked(one: Channel, request: Any, request_id: str = "r1") -> tuple[list[Any], str]:
    raw = json.dumps({"type": "control_request", "request_id": request_id, "request": request})
    answers, call_id = one.asked(msgspec.json.decode(raw, type=Line))
    assert all(answer.endswith(b"\n") and answer.count(b"\n") == 1 for answer in answers)
    return [json.loads(answer) for answer in answers], call_id


def rpc(method: str, number: int | None = 1, **params: Any) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if number is not None:
        message["id"] = number
    return {"subtype": "mcp_message", "server_name": "c", "message": message}


def call(call_id: str, number: int = 7) -> dict[str, Any]:
    return rpc(
        "tools/call", number, name="look", arguments={}, _meta={"claudecode/toolUseId": call_id}
    )


def result_of(answer: dict[str, Any]) -> Any:
    assert answer["type"] == "control_response"
    assert answer["response"]["subtype"] == "success"
    return answer["response"]["response"]["mcp_response"]["result"]


def test_the_opening() -> None:
    """The first line has the system prompt, and our tool server where there are tools."""
    request = json.loads(channel("look").opening())["request"]
    assert request == {"subtype": "initialize", "systemPrompt": "Be brief.", "sdkMcpServers": ["c"]}
    assert "sdkMcpServers" not in json.loads(channel().opening())["request"]


def test_the_server_introduces_itself() -> None:
    """It speaks the protocol version that it is asked for, and has tools; notifications are acknowledged."""
    (answer,), _ = asked(channel("look"), rpc("initialize", protocolVersion="2025-11-25"))
    assert result_of(answer)["protocolVersion"] == "2025-11-25"
    assert answer["response"]["request_id"] == "r1"
    (answer,), _ = asked(channel("look"), rpc("notifications/initialized", None))
    assert result_of(answer) == {}


def test_names_fit_and_differ() -> None:
    """Names that the API does not take are changed, no two of them into the same, and known again."""
    names = ("a.b", "a_b", "x" * 80, "x" * 90)
    one = channel(*names)
    (answer,), _ = asked(one, rpc("tools/list"))
    listed = [tool["name"] for tool in result_of(answer)["tools"]]
    assert listed[:2] == ["a_b", "a_b_2"]
    assert len(set(listed)) == 4
    assert all(len(f"mcp__c__{name}") <= 64 for name in listed)
    assert [one.calls[f"mcp__c__{name}"] for name in listed] == list(names)


def test_a_call_stays_open_until_its_result() -> None:
    """A call is not answered before the client's result is there, and then with that."""
    one = channel("look")
    assert asked(one, call("t1")) == ([], "t1")
    (answer,) = one.results({"t1": {"content": [], "isError": False}})
    body = json.loads(answer)["response"]
    assert body["request_id"] == "r1"
    assert body["response"]["mcp_response"] == {
        "jsonrpc": "2.0", "id": 7, "result": {"content": [], "isError": False},
    }  # fmt: skip


def test_a_result_waits_for_its_call() -> None:
    """Results that are there before the command makes the call answer it at once: it calls one after the other."""
    one = channel("look")
    asked(one, call("t1"))
    given = {
        "t2": {"content": ["two"], "isError": False},
        "t1": {"content": ["one"], "isError": False},
    }
    (first,) = one.results(given)
    assert result_of(json.loads(first))["content"] == ["one"]
    (second,), call_id = asked(one, call("t2", 8), "r2")
    assert (call_id, result_of(second)["content"]) == ("t2", ["two"])


def test_nothing_is_permitted() -> None:
    """Questions for permission are denied, unknown requests refused."""
    (answer,), _ = asked(channel(), {"subtype": "can_use_tool", "tool_name": "Bash"})
    assert answer["response"]["response"]["behavior"] == "deny"
    (answer,), _ = asked(channel(), {"subtype": "hook_callback"})
    assert answer["response"]["subtype"] == "error"


@pytest.mark.parametrize(
    "request_", [None, 7, "x", {"subtype": 7}, {"subtype": "mcp_message", "message": 7}]
)
def test_a_broken_request_is_a_failure(request_: Any) -> None:
    """What is no request is a failure of the upstream."""
    with pytest.raises(GatewayError):
        asked(channel(), request_)
