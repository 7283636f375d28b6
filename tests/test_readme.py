"""Every block of README.md does what it says: configurations load, programs run, commands are understood."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from program import ROOT, Ended, configured, free_port, run, serving

from sfbridge.cli import parser_of
from sfbridge.config import Config, section

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^ *```(\w+)\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
HELLO = "Hello! This is the sandbox org speaking."
# what other programs read, and what the sandbox org plays; each has a test of its own
FOREIGN = ("model_provider", "[[turn]]")


def blocks(language: str, *without: str) -> list[str]:
    found = [text for kind, text in BLOCKS if kind == language]
    return [text for text in found if not any(word in text for word in without)]


@pytest.mark.parametrize("text", blocks("toml", *FOREIGN))
def test_every_configuration_is_one(text: str) -> None:
    """Each block of configuration is TOML whose keys the program knows."""
    tables: dict[str, Any] = tomllib.loads(text.replace("…", "x"))
    assert section(tables, Config, "")


def test_what_other_programs_read_is_what_sfbridge_starts_them_with() -> None:
    """The files of Codex and opencode are well formed, and lead to the doors that those programs need."""
    (codex,) = (tomllib.loads(text) for text in blocks("toml") if "model_provider" in text)
    assert codex["model_providers"]["sfbridge"]["wire_api"] == "responses"
    # a name that sfbridge would take for a setting of its own
    assert not codex["model_providers"]["sfbridge"]["env_key"].startswith("SFBRIDGE_")
    (opencode,) = (json.loads(text) for text in blocks("json") if '"provider"' in text)
    assert opencode["provider"]["sfbridge"]["options"]["baseURL"].endswith("/v1")


@pytest.mark.parametrize("text", blocks("python"))
async def test_every_program_says_hello(tmp_path: Path, text: str) -> None:
    """The examples for the SDKs run as they stand, and print the sandbox org's hello."""
    configured(tmp_path)
    port = free_port()
    async with serving(port, home=tmp_path):
        program = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        # an SDK's own warnings are its own
        env = {"PYTHONWARNINGS": "ignore"}
        found = await run("-c", program, home=tmp_path, entry=(sys.executable,), env=env)
    assert (found.code, found.out.strip()) == (0, HELLO)


async def played(home: Path, text: str, typed: str = "") -> Ended:
    """A block of commands as a person would run it in a new terminal, with a `claude` that shows what it was told."""
    tools = home / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "claude").write_text('#!/bin/sh\nenv; echo "told: $*"\n')
    (tools / "claude").chmod(0o755)
    (home / "my-project").mkdir(exist_ok=True)
    text = text.replace(". .venv/bin/activate", ":").replace("/path/to/", f"{home}/")
    path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = ("bash", "-euo", "pipefail", "-c", text)
    port = {"SFBRIDGE_SERVER__PORT": str(free_port()), "SFBRIDGE_SANDBOX__PORT": "0"}
    return await run(entry=shell, home=home, typed=typed, env={"PATH": path, **port})


async def test_every_command_does_what_it_says(tmp_path: Path) -> None:
    """Blocks of commands run as they stand: they start Claude Code, write a configuration, make a key."""
    configured(tmp_path)
    seen = 0
    for text in blocks("sh", "curl", "pip install"):
        found = await played(tmp_path, text, typed="1\n\n\n")
        assert found.code == 0, (text, found)
        seen += 1
        if "run claude" in text:
            assert "ANTHROPIC_BASE_URL=http://127.0.0.1:" in found.out
        elif "config init" in text:
            own = tmp_path / ".config" / "sfbridge" / "config.toml"
            assert own.stat().st_mode & 0o777 == 0o600
            assert "answered after" in found.out
        else:
            assert "hash-key" in text
            assert 'secret_hash = "$scrypt$' in found.out
    assert seen == 3


INLINE = sorted(set(re.findall(r"`(?:[A-Z_]+=<key> )?(sfbridge [^`…]+)`", README)))
# heads of commands, not whole ones
HEADS = ("sfbridge run", "sfbridge explain", "sfbridge service", "sfbridge config")


@pytest.mark.parametrize("command", [line for line in INLINE if line not in HEADS])
def test_every_command_in_the_text_is_understood(command: str) -> None:
    """Commands that the prose names are ones that the command line takes, with those options."""
    words = shlex.split(command)[1:]
    place = words.index("--") if "--" in words else len(words)
    assert place == len(words) or words[0] == "run"
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            parser_of().parse_args(words[:place])
        except SystemExit:
            pytest.fail(said.getvalue())
