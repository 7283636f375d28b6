"""The embeddings door over real sockets, on the sandbox org: order, forms, size, refusals, receipts."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import pytest
from speak import body_of, check_envelope

MODEL = "text-embedding-ada-002"
URL = "/v1/embeddings"


async def embed(bridge: Any, texts: Any, **more: Any) -> tuple[int, dict[str, Any], Any]:
    """Status, body and headers of one request."""
    headers = more.pop("headers", None)
    body = {"model": MODEL, "input": texts, **more}
    async with bridge.http.post(bridge.url + URL, json=body, headers=headers) as answer:
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        told = await answer.json()
        if answer.status != 200:
            check_envelope("openai", told, answer.headers)
        return answer.status, told, answer.headers


def calls(bridge: Any) -> int:
    return sum(n for (route, _), n in bridge.org.calls.counts.items() if route == "embeddings")


def cosine(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


async def vectors(bridge: Any, texts: list[str], **more: Any) -> list[list[float]]:
    status, told, _ = await embed(bridge, texts, **more)
    assert status == 200
    assert [item["index"] for item in told["data"]] == list(range(len(texts)))
    return [item["embedding"] for item in told["data"]]


async def test_texts_become_vectors(start: Any) -> None:
    """Each text has its vector, usage is the org's own, and the headers are those of every door."""
    bridge = await start()
    status, told, headers = await embed(bridge, ["one", "two words"])
    assert (status, told["object"], told["model"]) == (200, "list", MODEL)
    assert [len(item["embedding"]) for item in told["data"]] == [1536, 1536]
    assert told["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert headers["x-request-id"].startswith("req_")
    assert headers["x-sfbridge-ignored"] == ""
    assert bridge.org.violations == []


async def test_base64_and_floats_are_the_same_numbers(start: Any) -> None:
    """What an SDK unpacks from base64 is what it would have read as numbers."""
    bridge = await start()
    (floats,) = await vectors(bridge, ["Paris is the capital of France."])
    (packed,) = await vectors(bridge, ["Paris is the capital of France."], encoding_format="base64")
    numbers = struct.unpack("<1536f", base64.b64decode(packed))  # type: ignore[arg-type]
    assert max(abs(a - b) for a, b in zip(floats, numbers, strict=True)) < 1e-7


async def test_nearness_follows_shared_words(start: Any) -> None:
    """A search over the sandbox org's vectors finds the text that shares the most words with the question."""
    bridge = await start()
    library = [
        "Paris is the capital of France.",
        "Berlin is the capital of Germany.",
        "The cat sleeps on the warm stove.",
        "Invoices are paid within thirty days.",
    ]
    found = await vectors(bridge, library)
    for question, best in (
        ("capital of France", 0),
        ("what is the capital city of Germany", 1),
        ("where does the cat sleep? on the stove", 2),
        ("when are invoices paid", 3),
    ):
        (asked,) = await vectors(bridge, [question])
        near = [cosine(asked, vector) for vector in found]
        assert near.index(max(near)) == best
    words = [f"word{n}" for n in range(8)]
    (whole,) = await vectors(bridge, [" ".join(words)])
    parts = await vectors(bridge, [" ".join(words[:n]) for n in range(1, 9)])
    near = [cosine(whole, part) for part in parts]
    assert near == sorted(near)
    # n of eight words shared: the cosine of a bag of words is the root of n / 8
    assert all(abs(near[n - 1] - math.sqrt(n / 8)) < 1e-6 for n in range(1, 9))


async def test_many_texts_are_divided_and_keep_their_order(start: Any) -> None:
    """More texts than one call holds are asked for in several, and come back as one list."""
    bridge = await start(upstream={"embedding_batch": 7})
    texts = [f"text number {n}" for n in range(40)]
    found = await vectors(bridge, texts)
    assert calls(bridge) == 6
    assert found[23] == (await vectors(bridge, [texts[23]]))[0]
    assert len({tuple(vector) for vector in found}) == 40


async def test_a_refused_portion_goes_again_in_halves(start: Any) -> None:
    """An org that takes fewer texts at once than configured is met, and its limit is remembered."""
    bridge = await start(org={"embedding_batch": 3}, upstream={"embedding_batch": 8})
    texts = [f"text number {n}" for n in range(8)]
    status, told, _ = await embed(bridge, texts)
    assert (status, len(told["data"])) == (200, 8)
    assert calls(bridge) == 1 + 2 + 4
    again = (await embed(bridge, texts))[1]
    assert calls(bridge) == 7 + 4
    assert again["data"] == told["data"]
    assert again["usage"] == told["usage"]


@pytest.mark.parametrize(
    ("body", "status", "param", "word"),
    [
        ({"model": "gpt-4o"}, 400, "model", "text-embedding-ada-002"),
        ({"model": "text-embedding-4-small"}, 404, "model", "text-embedding-ada-002"),
        ({"dimensions": 256}, 400, "dimensions", "1536"),
        ({"input": [1, 2, 3]}, 400, "input", "check_embedding_ctx_length=False"),
        ({"input": []}, 400, "input", "at least one"),
    ],
)
async def test_refusals_say_what_to_do(
    start: Any, body: dict[str, Any], status: int, param: str, word: str
) -> None:
    """What cannot be done is refused before anything is asked of the org, with the way out."""
    bridge = await start()
    texts = body.pop("input", "x")
    found, told, _ = await embed(bridge, texts, **body)
    assert (found, told["error"]["param"]) == (status, param)
    assert word in told["error"]["message"]
    assert calls(bridge) == 0


async def test_the_models_own_size_may_be_asked_for(start: Any) -> None:
    """`dimensions` that change nothing are honoured."""
    bridge = await start()
    (vector,) = await vectors(bridge, ["x"], dimensions=1536)
    assert len(vector) == 1536


async def test_an_embeddings_model_does_not_chat(start: Any) -> None:
    """The reverse mistake is as clear."""
    bridge = await start()
    for wire, path in (("openai", "/v1/chat/completions"), ("anthropic", "/v1/messages")):
        async with bridge.http.post(bridge.url + path, json=body_of(wire, MODEL)) as answer:
            assert answer.status == 400
            assert "makes embeddings" in (await answer.json())["error"]["message"]


async def test_unknown_fields_are_named(start: Any) -> None:
    """What Salesforce cannot be told is reported, never sent."""
    bridge = await start()
    status, _, headers = await embed(bridge, "x", input_type="query", user="me")
    assert (status, headers["x-sfbridge-ignored"]) == (200, "input_type")
    assert bridge.org.violations == []


async def test_keys_hosts_and_types_are_checked_as_elsewhere(start: Any) -> None:
    """The door is as closed as the others."""
    bridge = await start(config={"keys": {"me": "right-key-1234"}})
    assert (await embed(bridge, "x"))[0] == 401
    right = {"Authorization": "Bearer right-key-1234"}
    assert (await embed(bridge, "x", headers=right))[0] == 200
    assert (await embed(bridge, "x", headers={**right, "Host": "evil.example"}))[0] == 403
    async with bridge.http.post(bridge.url + URL, data="x", headers=right) as answer:
        assert answer.status == 415
    async with bridge.http.get(bridge.url + URL, headers=right) as answer:
        assert answer.status == 405


async def test_a_rate_limit_that_passes_is_not_seen(start: Any) -> None:
    """429 is waited for with the chat's patience, and the receipt tells of it."""
    bridge = await start(config={"journal": {"contents": True}})
    status, _, headers = await embed(bridge, "x", model="sfdc_ai__Defaultsandbox-429-once")
    assert status == 200
    url = f"{bridge.url}/v1/sfbridge/turns/{headers['x-request-id']}"
    async with bridge.http.get(url) as answer:
        told = await answer.json()
    turn = told["turn"]
    assert (turn["wire"], turn["verdict"], turn["attempts"], turn["retries"]) == (
        "openai_embeddings",
        "whole",
        2,
        1,
    )
    assert (turn["upstream"], turn["input"], turn["contents"]["asked"]) == ("salesforce", 1, "x")
    assert "whole" in told["explanation"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [("429-ra", 429), ("500", 502), ("503", 503), ("bad-json", 502), ("200-json-error", 502), ("cut", 502), ("html", 502), ("403", 403)],
)  # fmt: skip
async def test_faults_have_their_status(start: Any, fault: str, status: int) -> None:
    """Whatever goes wrong behind, the client sees an error and never half of the vectors."""
    bridge = await start()
    found, told, _ = await embed(bridge, ["a", "b"], model=f"sfdc_ai__Defaultsandbox-{fault}")
    assert found == status
    assert told["error"]["message"]


async def test_a_well_known_name_is_answered_by_the_model_that_is_there(start: Any) -> None:
    """What n8n asks for unasked has an answer that says whose vectors they are; `strict` refuses it instead."""
    bridge = await start()
    status, told, headers = await embed(bridge, "one", model="text-embedding-3-small")
    assert (status, told["model"]) == (200, "text-embedding-3-small")
    assert headers["x-sfbridge-model"] == "salesforce/sfdc_ai__DefaultOpenAITextEmbeddingAda_002"
    strict = await start(config={"models": {"strict": True}})
    status, told, _ = await embed(strict, "one", model="text-embedding-3-small")
    assert status == 404
    assert "'text-embedding-ada-002'" in told["error"]["message"]
