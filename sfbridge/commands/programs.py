"""What the programs that people start want to be told: environment and arguments. Plain data, nothing is started.

Names and meanings of Claude Code's variables were measured with its releases 2.1.197 and 2.1.329, Codex' with 0.169,
opencode's with 1.18.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from sfbridge.client import Model
from sfbridge.policy.routing import PICKER_PREFIX

# A server without keys takes any; the programs insist on having one.
ANY_KEY: Final = "sfbridge"
_CODEX_KEY: Final = "CODEX_PROVIDER_KEY"
_PERMISSION_FLAGS: Final = ("--permission-mode", "--dangerously-skip-permissions")
_LOCAL: Final = "127.0.0.1,localhost"


class Setup(NamedTuple):
    """How a program is started: variables to set, variables to remove, arguments that go before the user's, and
    advice for the person."""

    environ: dict[str, str]
    without: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    advice: str = ""


class Program(NamedTuple):
    """A program that sfbridge can start.

    door     the path that it needs
    package  what npm calls it
    setup    (base address, key, model, the user's arguments) -> how to start it
    """

    name: str
    door: str
    package: str
    setup: Callable[[str, str, Model, Sequence[str]], Setup]


def claude(base: str, key: str, model: Model, arguments: Sequence[str]) -> Setup:
    """Every role gets the same model, under a name that Claude Code does not know: for names that it knows it
    believes its own idea of the window."""
    name = PICKER_PREFIX + model.id
    environ = {
        "ANTHROPIC_BASE_URL": f"{base}/anthropic",
        "ANTHROPIC_AUTH_TOKEN": key or ANY_KEY,
        "ANTHROPIC_MODEL": name,
        **{
            f"ANTHROPIC_DEFAULT_{role}_MODEL": name for role in ("OPUS", "SONNET", "HAIKU", "FABLE")
        },
        "CLAUDE_CODE_SUBAGENT_MODEL": name,
        "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
        "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    if model.window:
        environ["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] = str(model.window)
    if model.max_output:
        environ["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(model.max_output)
    own = any(argument.startswith(_PERMISSION_FLAGS) for argument in arguments)
    return Setup(
        environ=environ,
        # a key of one's own would be sent beside the token, and the others lead elsewhere
        without=("ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"),
        arguments=() if own else ("--permission-mode", "default"),
        advice=""
        if own
        else "Claude Code's auto permission mode needs a server that judges commands; its default mode asks you "
        "instead, and --permission-mode acceptEdits (with sfbridge run: behind --) asks less",
    )


def codex(base: str, key: str, model: Model, _: Sequence[str]) -> Setup:
    provider = {
        "name": "sfbridge",
        "base_url": f"{base}/v1",
        "env_key": _CODEX_KEY,
        "wire_api": "responses",
    }
    told = {f"model_providers.sfbridge.{name}": value for name, value in provider.items()}
    given = {"model_provider": "sfbridge", "model": model.id, **told}
    words = [f"{name}={json.dumps(value)}" for name, value in given.items()]
    if model.window:
        words.append(f"model_context_window={model.window}")
    return Setup(
        environ={_CODEX_KEY: key or ANY_KEY},
        arguments=tuple(part for word in words for part in ("-c", word)),
    )


def opencode(base: str, key: str, model: Model, _: Sequence[str]) -> Setup:
    limits = {}
    if model.window:
        limits = {"limit": {"context": model.window, "output": model.max_output or 8192}}
    name = f"sfbridge/{model.id}"
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "sfbridge",
        "options": {"baseURL": f"{base}/v1", "apiKey": key or ANY_KEY},
        "models": {model.id: {"name": model.id, **limits}},
    }
    settings = {"model": name, "small_model": name, "provider": {"sfbridge": provider}}
    return Setup(environ={"OPENCODE_CONFIG_CONTENT": json.dumps(settings)})


def openai(base: str, key: str) -> dict[str, str]:
    """What OpenAI's own SDKs read."""
    return {"OPENAI_BASE_URL": f"{base}/v1", "OPENAI_API_KEY": key or ANY_KEY}


def n8n(base: str, key: str, model: Model) -> str:
    """What to type into n8n, in words."""
    inside = base.replace("127.0.0.1", "host.docker.internal").replace(
        "localhost", "host.docker.internal"
    )
    return f"""Credential "OpenAI account":
  API Key       {key or ANY_KEY}
  Base URL      {base}/v1   (no slash at the end)
                from a container: {inside}/v1; then server.host must be one that it reaches, and a key is needed
OpenAI Chat Model node (AI Agent, chains):
  Model         {model.id}   (the list shows all of them)
  Use Responses API   on or off, both work
  Timeout       raise it (Options) where answers take longer than 60 s
OpenAI node:
  Model         choose "By ID" and type {model.id} (n8n 1.105.4 shows an empty list with any custom address)"""


def beside_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """What keeps a proxy of the environment away from this machine's own address."""
    if not any(name.lower().endswith("_proxy") and environ[name] for name in environ):
        return {}
    spared = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    value = f"{spared},{_LOCAL}" if spared else _LOCAL
    return {"NO_PROXY": value, "no_proxy": value}


PROGRAMS: Final = {
    "claude": Program("Claude Code", "/v1/messages", "@anthropic-ai/claude-code", claude),
    "codex": Program("Codex", "/v1/responses", "@openai/codex", codex),
    "opencode": Program("opencode", "/v1/chat/completions", "opencode-ai", opencode),
}
