"""`ask`: one question, the answer as it comes."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from sfbridge.client import Client, Unanswered
from sfbridge.config import Config, ConfigError
from sfbridge.formats.openai_answer import CallPiece, Completion, Tokens

from . import options
from .choosing import chosen
from .reach import quiet_log, reached
from .terminal import visible


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "ask",
        "ask one question and print the answer as it comes",
        "It asks the server that runs, or one of its own. Calls of tools are printed, not made.",
        'sfbridge ask "What is 6*7?" --tools tools.json',
    )
    parser.add_argument("question", help="the question; - reads it from standard input")
    parser.add_argument("--model", default="", help="who answers (the default model)")
    parser.add_argument(
        "--tools",
        type=Path,
        metavar="FILE",
        help="a JSON file with a list of tools, as any of the APIs takes them",
    )
    options.add(parser)
    parser.set_defaults(run=ask)


def ask(arguments: argparse.Namespace) -> int:
    question = sys.stdin.read() if arguments.question == "-" else arguments.question
    # what a locale without UTF-8 could not read
    question = os.fsencode(question).decode("utf-8", "replace")
    tools = _tools(arguments.tools) if arguments.tools else []
    config = options.configuration(arguments)
    quiet_log(config)
    asyncio.run(_answer(config, question, arguments.model, tools))
    return 0


async def _answer(config: Config, question: str, wanted: str, tools: list[Any]) -> None:
    async with reached(config) as client:
        model = await chosen(client, config, wanted)
        body: dict[str, Any] = {
            "model": model.id,
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": question}],
            **({"tools": tools} if tools else {}),
        }
        await _print_as_it_comes(client, body, model.id)


async def _print_as_it_comes(client: Client, body: dict[str, Any], model: str) -> None:
    began, first, usage = time.monotonic(), 0.0, None
    text, reason = "", ""
    try:
        async for chunk in client.chat(body):
            first = first or time.monotonic()
            usage = chunk.usage or usage
            for choice in chunk.choices or ():
                reason = choice.finish_reason or reason
            said, calls = _said(chunk)
            text += said
            print(visible(said), end="", flush=True)
            for call in calls:
                if text and not text.endswith("\n"):
                    print()
                text = "\n"
                print(visible(_shown(call)), flush=True)
    finally:
        if text and not text.endswith("\n"):
            print(flush=True)
    if reason == "length":
        raise Unanswered("the answer was cut at the output limit")
    if sys.stderr.isatty():
        print(_summary(model, usage, first - began, time.monotonic() - began), file=sys.stderr)


def _said(chunk: Completion) -> tuple[str, list[CallPiece]]:
    deltas = [choice.delta for choice in chunk.choices or () if choice.delta is not None]
    text = "".join(delta.content for delta in deltas if isinstance(delta.content, str))
    return text, [call for delta in deltas for call in delta.tool_calls or ()]


def _shown(call: CallPiece) -> str:
    function = call.function
    if function is None:
        return ""
    return f"{function.name}({msgspec.json.decode(function.arguments)})"


def _summary(model: str, usage: Tokens | None, first: float, whole: float) -> str:
    tokens = f", {usage.prompt_tokens} tokens in, {usage.completion_tokens} out" if usage else ""
    return f"[{model}{tokens}, first words after {first:.1f} s, whole after {whole:.1f} s]"


def _tools(path: Path) -> list[Any]:
    """The tools of a file: a list, or an object with `tools`; every form is put into that of OpenAI's chat."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"--tools {path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--tools {path}: not JSON: {error}") from None
    listed = found.get("tools") if isinstance(found, dict) else found
    if not isinstance(listed, list) or not all(isinstance(tool, dict) for tool in listed):
        raise ConfigError(f"--tools {path}: must be a list of tools, or an object with such a list")
    return [_as_openai(tool) for tool in listed]


def _as_openai(tool: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's tools have an `input_schema`, those of the Responses API stand bare."""
    if "function" in tool or "name" not in tool:
        return tool
    words = {name: tool[name] for name in ("name", "description", "strict") if name in tool}
    schema = tool.get("input_schema", tool.get("parameters"))
    return {"type": "function", "function": {**words, "parameters": schema}}
