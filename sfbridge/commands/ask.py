"""`ask`: one question, the answer as it comes."""

from __future__ import annotations

import argparse
import asyncio
import json
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


def declare(commands: options.Commands) -> None:
    parser = commands.add_parser("ask", help="ask one question and print the answer as it comes")
    parser.add_argument("question", help="the question; - reads it from standard input")
    parser.add_argument("--model", default="", help="who answers (the default model)")
    parser.add_argument(
        "--tools", type=Path, metavar="FILE", help="a JSON file of tools, in either API's form"
    )
    options.add(parser)
    parser.set_defaults(run=ask)


def ask(arguments: argparse.Namespace) -> int:
    question = sys.stdin.read() if arguments.question == "-" else arguments.question
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
    async for chunk in client.chat(body):
        first = first or time.monotonic()
        usage = chunk.usage or usage
        for choice in chunk.choices or ():
            reason = choice.finish_reason or reason
        said, calls = _said(chunk)
        text += said
        print(said, end="", flush=True)
        for call in calls:
            if text and not text.endswith("\n"):
                print()
            text = "\n"
            print(_shown(call), flush=True)
    if text and not text.endswith("\n"):
        print()
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
    """The tools of a file: a list, or an object with `tools`; Anthropic's form is put into OpenAI's."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"--tools {path}: not JSON: {error}") from None
    listed = found.get("tools") if isinstance(found, dict) else found
    if not isinstance(listed, list) or not all(isinstance(tool, dict) for tool in listed):
        raise ConfigError(f"--tools {path}: must be a list of tools, or an object with such a list")
    return [_as_openai(tool) for tool in listed]


def _as_openai(tool: dict[str, Any]) -> dict[str, Any]:
    if "input_schema" not in tool:
        return tool
    words = {name: tool[name] for name in ("name", "description") if name in tool}
    return {"type": "function", "function": {**words, "parameters": tool["input_schema"]}}
