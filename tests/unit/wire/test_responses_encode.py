"""Events -> Responses events: the grammar that the strictest clients want, and one object told in two ways."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from responses_stream import read_response
from wire_streams import REPLY, random_answer, random_batches, records

from sfbridge.core.answer import Answer
from sfbridge.core.errors import GatewayError
from sfbridge.core.request import TextPart, ThoughtPart, ToolCall
from sfbridge.core.stream import BlockEnded, BlockStarted, Delta, Finished, Started, Usage
from sfbridge.wire.base import ToolForm
from sfbridge.wire.openai_responses.encode import EventEncoder
from sfbridge.wire.openai_responses.output import body

PATCH = msgspec.structs.replace(
    REPLY,
    forms={
        "apply_patch": ToolForm(name="apply_patch", custom=True),
        "agents__spawn": ToolForm(name="spawn", namespace="agents"),
    },
)


@pytest.mark.parametrize("seed", range(300))
def test_any_answer_in_any_batches_is_grammatical_and_equals_its_fold(seed: int) -> None:
    """The object at the end of the stream is the body, however the events were cut."""
    dice = random.Random(seed)
    events, answer = random_answer(dice)
    encoder = EventEncoder(REPLY)
    out = []
    for batch in random_batches(dice, events):
        if dice.random() < 0.2:
            out.append(encoder.open(Usage()) + encoder.hold())
        out.append(encoder.feed(batch))
    assert read_response(records(b"".join(out))) == json.loads(body(answer, REPLY))


def kinds(stream: bytes) -> list[str]:
    return [event for event, _ in records(stream)]


def test_the_events_of_a_short_answer() -> None:
    """Each event that some client needs is there, in order, each numbered by one more."""
    encoder = EventEncoder(REPLY)
    stream = encoder.feed([Started(), BlockStarted(0, "text"), Delta(0, "H"), Delta(0, "i")])
    stream += encoder.feed([BlockEnded(0), Finished(reason="stop", usage=Usage(input=2, output=1))])
    assert kinds(stream) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    numbers = [json.loads(data)["sequence_number"] for _, data in records(stream)]
    assert numbers == list(range(10))


def test_a_call_leaves_whole() -> None:
    """A call's item opens empty, gets its arguments at once, and is done before anything else begins."""
    encoder = EventEncoder(REPLY)
    call = [BlockStarted(0, "call", "call_1", "calculator"), Delta(0, '{"input":"6*7"}')]
    stream = encoder.feed([Started(), *call, BlockEnded(0)])
    assert kinds(stream)[2:] == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ]
    begun, done = (json.loads(records(stream)[place][1])["item"] for place in (2, 5))
    assert (begun["arguments"], begun["status"]) == ("", "in_progress")
    assert done == {
        "id": begun["id"],
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "calculator",
        "arguments": '{"input":"6*7"}',
    }


@pytest.mark.parametrize(
    ("name", "arguments", "shown"),
    [
        (
            "apply_patch",
            '{"input":"*** Begin\\n"}',
            {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin\n"},
        ),
        (
            "agents__spawn",
            '{"task":"x"}',
            {
                "type": "function_call",
                "name": "spawn",
                "namespace": "agents",
                "arguments": '{"task":"x"}',
            },
        ),
        (
            "apply_patch",
            '{"patch":1}',
            {"type": "custom_tool_call", "name": "apply_patch", "input": '{"patch":1}'},
        ),
    ],
)
def test_calls_have_their_clients_form(name: str, arguments: str, shown: dict[str, Any]) -> None:
    """A call of a free text tool carries the text, one of a namespace its namespace, streamed or not."""
    answer = Answer(parts=(ToolCall("call_1", name, arguments),), reason="tool_calls")
    (item,) = json.loads(body(answer, PATCH))["output"]
    assert shown.items() <= item.items()
    encoder = EventEncoder(PATCH)
    stream = encoder.feed(
        [
            Started(),
            BlockStarted(0, "call", "call_1", name),
            Delta(0, arguments),
            BlockEnded(0),
            Finished(reason="tool_calls"),
        ]
    )
    assert read_response(records(stream))["output"] == [item]


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        ("stop", "completed", None),
        ("stop_sequence", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_a_cut_answer_says_so(reason: Any, status: str, why: Any) -> None:
    """What ended too early is incomplete, and so is the item in which it ended."""
    answer = Answer(parts=(ThoughtPart("hm"), TextPart("Once")), reason=reason)
    shown = json.loads(body(answer, REPLY))
    assert (shown["status"], shown["incomplete_details"]) == (status, why)
    assert shown["output"][-1]["status"] == status


def test_a_broken_stream_ends_as_failed_with_what_was_whole() -> None:
    """The failure is the last event, numbered like any other; a half item is not among its output."""
    encoder = EventEncoder(REPLY)
    stream = encoder.feed(
        [Started(), BlockStarted(0, "call", "c", "f"), Delta(0, "{}"), BlockEnded(0)]
    )
    stream += encoder.feed([BlockStarted(1, "text"), Delta(1, "half")])
    error = GatewayError("context_overflow", "", tokens=(9, 8))
    response = read_response(records(stream + encoder.failure(error)))
    assert [item["type"] for item in response["output"]] == ["function_call"]
    assert response["error"]["code"] == "context_length_exceeded"
    assert "maximum context length is 8 tokens" in response["error"]["message"]
    assert encoder.hold() == b""


def test_silence_is_broken_by_an_event() -> None:
    """Clients that do not count comments see that the answer is still being made."""
    encoder = EventEncoder(REPLY)
    opening = encoder.open(Usage())
    assert encoder.open(Usage()) == b""
    assert kinds(opening) == ["response.created", "response.in_progress"]
    assert kinds(encoder.hold()) == ["response.in_progress"]


def test_what_was_asked_is_repeated_as_it_was_written() -> None:
    """The object has the request's own fields, on one line also where the client wrote them on several."""
    echo = {
        "instructions": msgspec.Raw(b'"Be brief."'),
        "tools": msgspec.Raw(b'[\n {"type": "function", "name": "a\\nb"}\r\n]'),
        "temperature": msgspec.Raw(b"0.50"),
    }
    reply = msgspec.structs.replace(REPLY, echo=echo)
    stream = EventEncoder(reply).feed([Started(), Finished(reason="length")])
    shown = read_response(records(stream))
    assert shown["instructions"] == "Be brief."
    assert shown["tools"] == [{"type": "function", "name": "a\nb"}]
    assert shown["temperature"] == 0.5
    assert shown["tool_choice"] == "auto"


def test_usage_has_the_details_that_clients_insist_on() -> None:
    """Input counts cached tokens in; unknown details are zero, and an estimate is marked."""
    usage = Usage(input=5, output=4, cache_read=7, thought=1, estimated=True)
    answer = Answer(parts=(TextPart("x"),), reason="stop", usage=usage)
    assert json.loads(body(answer, REPLY))["usage"] == {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 7},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 16,
        "estimated": True,
    }


def test_a_sealed_thought_gives_back_its_seal() -> None:
    """The signature of a thought travels as its encrypted content; one without words has no summary."""
    answer = Answer(parts=(ThoughtPart("hm", "c2ln"), ThoughtPart("", "eA==")), reason="stop")
    first, second = json.loads(body(answer, REPLY))["output"]
    assert (first["summary"][0]["text"], first["encrypted_content"]) == ("hm", "c2ln")
    assert (second["summary"], second["encrypted_content"]) == ([], "eA==")
    assert first["id"] != second["id"]
