"""An upstream that repeats whatever it was sent, secrets included: its words reach the client that asked, without the
secrets, and nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlsplit

import pytest
from aiohttp import ClientError, ClientSession, web
from canaries import written
from listening import listen
from local_bench import Hasty
from speak import EVERY_WIRE, PATHS, body_of

from sfbridge.config import Config, section
from sfbridge.hiding import Secrets
from sfbridge.log import JsonLines, Redaction
from sfbridge.server.app import create_app
from sfbridge.server.keys import SECRETS

UPSTREAM_KEY = "upstream-key/canary+77"
ALICE, BOB = "alice-key-canary-1", "bob-key-canary-2"
SECRET_FORMS = (UPSTREAM_KEY, quote_plus(UPSTREAM_KEY), ALICE, BOB)
# short, broken by lines, of other letters: nothing that a search for quotations could find
SAYING = "user: bob\npw: hunter2\npin: zq4711\n密码是春天"
WORDS = ("hunter2", "zq4711", "密码", "\\u5bc6", "HUNTER2")

# what is made of the key and the words that came
ECHOES: dict[str, Callable[[str, str], str]] = {
    "as it came": lambda key, said: f"bad request {key} {said}",
    "in capitals": lambda key, said: f"bad request {key} {said.upper()}",
    "on one line": lambda key, said: " ".join(f"bad request {key} {said}".split()),
    "as a form": lambda key, said: f"bad request {quote_plus(key)} {said}",
    "in pieces": lambda key, said: f"bad request {key} {' | '.join(said.split())}",
}


class Bench(NamedTuple):
    """A bridge, how its upstream answers, and the tables that a reload reads."""

    url: str
    app: web.Application
    http: ClientSession
    answer: dict[str, Any]
    tables: dict[str, Any]

    async def get(self, path: str, key: str = "") -> str:
        headers = {"x-api-key": key} if key else {}
        async with self.http.get(self.url + path, headers=headers) as answer:
            return await answer.text()


Begin = Callable[..., Coroutine[Any, Any, Bench]]


@pytest.fixture
async def bench() -> AsyncIterator[Begin]:
    """A bridge with two keys, before a server that answers with `answer["status"]` and `answer["make"]` of what it got."""
    async with AsyncExitStack() as stack:

        async def begin(**config: Any) -> Bench:
            answer: dict[str, Any] = {"status": 400, "make": ECHOES["as it came"]}
            upstream = web.Application()
            upstream.router.add_route("*", "/{path:.*}", echoing(answer))
            table = {
                "kind": "openai",
                "base_url": await listen(stack, upstream),
                "api_key": UPSTREAM_KEY,
                "profile": "generic",
                "connect_retry_seconds": 0,
            }
            tables: dict[str, Any] = {
                "sandbox": {"enabled": False},
                "models": {"default": "plain"},
                "upstream": {"local": table},
                "keys": {"alice": ALICE, "bob": BOB},
                **config,
            }

            def read() -> Config:
                return section(tables, Config, "")

            app = create_app(read(), clock=Hasty(), reread=read)
            url = await listen(stack, app)
            http = await stack.enter_async_context(ClientSession())
            return Bench(url, app, http, answer, tables)

        yield begin


def echoing(answer: dict[str, Any]) -> Any:
    async def echo(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"object": "list", "data": [{"id": "plain"}]})
        if "wait" in answer:
            await answer["wait"]()
        key = request.headers["Authorization"].removeprefix("Bearer ")
        said = json.loads(await request.read())["messages"][-1]["content"]
        text = answer["make"](key, said if isinstance(said, str) else said[0]["text"])
        odd = {"x-request-id": f"id {key}"}
        if answer.get("inside"):
            frames = f"data: {json.dumps({'error': {'message': text}})}\n\n"
            return web.Response(text=frames, content_type="text/event-stream", headers=odd)
        return web.json_response(
            {"error": {"message": text, "type": text, "code": text}},
            status=answer["status"],
            headers=odd,
        )

    return echo


async def asked(bench: Bench, wire: str, *, stream: bool = False) -> tuple[str, str]:
    """Alice's question: the id of her turn, and what she was told."""
    body = body_of(wire, "plain", SAYING, stream=stream)
    headers = {"x-api-key": ALICE}
    async with bench.http.post(bench.url + PATHS[wire], json=body, headers=headers) as answer:
        told = await answer.text()
        return answer.headers["x-request-id"], told + str(dict(answer.headers))


async def others_see(bench: Bench, turn: str) -> str:
    """What is told to whoever is not Alice, or to nobody in particular."""
    pages = ("turns", f"turns/{turn}", "stats")
    own = [f"/v1/sfbridge/{page}" for page in pages]
    guarded = [*own, "/metrics", "/v1/context", "/v1/models"]
    found = [await bench.get(path) for path in ("/readyz", "/healthz")]
    return "\n".join([*found, *[await bench.get(path, BOB) for path in guarded]])


def sings(text: str) -> list[str]:
    return [word for word in (*WORDS, *SECRET_FORMS) if word in text]


@pytest.mark.parametrize("form", [Redaction, JsonLines])
@pytest.mark.parametrize("wire", EVERY_WIRE)
@pytest.mark.parametrize("make", ECHOES)
async def test_an_echo_is_heard_by_nobody_else(
    bench: Begin, make: str, wire: str, form: type[Redaction]
) -> None:
    """However an upstream repeats a prompt in an error, the log, health, numbers and other keys' pages hold none of it."""
    on = await bench()
    on.answer["make"] = ECHOES[make]
    with written(form(on.app[SECRETS])) as log:
        for status in (400, 401, 404, 422, 500, 503):
            on.answer["status"] = status
            turn, told = await asked(on, wire)
            assert not any(secret in told for secret in SECRET_FORMS)
            assert sings(await others_see(on, turn)) == []
        on.answer.update(status=200, inside=True)
        turn, told = await asked(on, wire, stream=True)
        assert not any(secret in told for secret in SECRET_FORMS)
        assert sings(await others_see(on, turn)) == []
    assert sings(log.getvalue()) == []
    assert turn in log.getvalue()


async def test_a_padded_answer_keeps_no_secret(bench: Begin) -> None:
    """A failure that comes after spaces were sent is kept as clean as any other, also for its own key."""
    padded = {"pad_after": 0.01, "keep_alive": 0.01, "pad_clients": ["alice"]}
    on = await bench(journal={"contents": True}, stream=padded)
    on.answer["wait"] = partial(asyncio.sleep, 0.3)
    body = body_of("openai", "plain", SAYING)
    with pytest.raises(ClientError):
        async with on.http.post(
            on.url + PATHS["openai"], json=body, headers={"x-api-key": ALICE}
        ) as answer:
            assert answer.status == 200
            await answer.read()
    kept = await on.get("/v1/sfbridge/turns", ALICE)
    assert "[hidden]" in kept
    assert not any(secret in kept for secret in SECRET_FORMS)


async def test_contents_of_a_turn_under_way_go_with_the_others(bench: Begin) -> None:
    """A turn that was asked for while contents were kept, and ends after a reload turned them off, leaves none."""
    on = await bench(journal={"contents": True})
    reloaded = asyncio.Event()
    on.answer["wait"] = reloaded.wait
    asking = asyncio.create_task(asked(on, "openai"))
    async with asyncio.timeout(10):
        while not json.loads(await on.get("/v1/sfbridge/stats", ALICE))["running"]:
            await asyncio.sleep(0.01)
        on.tables["journal"] = {"contents": False}
        headers = {"x-api-key": ALICE}
        async with on.http.post(on.url + "/v1/sfbridge/reload", headers=headers) as answer:
            assert answer.status == 200
        reloaded.set()
        turn, _ = await asking
    assert sings(await on.get(f"/v1/sfbridge/turns/{turn}", ALICE)) == []


async def test_the_client_hears_it(bench: Begin) -> None:
    """The client that asked is told what the upstream said, so that it can act on it."""
    on = await bench()
    _, told = await asked(on, "openai")
    assert "The model server refused the request: bad request [hidden]" in told
    assert "hunter2" in told


async def test_kept_contents_are_their_own_keys(bench: Begin) -> None:
    """With journal.contents, Alice sees again what she was told; Bob does not, and a reload that turns contents off takes
    them away from her too."""
    on = await bench(journal={"contents": True})
    turn, _ = await asked(on, "openai")
    assert "hunter2" in await on.get(f"/v1/sfbridge/turns/{turn}", ALICE)
    assert sings(await others_see(on, turn)) == []
    on.tables["journal"] = {"contents": False}
    headers = {"x-api-key": ALICE}
    async with on.http.post(on.url + "/v1/sfbridge/reload", headers=headers) as answer:
        assert answer.status == 200
    assert sings(await on.get(f"/v1/sfbridge/turns/{turn}", ALICE)) == []


@pytest.mark.parametrize("wire", EVERY_WIRE)
async def test_faulty_arguments_are_not_quoted(start: Any, wire: str, tmp_path: Path) -> None:
    """A call that does not fit its schema is told with what was expected; what the model wrote stays out of receipt and
    log."""
    scenario = tmp_path / "pins.toml"
    scenario.write_text(
        '[[turn]]\n[[turn.call]]\nname = "vault"\narguments = { pin = "hunter2", nr = "zq4711" }\n'
    )
    bridge = await start(surface="platform", org={"scenario": str(scenario)})
    schema = {
        "type": "object",
        "properties": {"pin": {"enum": ["a", "b"]}, "nr": {"type": "integer"}},
    }
    tools: Any = [{"type": "function", "function": {"name": "vault", "parameters": schema}}]
    if wire == "anthropic":
        tools = [{"name": "vault", "input_schema": schema}]
    elif wire == "responses":
        tools = [{"type": "function", "name": "vault", "parameters": schema}]
    body = {**body_of(wire, "gpt-4o", "Open it."), "tools": tools}
    with written(JsonLines(Secrets())) as log:
        async with bridge.http.post(bridge.url + PATHS[wire], json=body) as answer:
            turn = answer.headers["x-request-id"]
            assert answer.status >= 400
            # the client learns what was wrong
            assert "hunter2" in await answer.text()
        async with bridge.http.get(f"{bridge.url}/v1/sfbridge/turns/{turn}") as answer:
            receipt = await answer.text()
    assert "/pin: expected one of" in receipt
    assert sings(receipt + log.getvalue()) == []


HEAD = b"Host: 127.0.0.1\r\nConnection: close\r\n"
RAW = {
    "a chunk that is none": b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    b'Content-Type: application/json\r\n\r\nzz\r\n{"messages":"hunter2 zq4711"}\r\n',
    "a control character": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: hunter2 \x01 zq4711\r\n\r\n",
    "a length that is none": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: hunter2\r\n\r\nzq4711",
    "a body of another encoding": b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Encoding: gzip\r\n"
    b"Content-Type: application/json\r\nContent-Length: 14\r\nConnection: close\r\n\r\nhunter2 zq4711",
    "a path with a line break": b"GET /nowhere/%0a03:00:00%20forged%1b%5d0;owned%07 HTTP/1.1\r\n"
    + HEAD
    + b"\r\n",
    "a name that is no text": b"GET /v1/models HTTP/1.1\r\nUser-Agent: x\xff\xfe\r\n"
    + HEAD
    + b"\r\n",
}


async def sent(url: str, data: bytes) -> bytes:
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(data)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("form", [Redaction, JsonLines])
@pytest.mark.parametrize("case", RAW)
async def test_no_bytes_break_or_forge_a_line(start: Any, case: str, form: type[Redaction]) -> None:
    """Whatever is sent, a line of the log is one line of visible characters, and quotes none of it."""
    bridge = await start()
    with written(form(bridge.app[SECRETS])) as log:
        await sent(bridge.url, RAW[case])
    text = log.getvalue()
    assert sings(text) == []
    assert all(line.isprintable() for line in text.split("\n"))
    assert not any(line.startswith("03:00:00") for line in text.split("\n"))
    assert "Traceback" not in text


async def test_a_name_that_is_no_text_breaks_no_page(start: Any) -> None:
    """A client whose name is bytes of no encoding is served, logged and shown like any other."""
    bridge = await start()
    body = json.dumps(body_of("openai", "gpt-4o")).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nUser-Agent: x\xff\xfe\r\n" + HEAD
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with written(JsonLines(Secrets())) as log:
        answer = await sent(bridge.url, head + body)
    assert b" 200 " in answer.split(b"\r\n")[0]
    assert all(json.loads(line) for line in log.getvalue().splitlines())
    for page in ("/v1/sfbridge/turns", "/v1/sfbridge/stats"):
        async with bridge.http.get(bridge.url + page) as found:
            assert found.status == 200
            assert await found.json()
