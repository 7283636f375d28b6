"""How the `claude` command is started, and what its settings mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from sfbridge.core.request import ChatRequest, TextPart, Thinking, Tool, ToolChoice
from sfbridge.upstream.claude_cli.launch import argv, environment, launch_of
from sfbridge.upstream.claude_cli.settings import Checked, ModelRow, Settings, check
from sfbridge.upstream.secret import SettingsError


def checked(**given: Any) -> Checked:
    return check(Settings(**given), "claude")


def request(**given: Any) -> ChatRequest:
    return ChatRequest(model="sonnet", messages=(), **given)


def arguments(settings: Checked | None = None, **given: Any) -> list[str]:
    found = settings or checked()
    return argv(launch_of(request(**given), "sonnet", found), found, session="s", resumed=False)


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        (None, ["--thinking", "disabled"]),
        (Thinking(effort="none"), ["--thinking", "disabled"]),
        (Thinking(effort="minimal"), ["--effort", "low"]),
        (Thinking(effort="xhigh"), ["--effort", "xhigh"]),
        (Thinking(budget=2000), ["--max-thinking-tokens", "2000"]),
        (
            Thinking(budget=2000, effort="high"),
            ["--max-thinking-tokens", "2000", "--effort", "high"],
        ),
        (Thinking(), []),
        (Thinking(effort="--evil"), []),
    ],
)
def test_thinking(thinking: Thinking | None, expected: list[str]) -> None:
    """How much to think is an argument; a word that the command does not know is left out."""
    found = arguments(thinking=thinking)
    place = found.index("mcp__c") + 1
    assert found[place : found.index("--session-id")] == expected


def test_the_key_goes_into_the_environment_alone() -> None:
    """A key makes the command look at nothing of the account, and stands in no argument."""
    settings = checked(billing="api_key", api_key="sk-ant-key", base_url="http://localhost:1")
    assert "--bare" in arguments(settings)
    assert "sk-ant-key" not in arguments(settings)
    found = environment(None, settings, {"PATH": "/bin"})
    assert (found["ANTHROPIC_API_KEY"], found["ANTHROPIC_BASE_URL"]) == (
        "sk-ant-key",
        "http://localhost:1",
    )


def test_the_environment_is_a_list() -> None:
    """Nothing of the host's environment gets through but what is listed."""
    host = {"PATH": "/bin", "LC_ALL": "C", "CLAUDECODE": "1", "ANTHROPIC_API_KEY": "k", "AWS_PROFILE": "p",
            "CLAUDE_CODE_ENTRYPOINT": "cli", "SFBRIDGE_KEYS__ME": "secret"}  # fmt: skip
    found = environment(None, checked(), host)
    assert {name for name in host if name in found} == {"PATH", "LC_ALL"}
    settings = checked(pass_environment=("AWS_PROFILE",), environment={"LC_ALL": "de"})
    assert {"AWS_PROFILE": "p", "LC_ALL": "de"}.items() <= environment(None, settings, host).items()


def test_limits_are_the_clients_or_ours() -> None:
    """A client's limit of tokens goes before the configured one."""
    settings = checked(max_output=100)
    for asked, wanted in ((None, "100"), (50, "50")):
        launch = launch_of(request(max_output=asked), "sonnet", settings)
        assert environment(launch, settings, {})["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == wanted
    assert "CLAUDE_CODE_MAX_OUTPUT_TOKENS" not in environment(
        launch_of(request(), "sonnet", checked()), checked(), {}
    )


def test_forbidden_tools_are_not_offered() -> None:
    """A client that forbids calls offers none."""
    tool = Tool(name="look", schema=Raw(b"{}"))
    assert launch_of(request(tools=(tool,)), "m", checked()).tools == (("look", "", b"{}"),)
    assert launch_of(request(tools=(tool,), choice=ToolChoice("none")), "m", checked()).tools == ()


def test_the_line_that_changes_is_left_out() -> None:
    """Claude Code's own line, different in each request, would ask for another process each time."""
    first, second = (
        launch_of(request(system=(TextPart(f"x-anthropic-billing-header: {n};"), TextPart("Be brief."))),
                  "m", checked())
        for n in (1, 2)
    )  # fmt: skip
    assert first == second
    assert first.system == "Be brief."


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"command": ""}, "command"),
        ({"max_children": 0}, "max_children"),
        ({"start_timeout": 0}, "start_timeout"),
        ({"keep_seconds": -1}, "keep_seconds"),
        ({"tools": ("Bash --evil",)}, "tools"),
        ({"tools": ("--dangerously",)}, "tools"),
        ({"environment": {"A B": "c"}}, "environment"),
        ({"pass_environment": ("A=B",)}, "environment"),
        ({"models": (ModelRow(name="-x"),)}, "models[0].name"),
        ({"billing": "api_key"}, "api_key"),
        ({"api_key": "k"}, "api_key"),
        ({"billing": "api_key", "api_key": "k", "api_key_file": "f"}, "api_key_file"),
        ({"billing": "api_key", "api_key_file": "/no/such/file"}, "api_key_file"),
    ],
)
def test_settings_that_cannot_work(given: dict[str, Any], key: str) -> None:
    """A setting that cannot work is named."""
    with pytest.raises(SettingsError) as caught:
        checked(**given)
    assert caught.value.path == key


def test_keys_and_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key may stand in a file; without a directory, one of the user's state is used."""
    (tmp_path / "key").write_text("sk-ant-key\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = checked(billing="api_key", api_key_file=str(tmp_path / "key"))
    assert found.key.reveal() == "sk-ant-key"
    assert found.directory == tmp_path / "sfbridge" / "claude"
    assert "sk-ant" not in repr(found)
