"""Embeddings of an OpenAI-compatible server that misbehaves: all vectors, each at its text's place, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientSession, web
from local_bench import Hasty

from sfbridge.config import Config, section
from sfbridge.server.app import create_app
from tests.fakes.embeddings_server import SIZE, EmbeddingsServer, vector

LIMITED = (429, {"error": {"message": "slow down", "type": "rate_limit", "code": None}})


class Desk:
    def __init__(self, url: str, server: EmbeddingsServer, http: ClientSession) -> None:
        self.url, self.server, self.http = url, server, http

    async def ask(self, texts: Any, **more: Any) -> tuple[int, dict[str, Any]]:
        body = {"model": "tiny-embed", "input": texts, **more}
        async with self.http.post(self.url + "/v1/embeddings", json=body) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def open_desk() -> AsyncIterator[Any]:
    """Starts an embeddings server and a bridge in front of it."""
    async with AsyncExitStack() as stack:

        async def serve(app: web.Application) -> str:
            runner = web.AppRunner(
                app, handler_cancellation=True, shutdown_timeout=0.2, access_log=None
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return f"http://127.0.0.1:{runner.addresses[0][1]}"

        async def begin(server: EmbeddingsServer, **upstream: Any) -> Desk:
            table = {"kind": "openai", "base_url": await serve(server.app()), **upstream}
            tables = {
                "sandbox": {"enabled": False},
                "models": {"default": ""},
                "upstream": {"local": {"connect_retry_seconds": 0, **table}},
            }
            url = await serve(create_app(section(tables, Config, ""), clock=Hasty()))
            return Desk(url, server, await stack.enter_async_context(ClientSession()))

        yield begin


def found(told: dict[str, Any]) -> list[list[float]]:
    assert [item["index"] for item in told["data"]] == list(range(len(told["data"])))
    return [item["embedding"] for item in told["data"]]


async def test_vectors_come_in_the_order_of_the_texts(open_desk: Any) -> None:
    """Portions run side by side within a bound, and answers in any order end at their places."""
    desk = await open_desk(EmbeddingsServer(), embedding_batch=3)
    desk.server.plan = [lambda answer: {**answer, "data": answer["data"][::-1]}] * 20
    texts = [f"text {n}" for n in range(40)]
    status, told = await desk.ask(texts)
    assert (status, found(told)) == (200, [vector(text) for text in texts])
    assert told["usage"]["prompt_tokens"] == sum(map(len, texts))
    assert len(desk.server.asked) == 14
    assert 1 <= desk.server.most_open <= 4


async def test_the_upstreams_own_name_asks_the_server(open_desk: Any) -> None:
    """Where nobody says what a model is for, the server decides."""
    desk = await open_desk(EmbeddingsServer())
    assert (await desk.ask("x", model="local"))[0] == 200
    assert (await desk.ask("x", model="local/tiny-embed"))[0] == 200
    assert desk.server.asked[-1] == {"model": "tiny-embed", "input": ["x"]}


async def test_dimensions_are_honoured_or_refused(open_desk: Any) -> None:
    """A server that shortens does; the vectors of one that passes the wish over are not handed on."""
    desk = await open_desk(EmbeddingsServer(shortens=True))
    status, told = await desk.ask(["a", "b"], dimensions=4)
    assert (status, found(told)) == (200, [vector("a", 4), vector("b", 4)])
    desk.server.shortens = False
    status, told = await desk.ask(["a", "b"], dimensions=4)
    assert (status, told["error"]["param"]) == (400, "dimensions")
    assert f"{SIZE} numbers, not of 4" in told["error"]["message"]


async def test_unknown_fields_reach_a_server_of_the_dialect(open_desk: Any) -> None:
    """Fields that only the server knows pass through."""
    desk = await open_desk(EmbeddingsServer(fields=frozenset(("input_type",))))
    assert (await desk.ask("x", input_type="query"))[0] == 200
    assert desk.server.asked[-1]["input_type"] == "query"


async def test_usage_that_nobody_told_is_marked(open_desk: Any) -> None:
    """An estimate says that it is one, also when only one portion lacked the number."""
    desk = await open_desk(EmbeddingsServer(), embedding_batch=1)
    desk.server.plan = [None, lambda answer: {k: v for k, v in answer.items() if k != "usage"}]
    status, told = await desk.ask(["abcdefgh", "abcdefgh"])
    assert status == 200
    assert told["usage"] == {"prompt_tokens": 8 + 2, "total_tokens": 10, "estimated": True}


async def test_a_refused_portion_is_halved_and_its_size_learnt(open_desk: Any) -> None:
    """A limit on texts is found by trying, once."""
    desk = await open_desk(EmbeddingsServer(batch=2), embedding_batch=8)
    texts = [f"text {n}" for n in range(8)]
    for asked in (7, 4):
        desk.server.asked.clear()
        status, told = await desk.ask(texts)
        assert (status, found(told)) == (200, [vector(text) for text in texts])
        assert len(desk.server.asked) == asked


async def test_one_text_too_long_is_named(open_desk: Any) -> None:
    """When halving ends at a text that is refused alone, the error says which, and nothing is learnt from it."""
    desk = await open_desk(EmbeddingsServer(longest=10))
    status, told = await desk.ask(["a", "b", "c" * 11, "d"])
    assert (status, told["error"]["param"]) == (400, "input[2]")
    assert "too long" in told["error"]["message"]
    desk.server.asked.clear()
    assert (await desk.ask(["a", "b", "c", "d"]))[0] == 200
    assert len(desk.server.asked) == 1


async def test_a_rate_limit_is_waited_for(open_desk: Any) -> None:
    """429 and then success is success; the portions that passed are not asked for again."""
    desk = await open_desk(EmbeddingsServer(), embedding_batch=1)
    desk.server.plan = [None, LIMITED, None, LIMITED]
    texts = ["a", "b", "c"]
    status, told = await desk.ask(texts)
    assert (status, found(told)) == (200, [vector(text) for text in texts])
    assert len(desk.server.asked) == 5


async def test_a_rate_limit_that_stays_is_told(open_desk: Any) -> None:
    """After three attempts the client hears of it."""
    desk = await open_desk(EmbeddingsServer())
    desk.server.plan = [LIMITED] * 5
    status, told = await desk.ask("x")
    assert (status, told["error"]["type"]) == (429, "rate_limit_error")
    assert len(desk.server.asked) == 3


def _items(change: Any) -> Any:
    return lambda answer: {**answer, "data": change(answer["data"])}


BROKEN: dict[str, Any] = {
    "too few": _items(lambda data: data[:-1]),
    "too many": _items(lambda data: [*data, {**data[0], "index": len(data)}]),
    "none": _items(lambda data: []),
    "one index twice": _items(lambda data: [data[0], {**data[1], "index": 0}]),
    "an index too large": _items(lambda data: [data[0], {**data[1], "index": 7}]),
    "sizes differ": _items(lambda data: [data[0], {**data[1], "embedding": [1.0]}]),
    "empty vectors": _items(lambda data: [{**item, "embedding": []} for item in data]),
    "texts for numbers": _items(lambda data: [{**item, "embedding": "AAAA"} for item in data]),
    "no list": lambda answer: {"object": "list"},
    "an error under a 200": lambda answer: {"error": {"message": "broke down", "type": "x"}},
    "no object": lambda answer: [1, 2],
}


@pytest.mark.parametrize("way", BROKEN)
async def test_a_broken_answer_is_a_visible_failure(open_desk: Any, way: str) -> None:
    """Vectors that may be somebody else's never leave."""
    desk = await open_desk(EmbeddingsServer())
    desk.server.plan = [BROKEN[way]]
    status, told = await desk.ask(["a", "b"])
    assert (status, told["error"]["type"]) == (502, "server_error")
    assert len(desk.server.asked) == 1


async def test_one_failing_portion_fails_all_and_stops_the_rest(open_desk: Any) -> None:
    """Nothing is asked any longer for vectors that nobody will get."""
    desk = await open_desk(EmbeddingsServer(), embedding_batch=1)
    desk.server.plan = [None, (500, {"error": {"message": "broke", "type": "x"}})]
    status, _ = await desk.ask([f"text {n}" for n in range(40)])
    assert status == 502
    assert len(desk.server.asked) < 20
    assert desk.server.open == 0


async def test_a_counted_place_is_one_call_at_a_time(open_desk: Any) -> None:
    """An upstream that takes one call at a time gets one, and the portions do not crowd each other out."""
    desk = await open_desk(EmbeddingsServer(), embedding_batch=1, in_flight=1, queue=0)
    status, _ = await desk.ask(["a", "b", "c", "d"])
    assert (status, len(desk.server.asked), desk.server.most_open) == (200, 4, 1)


async def test_leaving_cancels_every_call(open_desk: Any) -> None:
    """A client that goes away stops all calls under way, and none follows."""
    server = EmbeddingsServer(hold=asyncio.Event())
    desk = await open_desk(server, embedding_batch=1)
    asking = asyncio.create_task(desk.ask([f"text {n}" for n in range(9)]))
    await _until(lambda: server.open == 4)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await _until(lambda: server.left == 4 and not server.open)
    assert len(server.asked) == 4


async def _until(condition: Any) -> None:
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.005)
