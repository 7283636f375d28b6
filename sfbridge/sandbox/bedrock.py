"""Surface B's Anthropic dialect, `/ai/gpt/v1/model/{model}/invoke` and its binary stream.

As strict about messages as Anthropic on Bedrock is: what a bridge could get away with here, it could not there.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from aiohttp import web

from sfbridge.formats.eventstream import encode_frame

from .bedrock_request import Invocation, check, conversation_of
from .catalogue import OrgModel
from .model import Answer
from .refusal import Refusal
from .speaking import IN_BAND, Frames
from .usage import anthropic_usage
from .visit import Visit

_HEADERS: Final = {
    ":event-type": "chunk",
    ":content-type": "application/json",
    ":message-type": "event",
}
_FAILURE: Final = {
    ":exception-type": "modelStreamErrorException",
    ":content-type": "application/json",
    ":message-type": "exception",
}
_ENDS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "stop_sequence": "stop_sequence",
}


async def invoke(visit: Visit) -> web.StreamResponse:
    model, answer = await _answer(visit)
    content: list[dict[str, Any]] = []
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    content += [_tool_use(answer, place) for place in range(len(answer.calls))]
    usage = anthropic_usage(answer.count.prompt, answer.count.output)
    return await visit.whole(
        _message(visit, model) | _ending(answer) | {"content": content, "usage": usage}
    )


async def invoke_stream(visit: Visit) -> web.StreamResponse:
    model, answer = await _answer(visit)
    frames = Frames(
        frames=tuple(_chunk(event) for event in _events(_message(visit, model), answer)),
        content_type="application/vnd.amazon.eventstream",
        broken=encode_frame(_HEADERS, b'{"bytes":"eyJ0eXBlIjoi'),
        failure=encode_frame(_FAILURE, IN_BAND),
    )
    return await visit.stream(frames)


def _events(message: dict[str, Any], answer: Answer) -> Iterator[dict[str, Any]]:
    usage = anthropic_usage(answer.count.prompt, 1)
    yield {"type": "message_start", "message": message | {"content": [], "usage": usage}}
    index = 0
    if answer.deltas:
        yield _start(index, {"type": "text", "text": ""})
        for delta in answer.deltas:
            yield _delta(index, {"type": "text_delta", "text": delta})
        yield {"type": "content_block_stop", "index": index}
        index += 1
    for place, call in enumerate(answer.calls):
        yield _start(index, _tool_use(answer, place) | {"input": {}})
        yield _delta(index, {"type": "input_json_delta", "partial_json": ""})
        for start in range(0, len(call.arguments), answer.step):
            piece = call.arguments[start : start + answer.step]
            yield _delta(index, {"type": "input_json_delta", "partial_json": piece})
        yield {"type": "content_block_stop", "index": index}
        index += 1
    yield {
        "type": "message_delta",
        "delta": _ending(answer),
        "usage": {"output_tokens": answer.count.output},
    }
    yield {
        "type": "message_stop",
        "amazon-bedrock-invocationMetrics": {
            "inputTokenCount": answer.count.prompt,
            "outputTokenCount": answer.count.output,
            "invocationLatency": 20,
            "firstByteLatency": 10,
        },
    }


def _chunk(event: dict[str, Any]) -> bytes:
    data = base64.b64encode(msgspec.json.encode(event)).decode()
    return encode_frame(_HEADERS, msgspec.json.encode({"bytes": data, "p": "abcdefgh"}))


def _start(index: int, block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _tool_use(answer: Answer, place: int) -> dict[str, Any]:
    call = answer.calls[place]
    try:
        given = msgspec.json.decode(call.arguments)
    except msgspec.DecodeError:  # cut inside the call
        given = {}
    return {"type": "tool_use", "id": f"toolu_bdrk_{call.id}", "name": call.name, "input": given}


def _ending(answer: Answer) -> dict[str, Any]:
    return {
        "stop_reason": _ENDS[answer.finish],
        "stop_sequence": answer.stop_sequence or None,
    }


def _message(visit: Visit, model: OrgModel) -> dict[str, Any]:
    return {
        "id": f"msg_bdrk_{visit.org.serial():024d}",
        "type": "message",
        "role": "assistant",
        "model": model.provider_name,
        "stop_reason": None,
        "stop_sequence": None,
    }


async def _answer(visit: Visit) -> tuple[OrgModel, Answer]:
    name = visit.request.match_info["model"]
    if "BedrockAnthropic" not in name and "sandbox-" not in name:
        visit.record.model = name
        raise Refusal(404, "NOT_FOUND", f"The model {name[:200]} is not available here.")
    model = await visit.choose(name)
    request = visit.decode(Invocation)
    check(request, visit.decode(dict[str, Any]), model.max_output)
    return model, visit.answer(model, conversation_of(request))
