"""What Anthropic on Bedrock accepts, in its own words where it does not, and what the model reads of it."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Struct

from .conversation import Choice, Conversation, Made, Offered, Result, Said
from .refusal import Refusal, bad_argument

_VERSION: Final = "bedrock-2023-05-31"
_KNOWN: Final = frozenset((
    "anthropic_version", "anthropic_beta", "max_tokens", "messages", "system",
    "stop_sequences", "temperature", "top_p", "top_k", "tools", "tool_choice", "thinking",
    "output_config", "metadata",
))  # fmt: skip
_TOOL: Final = frozenset(("name", "description", "input_schema", "type", "cache_control"))
_BLOCKS: Final = frozenset(("text", "image", "document", "tool_use", "tool_result"))
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_EFFORTS: Final = frozenset(("low", "medium", "high"))
_THINKING: Final = (
    '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
    '"output_config.effort" to control thinking behavior.'
)


class Block(Struct, frozen=True):
    """A content block, of whatever type; only the fields of its type mean something."""

    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: Any = None
    tool_use_id: str = ""
    content: Any = None
    is_error: bool = False
    source: dict[str, Any] = {}


class Turn(Struct, frozen=True):
    role: str
    content: str | list[Block]

    @property
    def blocks(self) -> list[Block]:
        return [Block("text", self.content)] if isinstance(self.content, str) else self.content


class Tool(Struct, frozen=True):
    name: str = ""
    description: str = ""
    input_schema: dict[str, Any] | None = None


class Chosen(Struct, frozen=True):
    type: str = "auto"
    name: str = ""
    disable_parallel_tool_use: bool = False


class Thinking(Struct, frozen=True):
    type: str = "disabled"


class OutputConfig(Struct, frozen=True):
    effort: str = ""


class Invocation(Struct, frozen=True):
    """The body of `invoke`."""

    messages: list[Turn]
    anthropic_version: str = ""
    max_tokens: int | None = None
    system: str | list[Block] = ""
    tools: list[Tool] = []
    tool_choice: Chosen = Chosen()
    stop_sequences: list[str] = []
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig = OutputConfig()

    @property
    def system_blocks(self) -> list[Block]:
        if isinstance(self.system, str):
            return [Block("text", self.system)] if self.system else []
        return self.system


def check(request: Invocation, given: dict[str, Any], most_tokens: int) -> None:
    """Raise Refusal for anything that Anthropic on Bedrock would refuse."""
    extra = sorted(given.keys() - _KNOWN)
    extra += [
        f"tools.{index}.{name}"
        for index, tool in enumerate(given.get("tools") or ())
        for name in sorted(tool.keys() - _TOOL)
    ]
    if extra:
        raise bad_argument(f"{extra[0]}: Extra inputs are not permitted")
    if request.anthropic_version != _VERSION:
        raise bad_argument(f"anthropic_version: must be {_VERSION}")
    if request.max_tokens is None:
        raise bad_argument("max_tokens: Field required")
    if request.max_tokens < 1 or 0 < most_tokens < request.max_tokens:
        raise bad_argument(
            f"max_tokens: {request.max_tokens} > {most_tokens}, which is the maximum allowed number of "
            "output tokens for this model"
        )
    _check_thinking(request)
    _check_tools(request)
    _check_messages(request)


def _check_thinking(request: Invocation) -> None:
    blocks = [block for turn in request.messages for block in turn.blocks]
    if any(block.type in ("thinking", "redacted_thinking") for block in blocks):
        message = b"No user context has been created!"
        raise Refusal(502, "", message.decode(), body=message, content_type="text/plain")
    if request.thinking is None or request.thinking.type == "disabled":
        return
    if request.thinking.type != "adaptive":
        raise bad_argument(_THINKING)
    if request.output_config.effort and request.output_config.effort not in _EFFORTS:
        raise bad_argument("output_config.effort: Input should be 'low', 'medium' or 'high'")
    if (request.temperature, request.top_p, request.top_k) != (None, None, None):
        raise bad_argument("temperature, top_p and top_k may not be set when thinking is enabled")


def _check_tools(request: Invocation) -> None:
    names = [tool.name for tool in request.tools]
    for index, tool in enumerate(request.tools):
        if not _TOOL_NAME.fullmatch(tool.name):
            raise bad_argument(f"tools.{index}.custom.name: String should match pattern")
        if tool.input_schema is None or tool.input_schema.get("type") != "object":
            raise bad_argument(f"tools.{index}.custom.input_schema.type: Input should be 'object'")
    if len(set(names)) != len(names):
        raise bad_argument("tools: Tool names must be unique.")
    choice = request.tool_choice
    if choice.type not in ("auto", "any", "tool", "none"):
        raise bad_argument("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    if choice.type in ("any", "tool") and not names:
        raise bad_argument("tool_choice: may only be specified while providing tools")
    if choice.type == "tool" and choice.name not in names:
        raise bad_argument(f"tool_choice.name: Tool '{choice.name}' not found in provided tools")


def _check_messages(request: Invocation) -> None:
    if not request.messages:
        raise bad_argument("messages: at least one message is required")
    for block in request.system_blocks:
        if not block.text.strip():
            raise bad_argument("system: text content blocks must be non-empty")
    waiting: list[str] = []
    seen: set[str] = set()
    for index, turn in enumerate(request.messages):
        expected = "user" if index % 2 == 0 else "assistant"
        if turn.role not in ("user", "assistant"):
            raise bad_argument(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        if turn.role != expected:
            raise bad_argument(
                'messages: roles must alternate between "user" and "assistant", beginning with "user"'
            )
        _check_blocks(turn, index)
        _check_results(turn, index, waiting)
        waiting = [block.id for block in turn.blocks if block.type == "tool_use"]
        if seen.intersection(waiting) or len(set(waiting)) != len(waiting):
            raise bad_argument("messages: `tool_use` ids must be unique")
        seen.update(waiting)
    if request.messages[-1].role == "assistant":
        raise bad_argument("This model does not support assistant message prefill.")


def _check_blocks(turn: Turn, index: int) -> None:
    if not turn.blocks:
        raise bad_argument(f"messages.{index}: all messages must have non-empty content")
    for place, block in enumerate(turn.blocks):
        where = f"messages.{index}.content.{place}"
        if block.type not in _BLOCKS:
            raise bad_argument(f"{where}: Input tag '{block.type}' is not expected")
        if block.type == "text" and not block.text:
            raise bad_argument("messages: text content blocks must be non-empty")
        if block.type == "text" and not block.text.strip():
            raise bad_argument("messages: text content blocks must contain non-whitespace text")
        allowed = "assistant" if block.type == "tool_use" else "user"
        if block.type != "text" and turn.role != allowed:
            raise bad_argument(
                f"{where}: `{block.type}` blocks can only be in `{allowed}` messages"
            )
        if block.type == "tool_use" and not isinstance(block.input, dict):
            raise bad_argument(f"{where}.tool_use.input: Input should be a valid dictionary")


def _check_results(turn: Turn, index: int, waiting: list[str]) -> None:
    answered = [block.tool_use_id for block in turn.blocks if block.type == "tool_result"]
    if unknown := [found for found in answered if found not in waiting]:
        raise bad_argument(
            f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {unknown[0]}. "
            "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
        )
    if len(set(answered)) != len(answered):
        raise bad_argument(f"messages.{index}: each tool_use must have a single result")
    if missing := [call for call in waiting if call not in answered]:
        raise bad_argument(
            f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately "
            f"after: {', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` "
            "block in the next message."
        )
    kinds = [block.type for block in turn.blocks[: len(waiting)]]
    if any(kind != "tool_result" for kind in kinds):
        raise bad_argument(f"messages.{index}: `tool_result` blocks must come before other content")


def conversation_of(request: Invocation) -> Conversation:
    """The request as the model reads it."""
    names = {b.id: b.name for turn in request.messages for b in turn.blocks if b.type == "tool_use"}
    said = [Said(role="system", text="\n".join(block.text for block in request.system_blocks))]
    said += [_said(turn, names) for turn in request.messages]
    modes: dict[str, Choice] = {"any": "required", "tool": "named", "none": "none"}
    return Conversation(
        said=tuple(said),
        everything="\n".join(filter(None, (_all_text(turn) for turn in said))),
        tools=tuple(Offered(t.name, t.description, t.input_schema or {}) for t in request.tools),
        choice=modes.get(request.tool_choice.type, "auto"),
        named=request.tool_choice.name,
        parallel=not request.tool_choice.disable_parallel_tool_use,
        max_tokens=request.max_tokens,
        stop=tuple(request.stop_sequences),
    )


def _all_text(turn: Said) -> str:
    return "\n".join(filter(None, (*(result.text for result in turn.results), turn.text)))


def _said(turn: Turn, names: dict[str, str]) -> Said:
    texts = [_shown(block) for block in turn.blocks if block.type in ("text", "image", "document")]
    results = tuple(
        Result(names.get(block.tool_use_id, ""), _result_text(block.content), block.is_error)
        for block in turn.blocks
        if block.type == "tool_result"
    )
    calls = tuple(Made(block.name, block.id) for block in turn.blocks if block.type == "tool_use")
    return Said(role=turn.role, text="\n".join(texts), calls=calls, results=results)


def _shown(block: Block) -> str:
    """A block in words: what the model can say about a picture is that it is one."""
    return block.text or f"[{block.type} {block.source.get('media_type', '')}]".replace(" ]", "]")


def _result_text(content: object) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(_shown(block) for block in msgspec.convert(content, list[Block]))
