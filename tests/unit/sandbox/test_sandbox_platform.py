"""Surface A: what it answers, what it refuses, what it would drop in silence."""

from __future__ import annotations

import math
from typing import Any

import pytest
from org_desk import GPT, A, Desk, turns

CHAT = f"{A}/models/{GPT}/chat-generations"
EMBED = f"{A}/models/sfdc_ai__DefaultOpenAITextEmbeddingAda_002/embeddings"


async def test_chat(desk: Desk) -> None:
    """A chat answer has two ids, the text, a toxicity report with tiny scores, and usage."""
    response = await desk.send(
        CHAT,
        {"messages": turns("Say hello."), "localization": {"defaultLocale": "en_US"}, "tags": {}},
    )
    assert b"2.0E-5" in await response.read()
    told = await response.json()
    generation = told["generationDetails"]["generations"][0]
    assert told["id"] != generation["id"]
    assert generation["role"] == "assistant"
    assert generation["content"] == "Hello! This is the sandbox org speaking."
    assert generation["contentQuality"]["scanToxicity"]["isDetected"] is False
    assert generation["parameters"]["finish_reason"] == "stop"
    usage = told["generationDetails"]["parameters"]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (
        3,
        10,
        13,
    )
    assert desk.org.calls.count("chat-generations", GPT) == 1
    assert desk.org.violations == []


@pytest.mark.parametrize(
    ("model", "place", "key", "finish"),
    [
        ("GPT41", ("usage",), "completion_tokens", ("finish_reason", "stop")),
        (
            "BedrockAnthropicClaude45Haiku",
            ("usage",),
            "outputTokenCount",
            ("stop_reason", "end_turn"),
        ),
        ("VertexAIGemini35Flash", ("usage",), "candidatesTokenCount", ("finish_reason", "STOP")),
        ("BedrockAmazonNovaLite", (), "outputTokenCount", ("stop_reason", "end_turn")),
        (
            "BedrockNvidiaNemotronNano330b",
            ("usage",),
            "completion_tokens",
            ("finish_reason", "stop"),
        ),
    ],
)
async def test_families_spell_differently(
    desk: Desk, model: str, place: tuple[str, ...], key: str, finish: tuple[str, str]
) -> None:
    """Usage and the end of an answer are told in each provider's own words."""
    told = (await desk.chat(f"sfdc_ai__Default{model}", "Say hello."))[1]["generationDetails"]
    parameters = told["parameters"]
    for step in place:
        parameters = parameters[step]
    assert parameters[key] == 10
    assert told["generations"][0]["parameters"][finish[0]] == finish[1]


async def test_content_quality_may_be_null(desk: Desk) -> None:
    """Google's models give no quality report, NVIDIA's one without a scan."""
    reports = []
    for model in ("VertexAIGemini35Flash", "BedrockNvidiaNemotronNano330b"):
        told = (await desk.chat(f"sfdc_ai__Default{model}", "hi"))[1]
        reports.append(told["generationDetails"]["generations"][0]["contentQuality"])
    assert reports == [None, {"scanToxicity": None}]


async def test_reroute(desk: Desk) -> None:
    """A retired name answers, with another model's name in the answer."""
    status, told = await desk.chat("sfdc_ai__DefaultOpenAIGPT4", "hi")
    assert status == 200
    assert told["generationDetails"]["parameters"]["model"] == "gpt-4o-2024-08-06"


@pytest.mark.parametrize(
    ("body", "status", "message_code", "error_code"),
    [
        ({"messages": []}, 400, "E30002", "BAD_ARGUMENT"),
        ({}, 400, "E30002", "BAD_ARGUMENT"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            400,
            "E30020",
            "BAD_ARGUMENT",
        ),
        ({"messages": [{"role": "user", "content": None}]}, 400, "E30020", "BAD_ARGUMENT"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "E00001", "BAD_ARGUMENT"),
        ({"messages": "hi"}, 400, "E00001", "REQUIRED_FIELD_MISSING"),
        (b"{", 400, "E00001", "BAD_ARGUMENT"),
        (b"[]", 400, "E00001", "REQUIRED_FIELD_MISSING"),
        ({"messages": turns("x" * 501)}, 400, "E30036", "BAD_ARGUMENT"),
    ],
)
async def test_refusals(
    open_org: Any, body: Any, status: int, message_code: str, error_code: str
) -> None:
    """Bad bodies are refused with the codes that were seen in the wild."""
    desk = await open_org(character_cap=500)
    got, told = await desk.post(CHAT, body)
    assert (got, told["messageCode"], told["errorCode"]) == (status, message_code, error_code)


async def test_window(open_org: Any) -> None:
    """A prompt beyond the window is refused with both numbers, never cut."""
    desk = await open_org(window=10)
    status, told = await desk.chat(GPT, "x" * 44)
    assert (status, told["message"]) == (400, "prompt is too long: 11 tokens > 10 maximum")
    assert (await desk.chat(GPT, "x" * 40))[0] == 200


async def test_default_cap(desk: Desk) -> None:
    """Data masking's cap of 460,000 characters stands by default."""
    assert (await desk.chat(GPT, "x" * 460_000))[0] == 200
    assert (await desk.chat(GPT, "x" * 460_001))[1]["messageCode"] == "E30036"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"messages": turns("hi"), "temperature": 0, "tools": []}, "temperature, tools"),
        (
            {"messages": [{"role": "user", "content": "hi", "attachments": []}]},
            "messages[0].attachments",
        ),
    ],
)
async def test_strict(desk: Desk, body: Any, named: str) -> None:
    """In strict mode, what the service would drop in silence is refused, named and noted."""
    status, told = await desk.post(CHAT, body)
    assert (status, told["errorCode"]) == (400, "SANDBOX_STRICT")
    assert named in told["message"]
    assert desk.org.violations == [f"chat-generations: {named}"]


async def test_not_strict(open_org: Any) -> None:
    """Without strict mode unknown fields are dropped in silence, as the service does."""
    desk = await open_org(strict=False)
    body = {"messages": turns("hi"), "temperature": 0}
    assert (await desk.post(CHAT, body))[0] == 200
    assert desk.org.violations == []


async def test_multipart(desk: Desk) -> None:
    """A multipart body is an internal error that wraps a 415."""
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    status, told = await desk.post(CHAT, b"--x--", **kind)
    assert (status, told["messageCode"]) == (500, "E00077")
    assert "HTTP 415" in told["message"]


async def test_unknown_things(open_org: Any) -> None:
    """Unknown models are 404 and named; no list of models exists; an org can have models of its own."""
    desk = await open_org(models=("My_Config_12ab",))
    status, told = await desk.chat("no-such-model", "hi")
    assert (status, told["errorCode"]) == (404, "NOT_FOUND")
    assert "no-such-model" in told["message"]
    assert (await desk.chat("sandbox-no-such-fault", "hi"))[0] == 404
    assert (await desk.chat("My_Config_12ab", "hi"))[0] == 200
    async with desk.client.get(f"{A}/models") as response:
        assert (response.status, (await response.json())["errorCode"]) == (404, "NOT_FOUND")


async def test_generations(desk: Desk) -> None:
    """A single prompt is answered in the shape of `generations`."""
    path = f"{A}/models/{GPT}/generations"
    told = (await desk.post(path, {"prompt": "Say hello."}))[1]
    assert told["generation"]["generatedText"].startswith("Hello!")
    assert told["moreGenerations"] is None
    assert told["parameters"]["usage"]["total_tokens"] == 13
    for body in ({}, {"prompt": ""}):
        assert (await desk.post(path, body))[1]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert (await desk.post(path, {"prompt": "x", "n": 2}))[1]["errorCode"] == "SANDBOX_STRICT"


async def test_feedback(desk: Desk) -> None:
    """Feedback is accepted with 202."""
    told = await desk.post(f"{A}/feedback", {"id": "x", "feedback": "GOOD"})
    assert told == (202, {"message": "Feedback received, Thank you!"})
    assert (await desk.post(f"{A}/feedback", {"feedback": "MEH"}))[0] == 400


async def test_embeddings_follow_words(desk: Desk) -> None:
    """Embeddings are unit vectors of 1,536 numbers, deterministic, closer the more words are shared."""
    texts = [
        "capital of France",
        "Paris is the capital of France.",
        "green cheese",
        "",
        "capital of France",
    ]
    told = (await desk.post(EMBED, {"input": texts}))[1]
    vectors = [entry["embedding"] for entry in told["embeddings"]]
    assert [entry["index"] for entry in told["embeddings"]] == [0, 1, 2, 3, 4]
    assert {len(vector) for vector in vectors} == {1536}
    assert all(math.isclose(sum(x * x for x in vector), 1.0, rel_tol=1e-9) for vector in vectors)

    def likeness(a: int, b: int) -> float:
        return sum(x * y for x, y in zip(vectors[a], vectors[b], strict=True))

    assert vectors[0] == vectors[4]
    assert likeness(0, 1) > 0.6 > 0.1 > abs(likeness(0, 2))
    assert told["parameters"]["usage"]["total_tokens"] == 5 + 8 + 3 + 1 + 5


async def test_embeddings_refusals(open_org: Any) -> None:
    """Chat models do not embed, token ids are no texts, batches can be limited."""
    desk = await open_org(embedding_batch=2)
    assert (await desk.post(f"{A}/models/{GPT}/embeddings", {"input": ["x"]}))[0] == 404
    for texts in ([], [1, 2], "x", ["a", "b", "c"]):
        assert (await desk.post(EMBED, {"input": texts}))[0] == 400
    assert (await desk.post(EMBED, {"input": ["a"], "dimensions": 8}))[1][
        "errorCode"
    ] == "SANDBOX_STRICT"


@pytest.mark.parametrize(
    ("limit", "passed"),
    [
        ({"requests_per_minute": 2}, 2),
        ({"requests_per_hour": 3}, 3),
        ({"tokens_per_minute": 60}, 4),
    ],
)
async def test_rate_limits(open_org: Any, limit: dict[str, int], passed: int) -> None:
    """Over a limit comes 429 with LIMIT_EXCEEDED and no Retry-After, until the time is over."""
    desk = await open_org(**limit)
    now = [1000.0]
    desk.org.now = lambda: now[0]
    body = {"messages": [{"role": "user", "content": "hi"}]}
    assert len('{"messages": [{"role": "user", "content": "hi"}]}') == 49
    statuses = [(await desk.post(CHAT, body))[0] for _ in range(passed)]
    response = await desk.send(CHAT, body)
    assert (statuses, response.status) == ([200] * passed, 429)
    assert "Retry-After" not in response.headers
    assert (await response.json())["errorCode"] == "LIMIT_EXCEEDED"
    now[0] += 61 if "requests_per_hour" not in limit else 3601
    desk._token = ""
    assert (await desk.post(CHAT, body))[0] == 200


async def test_recorder(open_org: Any) -> None:
    """The org remembers the last requests in full, and counts all of them."""
    desk = await open_org(keep_requests=2)
    for text in ("one", "two", "three"):
        await desk.chat(GPT, text)
    assert [b"two" in record.body for record in desk.org.calls.last] == [True, False]
    assert [record.status for record in desk.org.calls.last] == [200, 200]
    assert desk.org.calls.count() == 4
    assert desk.org.calls.count(model=GPT) == 3
    assert desk.org.open_connections == 0
