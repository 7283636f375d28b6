"""The programs that sfbridge can start, and what other programs must be told. Plain data, nothing is started.

What Codex takes was measured with 0.169, opencode with 1.18; Claude Code has a module of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from sfbridge.client import Model

from . import claude_code
from .setup import ANY_KEY, Order, Program, Setup

_CODEX_KEY: Final = "CODEX_PROVIDER_KEY"
_LOCAL: Final = "127.0.0.1,localhost"


def codex(order: Order) -> Setup:
    model = order.model
    provider = {
        "name": "sfbridge",
        "base_url": f"{order.base}/v1",
        "env_key": _CODEX_KEY,
        "wire_api": "responses",
    }
    told = {f"model_providers.sfbridge.{name}": value for name, value in provider.items()}
    given = {"model_provider": "sfbridge", "model": model.id, **told}
    words = [f"{name}={json.dumps(value)}" for name, value in given.items()]
    if model.window:
        words.append(f"model_context_window={model.window}")
    return Setup(
        environ={_CODEX_KEY: order.key or ANY_KEY},
        arguments=(*(part for word in words for part in ("-c", word)), *order.arguments),
    )


def opencode(order: Order) -> Setup:
    model, limits = order.model, {}
    if model.window:
        limits = {"limit": {"context": model.window, "output": model.max_output or 8192}}
    name = f"sfbridge/{model.id}"
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "sfbridge",
        "options": {"baseURL": f"{order.base}/v1", "apiKey": order.key or ANY_KEY},
        "models": {model.id: {"name": model.id, **limits}},
    }
    settings = {"model": name, "small_model": name, "provider": {"sfbridge": provider}}
    environ = {"OPENCODE_CONFIG_CONTENT": json.dumps(settings)}
    return Setup(environ=environ, arguments=order.arguments)


def openai(base: str, key: str) -> dict[str, str]:
    """What OpenAI's own SDKs read."""
    return {"OPENAI_BASE_URL": f"{base}/v1", "OPENAI_API_KEY": key or ANY_KEY}


def n8n(base: str, key: str, model: Model) -> str:
    """What to type into n8n, in words."""
    inside = base.replace("127.0.0.1", "host.docker.internal").replace(
        "localhost", "host.docker.internal"
    )
    return f"""Create Credential, OpenAi:
  API Key             {key or ANY_KEY}
  Organization ID     (empty)
  Base URL            {base}/v1   (no slash at the end)
                      from a container: {inside}/v1; README.md says what that needs
AI Agent or chain, its OpenAI Chat Model:
  Model               From list: {model.id}   (the list has every model)
  Use Responses API   in newer versions than 1.105.4 only; on and off both work
OpenAI node, Message a Model:
  Model               By ID: {model.id}   (its list stays empty in 1.105.4, a fault of n8n)
                      this node gives up after 300 s without an answer; the Chat Model is kept waiting"""


def beside_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """What keeps a proxy of the environment away from this machine's own address."""
    if not any(name.lower().endswith("_proxy") and environ[name] for name in environ):
        return {}
    spared = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    value = f"{spared},{_LOCAL}" if spared else _LOCAL
    return {"NO_PROXY": value, "no_proxy": value}


PROGRAMS: Final = {
    "claude": Program("Claude Code", "@anthropic-ai/claude-code", claude_code.setup),
    "codex": Program("Codex", "@openai/codex", codex),
    "opencode": Program("opencode", "opencode-ai", opencode),
}
