"""What `check` says of Claude Code and n8n: what they must be told, and what stands in their way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sfbridge.client import Model, address, first_key
from sfbridge.config import Config, is_loopback
from sfbridge.secrecy import without_login

from . import claude_code
from .findings import Finding
from .setup import Order

# Claude Code 2.1.197 gives up after 300 s of comments alone, every release after 300 s without a byte; n8n's chat model
# (1.105.4) after 60 s without headers.
_CLAUDE_SECONDS: Final = 300
_N8N_SECONDS: Final = 60
_N8N_CLIENT: Final = "OpenAI/JS"


def of_programs(config: Config) -> Iterator[Finding]:
    yield from _claude(config)
    yield from _n8n(config)


def _claude(config: Config) -> Iterator[Finding]:
    name, base = "Claude Code", address(config)
    if shutil.which("claude") is None:
        yield Finding("ok", name, "is not installed here; sfbridge env claude prints its settings")
    else:
        yield Finding("ok", name, "is installed; sfbridge run claude starts it with its settings")
    leads = os.environ.get(claude_code.BASE_URL, "")
    if leads and not leads.startswith(base):
        told = f"{claude_code.BASE_URL} leads to {without_login(leads)} in this shell, not to {base}/anthropic"
        advice = "sfbridge run claude sets what it needs; sfbridge env claude prints it"
        yield Finding("warning", name, told, advice)
    order = Order(base, first_key(config), Model(id=""), environ=os.environ, folder=Path.cwd())
    for layer, names in claude_code.contradictions(order):
        if found := [each for each in names if each in claude_code.LEADING]:
            told = f"{layer.path} sets {', '.join(found)}, and goes over what this shell sets"
            advice = "sfbridge run claude goes over it; for claude alone, take it out there"
            yield Finding(
                "warning", name, told, "nothing goes over it" if layer.managed else advice
            )
    silence = max(config.stream.keep_alive, config.stream.patience)
    longest = max(silence, config.stream.hold_after)
    if longest >= _CLAUDE_SECONDS:
        key = "hold_after" if longest > silence else "keep_alive and stream.patience"
        told = f"gives up after {_CLAUDE_SECONDS} s of silence, and stream.{key} allows {longest:g}"
        yield Finding("warning", name, told, "the defaults are 15, 5 and 240 s")
    if config.models.strict:
        told = "asks for claude-… models of its own, which models.strict refuses"
        advice = 'name one for them: models.aliases with "claude-*"; sfbridge run claude asks for one model only'
        yield Finding("warning", name, told, advice)


def _n8n(config: Config) -> Iterator[Finding]:
    key = "one of [keys]" if config.keys else "any text"
    near = is_loopback(config.server.host)
    reach = "; out of reach of containers while server.host is loopback" if near else ""
    told = f"Base URL {address(config)}/v1, API key {key}{reach}; sfbridge env n8n says the rest"
    yield Finding("ok", "n8n", told)
    padded = any(client.startswith(_N8N_CLIENT[:6]) for client in config.stream.pad_clients)
    if not padded or config.stream.pad_after >= _N8N_SECONDS:
        told = f"its chat model gives up after {_N8N_SECONDS} s without headers, and "
        told += (
            f"stream.pad_after is {config.stream.pad_after:g}" if padded else "it is not padded for"
        )
        advice = "set stream.pad_after to 45 and stream.pad_clients to its default, or raise the node's Timeout"
        yield Finding("warning", "n8n", told, advice)
