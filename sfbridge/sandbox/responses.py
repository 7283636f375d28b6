"""Surface B's OpenAI dialect, `/ai/gpt/v1/responses`: items in, items out, events when `stream` is set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from sfbridge.formats import sse

from .catalogue import OrgModel
from .conversation import Choice, Conversation, Made, Offered, Result, Said
from .model import Answer
from .refusal import Refusal, bad_argument
from .speaking import Frames
from .visit import Visit

_EFFORTS: Final = frozenset(("low", "medium", "high", "xhigh"))
_FAILURE: Final = {"code": "server_error", "message": "The model failed while it was answering."}


class _Item(Struct, frozen=True):
    type: str = "message"
    role: str = ""
    content: Any = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: Any = None


class _Tool(Struct, frozen=True):
    type: str
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Reasoning(Struct, frozen=True):
    effort: str | None = None


class _Format(Struct, frozen=True):
    type: str = "text"
    schema: dict[str, Any] | None = None


class _Text(Struct, frozen=True):
    format: _Format = _Format()


class _Request(Struct, frozen=True):
    model: str
    input: str | list[_Item]
    instructions: str | None = None
    tools: list[_Tool] = []
    tool_choice: str | dict[str, Any] = "auto"
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    reasoning: _Reasoning | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: _Text = _Text()
    stream: bool | None = None


async def responses(visit: Visit) -> web.StreamResponse:
    request = visit.decode(_Request)
    model = await visit.choose(request.model)
    if model.family != "openai":
        raise Refusal(404, "NOT_FOUND", f"The model {request.model[:200]} is not available here.")
    _check(request, model)
    answer = visit.answer(model, _conversation(request))
    head = _head(visit, request, model)
    if not request.stream:
        return await visit.whole(_final(head, answer))
    failed = head | {"status": "failed", "error": _FAILURE}
    frames = Frames(
        frames=tuple(_numbered(_events(head, answer))),
        content_type="text/event-stream",
        broken=sse.frame(b'{"type":"response.output_te', "response.output_text.delta"),
        failure=_frame({"type": "response.failed", "response": failed}),
    )
    return await visit.stream(frames)


def _check(request: _Request, model: OrgModel) -> None:
    if not request.input:
        raise bad_argument("input: at least one item is required", "E30002")
    effort = request.reasoning.effort if request.reasoning else None
    if effort is not None and effort not in _EFFORTS:
        raise bad_argument(f"Unexpected value '{effort}'")
    if effort is not None and (request.temperature, request.top_p) != (None, None):
        raise bad_argument("Unsupported parameter: temperature and top_p with reasoning")
    limit = request.max_output_tokens
    if limit is not None and (limit < 16 or 0 < model.max_output < limit):
        raise bad_argument(f"Invalid 'max_output_tokens': {limit}")
    if isinstance(request.input, str):
        return
    made: set[str] = set()
    answered: set[str] = set()
    for index, item in enumerate(request.input):
        if item.type == "function_call":
            made.add(item.call_id)
        elif item.type == "function_call_output":
            if item.call_id not in made:
                raise bad_argument(
                    f"No tool call found for function call output with call_id {item.call_id}."
                )
            answered.add(item.call_id)
        elif item.type != "message" or item.role not in (
            "system",
            "developer",
            "user",
            "assistant",
        ):
            raise bad_argument(f"Invalid value: 'input[{index}]'")
    if missing := sorted(made - answered):
        raise bad_argument(f"No tool output found for function call {missing[0]}.")


def _conversation(request: _Request) -> Conversation:
    items = (
        [_Item(role="user", content=request.input)]
        if isinstance(request.input, str)
        else request.input
    )
    said = [Said(role="system", text=request.instructions)] if request.instructions else []
    names: dict[str, str] = {}
    for item in items:
        if item.type == "function_call":
            names[item.call_id] = item.name
            call = Made(item.name, item.call_id)
            if said and said[-1].role == "assistant":
                last = said.pop()
                said.append(Said(role="assistant", text=last.text, calls=(*last.calls, call)))
            else:
                said.append(Said(role="assistant", calls=(call,)))
        elif item.type == "function_call_output":
            result = Result(names[item.call_id], _text(item.output))
            said.append(Said(role="user", results=(result,)))
        else:
            role = "system" if item.role == "developer" else item.role
            said.append(Said(role=role, text=_text(item.content)))
    choice, named = _choice(request.tool_choice)
    return Conversation(
        said=tuple(said),
        everything="\n".join(
            text for turn in said for text in (*(r.text for r in turn.results), turn.text) if text
        ),
        tools=tuple(
            Offered(tool.name, tool.description or "", tool.parameters or {})
            for tool in request.tools
            if tool.type == "function"
        ),
        choice=choice,
        named=named,
        parallel=request.parallel_tool_calls is not False,
        schema=request.text.format.schema,
        max_tokens=request.max_output_tokens,
    )


def _choice(given: str | dict[str, Any]) -> tuple[Choice, str]:
    if isinstance(given, dict):
        return "named", str(given.get("name", ""))
    modes: dict[str, Choice] = {"required": "required", "none": "none"}
    return modes.get(given, "auto"), ""


def _text(content: object) -> str:
    """The text of a string or of content parts; a part without text is named."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else [content]
    return "\n".join(
        str(part.get("text") or f"[{part.get('type', 'part')}]")
        for part in parts
        if isinstance(part, dict)
    )


def _items(head: dict[str, Any], answer: Answer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if answer.deltas:
        part = {"type": "output_text", "text": answer.text, "annotations": []}
        found.append(
            {
                "type": "message",
                "id": f"msg_{head['id']}",
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
        )
    cut = answer.finish == "length"
    found += [
        {
            "type": "function_call",
            "id": f"fc_{call.id}",
            "call_id": f"call_{call.id}",
            "name": call.name,
            "arguments": call.arguments,
            "status": "incomplete" if cut else "completed",
        }
        for call in answer.calls
    ]
    return found


def _final(head: dict[str, Any], answer: Answer) -> dict[str, Any]:
    cut = answer.finish == "length"
    return head | {
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": _items(head, answer),
        "usage": {
            "input_tokens": answer.count.prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": answer.count.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": answer.count.total,
        },
    }


def _head(visit: Visit, request: _Request, model: OrgModel) -> dict[str, Any]:
    return {
        "id": f"resp_sandbox{visit.org.serial()}",
        "object": "response",
        "created_at": int(visit.org.now()),
        "status": "in_progress",
        "model": model.provider_name,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": request.tool_choice,
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "usage": None,
    }


def _events(head: dict[str, Any], answer: Answer) -> Iterator[dict[str, Any]]:
    final = _final(head, answer)
    yield {"type": "response.created", "response": head}
    yield {"type": "response.in_progress", "response": head}
    for index, item in enumerate(final["output"]):
        if item["type"] == "message":
            yield from _message_events(index, item, answer)
        else:
            yield from _call_events(index, item, answer.step)
    yield {"type": f"response.{final['status']}", "response": final}


def _message_events(index: int, item: dict[str, Any], answer: Answer) -> Iterator[dict[str, Any]]:
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = item["content"][0]
    begun = item | {"status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    yield {"type": "response.content_part.added", **place, "part": part | {"text": ""}}
    for delta in answer.deltas:
        yield {"type": "response.output_text.delta", **place, "delta": delta}
    yield {"type": "response.output_text.done", **place, "text": answer.text}
    yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _call_events(index: int, item: dict[str, Any], step: int) -> Iterator[dict[str, Any]]:
    place = {"item_id": item["id"], "output_index": index}
    kind = "response.function_call_arguments"
    begun = item | {"status": "in_progress", "arguments": ""}
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    for start in range(0, len(item["arguments"]), step):
        yield {"type": f"{kind}.delta", **place, "delta": item["arguments"][start : start + step]}
    yield {"type": f"{kind}.done", **place, "arguments": item["arguments"]}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _numbered(events: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    for number, event in enumerate(events):
        yield _frame(event | {"sequence_number": number})


def _frame(event: dict[str, Any]) -> bytes:
    return sse.frame(msgspec.json.encode(event), event["type"])
