"""Legacy completions in and out: what is read, what is refused and where, pieces and wholes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.core.answer import Answer, Fold
from sfbridge.core.errors import GatewayError
from sfbridge.core.request import Message, TextPart, text_of
from sfbridge.core.stream import BlockEnded, BlockStarted, Delta, Event, Finished, Started, Usage
from sfbridge.wire.base import Asked, Reply
from sfbridge.wire.openai_completions import openai_completions as wire
from sfbridge.wire.openai_completions.decode import MOST_CHOICES


def read(**fields: Any) -> Asked:
    sent = {"model": "m", "prompt": "Say hello.", **fields}
    return wire.decode(json.dumps(sent).encode(), {"user-agent": "old/1"})


def prompts(asked: Asked) -> list[str]:
    return [text_of(one.messages[0].parts) for one in (asked.request, *asked.more)]


# ---- requests


def test_a_prompt_is_one_question() -> None:
    """The text goes as one user message; knobs keep the client's own names."""
    asked = read(max_tokens=5, temperature=0.5, top_p=1, seed=3, stop="\n", user="me", stream=True)
    request = asked.request
    assert request.messages == (Message("user", (TextPart("Say hello."),)),)
    assert (request.max_output, request.stop, request.stream) == (5, ("\n",), True)
    assert (request.sampling.temperature, request.sampling.seed) == (0.5, 3)
    assert (request.caller.client, request.caller.user) == ("old/1", "me")
    assert request.words["max_output"] == "max_tokens"
    assert (asked.more, asked.heads) == ((), ())


def test_a_list_is_several_choices() -> None:
    """Each prompt is asked `n` times, in the order of the vendor's indices, with the same knobs."""
    asked = read(prompt=["a", "b"], n=2, echo=True, stop=["x", ""], max_tokens=9)
    assert prompts(asked) == ["a", "a", "b", "b"]
    assert asked.heads == ("a", "a", "b", "b")
    assert {(one.stop, one.max_output) for one in (asked.request, *asked.more)} == {(("x",), 9)}


def test_what_cannot_be_honoured_is_kept_for_the_report() -> None:
    """Wishes without a meaning here are named later; those that wish nothing are not."""
    assert set(read(logprobs=3, best_of=4, logit_bias={"5": 1}).request.extras) == {
        "logprobs",
        "best_of",
        "logit_bias",
    }
    assert read(logprobs=None, best_of=1, logit_bias={}).request.extras == {}
    assert read(n=3, best_of=3).request.extras == {}


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"prompt": None}, "invalid_request", "prompt"),
        ({"prompt": []}, "invalid_request", "prompt"),
        ({"prompt": ""}, "invalid_request", "prompt"),
        ({"prompt": " \n"}, "invalid_request", "prompt"),
        ({"prompt": ["a", ""]}, "invalid_request", "prompt[1]"),
        ({"prompt": ["a", 7]}, "invalid_request", "prompt[1]"),
        ({"prompt": 7}, "invalid_request", "prompt"),
        ({"prompt": [1, 2]}, "unsupported", "prompt"),
        ({"prompt": [[1, 2], [3]]}, "unsupported", "prompt"),
        ({"suffix": "end"}, "unsupported", "suffix"),
        ({"n": 0}, "invalid_request", "n"),
        ({"n": MOST_CHOICES + 1}, "invalid_request", "n"),
        ({"prompt": ["a"] * (MOST_CHOICES + 1)}, "invalid_request", "prompt"),
        ({"max_tokens": 0}, "invalid_request", "max_tokens"),
        ({"model": ""}, "invalid_request", "model"),
        ({"temperature": "hot"}, "invalid_request", "temperature"),
    ],
)
def test_faults_are_named_by_their_place(fields: dict[str, Any], kind: str, param: str) -> None:
    """Whatever is wrong with a body, or cannot be done, is told with the path to it."""
    with pytest.raises(GatewayError) as caught:
        read(**fields)
    assert (caught.value.kind, caught.value.param) == (kind, param)


def test_an_empty_suffix_is_none() -> None:
    """SDKs of old send empty fields."""
    assert prompts(read(suffix="", n=None, echo=None, stop=None)) == ["Say hello."]


@given(st.binary(max_size=200) | st.text(max_size=60).map(str.encode))
def test_garbage_is_a_clear_refusal(data: bytes) -> None:
    """No body makes another exception than ours."""
    with pytest.raises(GatewayError):
        wire.decode(data, {})


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=8,
    )
)
def test_any_prompt_is_read_or_refused(prompt: Any) -> None:
    """What is accepted are texts that say something."""
    try:
        found = prompts(read(prompt=prompt))
    except GatewayError:
        return
    assert all(text.strip() for text in found)


# ---- answers

TURN: list[Event] = [
    Started(model="x", usage=Usage(input=3, output=0)),
    BlockStarted(0, "thought"),
    Delta(0, "Hm."),
    BlockEnded(0),
    BlockStarted(1, "text"),
    Delta(1, 'Hel"'),
    Delta(1, "lo"),
    BlockEnded(1),
    Finished(reason="stop_sequence", usage=Usage(input=3, output=2)),
]


def reply(**more: Any) -> Reply:
    return Reply(id="cmpl-1", created=1, model="m", request_id="req_1", **more)


def folded(turn: list[Event]) -> Answer:
    fold = Fold()
    fold.feed(turn)
    return fold.answer()


def pieces(data: bytes) -> list[Any]:
    lines = [line.removeprefix(b"data: ") for line in data.split(b"\n\n") if line]
    return ["[DONE]" if line == b"[DONE]" else json.loads(line) for line in lines]


def test_the_stream_has_the_vendors_form() -> None:
    """Each piece holds text, the reason comes in a piece of its own, usage when it was asked for, then the end."""
    found = pieces(wire.encoder(reply(stream_usage=True)).feed(TURN))
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}

    def piece(text: str, reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        return {**head, "choices": [choice]}

    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert found == [
        piece('Hel"'),
        piece("lo"),
        piece("", "stop"),
        {**head, "choices": [], "usage": usage},
        "[DONE]",
    ]


def test_the_whole_says_the_same() -> None:
    """The folded answer has the text of all pieces, without the thoughts."""
    assert json.loads(wire.body(folded(TURN), reply())) == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [{"text": 'Hel"lo', "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def test_echo_stands_before_the_answer() -> None:
    """The prompt leads, whole and streamed."""
    asked = reply(heads=("Say: ",))
    assert json.loads(wire.body(folded(TURN), asked))["choices"][0]["text"] == 'Say: Hel"lo'
    found = pieces(wire.encoder(asked).feed(TURN))
    assert found[0]["choices"][0]["text"] == "Say: "


@given(st.lists(st.integers(0, 2), min_size=3 * len(TURN), max_size=60))
def test_choices_may_interleave(order: list[int]) -> None:
    """However the choices take turns, each is whole under its index, and the end comes once, after the last of them."""
    assert wire.choices is not None
    encoders = wire.choices.encoders(reply(stream_usage=True), 3)
    left = [list(TURN) for _ in range(3)]
    data = b""
    for index in [*order, *(index for index in range(3) for _ in TURN)]:
        if left[index]:
            data += encoders[index].feed([left[index].pop(0)])
    *found, usage, done = pieces(data)
    assert done == "[DONE]"
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 15)
    for index in range(3):
        own = [p["choices"][0] for p in found if p["choices"][0]["index"] == index]
        assert "".join(choice["text"] for choice in own) == 'Hel"lo'
        assert [choice["finish_reason"] for choice in own] == [None, None, "stop"]


def test_a_failure_has_no_end_mark() -> None:
    """Nobody takes a broken stream for whole."""
    encoder = wire.encoder(reply())
    assert encoder.open(Usage()) == encoder.hold() == b""
    (only,) = pieces(encoder.failure(GatewayError("upstream_failed", "broke")))
    assert only["error"]["message"] == "broke"
