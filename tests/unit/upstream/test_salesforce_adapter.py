"""The adapter as a whole, against a scripted org on a real socket."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import ChatRequest, Message, Sampling, TextPart, Thinking
from sfbridge.core.stream import Closed, Piece, Text
from sfbridge.formats.eventstream import encode_frame
from sfbridge.formats.sse import frame
from sfbridge.upstream import kind_of
from sfbridge.upstream.base import Call, Resources, Trace, Upstream

CLAUDE = "sfdc_ai__DefaultBedrockAnthropicClaude46Sonnet"
GPT = "sfdc_ai__DefaultGPT4Omni"
CHAT = "/ai/gpt/v1/chat/generations"
INVOKE = f"/ai/gpt/v1/model/{CLAUDE}/invoke"
PLATFORM = f"/einstein/platform/v1/models/{GPT}/chat-generations"
PROBED = "/ai/gpt/v1/chat/generations"

CHAT_OK = {"id": "c", "generation_details": {"generations": [{"content": "OK", "parameters": {"finish_reason": "stop"}}], "parameters": {"model": "gpt-4o-2024-11-20"}}}  # fmt: skip
INVOKE_OK = {"type": "message", "id": "m", "model": "claude-sonnet-4-6", "content": [{"type": "text", "text": "OK"}], "stop_reason": "end_turn"}  # fmt: skip
PLATFORM_OK = {"id": "p", "generationDetails": {"generations": [{"content": "OK"}], "parameters": {"model": "gpt-4o"}}}  # fmt: skip

Answer = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return answer


def fails(status: int, code: str = "NOT_FOUND") -> Answer:
    return says({"messageCode": "E1", "errorCode": code, "message": "no"}, status)


def streams(*chunks: bytes, kind: str, hold: asyncio.Event | None = None, gone: asyncio.Event | None = None) -> Answer:  # fmt: skip
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        try:
            for chunk in chunks:
                await response.write(chunk)
            if hold is not None:
                await hold.wait()
        except (asyncio.CancelledError, ConnectionError):
            if gone is not None:
                gone.set()
            raise
        return response

    return answer


def chunk(event: dict[str, Any]) -> bytes:
    data = base64.b64encode(json.dumps(event).encode()).decode()
    return encode_frame({":message-type": "event", ":event-type": "chunk"}, json.dumps({"bytes": data}).encode())  # fmt: skip


SSE_STREAM = (
    frame(json.dumps({"id": "c", "generation_details": {"generations": [{"content": "O"}], "parameters": {"model": "gpt-4o-2024-11-20"}}}).encode(), "generation"),
    frame(json.dumps({"generation_details": {"generations": [{"content": "K", "parameters": {"finish_reason": "stop"}}]}}).encode(), "generation"),
    frame(b"[DONE]", "generation"),
)  # fmt: skip
BINARY_STREAM = tuple(
    chunk(event)
    for event in (
        {"type": "message_start", "message": {"id": "m", "model": "claude-sonnet-4-6"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "OK"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    )
)
SSE_KIND = "text/event-stream"
BINARY_KIND = "application/vnd.amazon.eventstream"


class FakeOrg:
    """Answers each path by a list, the last entry for ever; counts and keeps what it was asked."""

    def __init__(self) -> None:
        self.now = 0.0
        self.mints = 0
        self.answers: dict[str, list[Answer]] = {PROBED: [says(CHAT_OK)]}
        self.asked: list[tuple[str, dict[str, Any], str]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.stack: AsyncExitStack
        self.url = ""
        self.session: ClientSession

    async def token(self, request: web.Request) -> web.Response:
        self.mints += 1
        claims = base64.urlsafe_b64encode(json.dumps({"exp": self.now + 1800}).encode()).decode()
        return web.json_response(
            {"access_token": f"h.{claims.rstrip('=')}.t{self.mints}", "api_instance_url": self.url}
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, await request.json(), request.headers["Authorization"]))
        assert request.headers["x-sfdc-app-context"] == "EinsteinGPT"
        assert request.headers["x-client-feature-id"] == "ai-platform-models-connected-app"
        assert request.headers["Content-Type"] == "application/json"
        rest = self.answers.get(request.path, [fails(404)])
        return await (rest.pop(0) if len(rest) > 1 else rest[0])(request)

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def connect(self, **settings: Any) -> Upstream:
        resources = Resources(self.session, lambda: self.now, lambda: self.now, self.spawn)
        kind = kind_of("salesforce")
        table = kind.settings(
            my_domain=self.url, client_id="i", client_secret="s", read_timeout=5.0, **settings
        )
        return await self.stack.enter_async_context(kind.connect("sf", table, resources))

    async def idle(self) -> None:
        while self.tasks:
            await asyncio.gather(*self.tasks)

    def count(self, path: str) -> int:
        return sum(asked == path for asked, _, _ in self.asked)


@pytest.fixture
async def org() -> AsyncIterator[FakeOrg]:
    org = FakeOrg()
    async with AsyncExitStack() as stack:
        org.stack = stack
        app = web.Application()
        app.router.add_post("/services/oauth2/token", org.token)
        app.router.add_post("/{rest:.*}", org.answer)
        server = TestServer(app)
        await server.start_server()
        stack.push_async_callback(server.close)
        org.url = f"http://127.0.0.1:{server.port}"
        org.session = await stack.enter_async_context(ClientSession())
        yield org
        for task in list(org.tasks):
            task.cancel()
        await asyncio.gather(*org.tasks, return_exceptions=True)


def call(model: str = GPT, *, stream: bool = False, **fields: Any) -> Call:
    request = ChatRequest(model=model, messages=(Message("user", (TextPart("hi"),)),), **fields)
    return Call(request=request, model=model, stream=stream, trace=Trace())


async def pieces_of(upstream: Upstream, asked: Call) -> list[Piece]:
    async with upstream.open(asked) as reception:
        return [piece async for batch in reception.pieces for piece in batch]


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Text))


# ---- which surface


async def test_an_org_with_the_gateway(org: FakeOrg) -> None:
    """One cheap call settles that the gateway answers; it is never asked again."""
    upstream = await org.connect()
    assert (await upstream.capabilities(GPT)).streams
    assert (await upstream.capabilities(CLAUDE)).images
    assert org.count(PROBED) == 1
    assert org.asked[0][1]["generation_settings"]["max_tokens"] == 16


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_an_org_without_the_gateway(org: FakeOrg, status: int) -> None:
    """Refused for two models, the gateway is taken to be off, and the platform surface is used."""
    org.answers = {PROBED: [fails(status)], INVOKE: [fails(status)], PLATFORM: [says(PLATFORM_OK)]}
    upstream = await org.connect()
    assert not (await upstream.capabilities(GPT)).native_tools
    asked = call()
    assert text(await pieces_of(upstream, asked)) == "OK"
    assert asked.trace.answered_by == "gpt-4o"
    assert set(org.asked[-1][1]) == {"messages"}


async def test_one_model_switched_off_decides_nothing(org: FakeOrg) -> None:
    """An org that lacks the first model of the probe still has the gateway."""
    org.answers = {PROBED: [fails(404)], INVOKE: [says(INVOKE_OK)]}
    assert (await (await org.connect()).capabilities(GPT)).streams


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_passing_failure_decides_nothing(org: FakeOrg, status: int) -> None:
    """A failure of the moment is told, and the next need asks again."""
    org.answers = {PROBED: [fails(status, "INTERNAL_ERROR"), says(CHAT_OK)]}
    upstream = await org.connect()
    with pytest.raises(GatewayError):
        await upstream.capabilities(GPT)
    assert (await upstream.capabilities(GPT)).streams


async def test_waiters_share_one_probe(org: FakeOrg) -> None:
    """However many requests wait for the surface, the org is asked once."""
    upstream = await org.connect()
    await asyncio.gather(*(upstream.capabilities(GPT) for _ in range(10)))
    assert (org.count(PROBED), org.mints) == (1, 1)


@pytest.mark.parametrize("surface", ["gateway", "platform"])
async def test_a_forced_surface_is_not_probed(org: FakeOrg, surface: str) -> None:
    """A surface from the settings costs no call; only a token is fetched at the start."""
    upstream = await org.connect(surface=surface)
    assert (await upstream.capabilities(GPT)).streams == (surface == "gateway")
    await org.idle()
    assert (org.asked, org.mints) == ([], 1)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_forced_gateway_that_is_missing_is_not_ready(org: FakeOrg, status: int) -> None:
    """The first refused call raises the question, for two models; until the gateway answers, health says what is wrong."""
    org.answers = {CHAT: [fails(status)], INVOKE: [fails(status)]}
    upstream = await org.connect(surface="gateway")
    await org.idle()
    assert (await upstream.health()).ready, "nothing speaks against it yet"
    with pytest.raises(GatewayError):
        await pieces_of(upstream, call())
    async with asyncio.timeout(5):
        while (health := await upstream.health()).ready:
            await asyncio.sleep(0.005)
    assert 'surface = "gateway"' in health.summary
    org.answers = {CHAT: [says(CHAT_OK)]}
    assert text(await pieces_of(upstream, call())) == "OK"
    assert (await upstream.health()).ready


async def test_a_refused_token_does_not_make_health_blink(org: FakeOrg) -> None:
    """While a token that the API refused is renewed, the org is as ready as before."""
    renewing, go_on = asyncio.Event(), asyncio.Event()

    async def refused(_: web.Request) -> web.StreamResponse:
        renewing.set()
        await go_on.wait()
        return web.json_response({"errorCode": "UNAUTHORIZED"}, status=401)

    org.answers = {CHAT: [refused, says(CHAT_OK)]}
    upstream = await org.connect(surface="gateway")
    await org.idle()
    asking = asyncio.create_task(pieces_of(upstream, call()))
    await renewing.wait()
    go_on.set()
    seen = set()
    while not asking.done():
        seen.add((await upstream.health()).ready)
        await asyncio.sleep(0)
    assert text(await asking) == "OK"
    assert (seen, org.mints) == ({True}, 2)


async def test_a_late_doubt_does_not_outweigh_an_answer(org: FakeOrg) -> None:
    """A call that is answered while the question after the gateway is under way settles it."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def late(_: web.Request) -> web.StreamResponse:
        asked.set()
        await go_on.wait()
        return web.json_response({"errorCode": "NOT_FOUND"}, status=404)

    org.answers = {CHAT: [fails(404), late, says(CHAT_OK)], INVOKE: [fails(404)]}
    upstream = await org.connect(surface="gateway")
    with pytest.raises(GatewayError):
        await pieces_of(upstream, call())
    await asked.wait()
    assert text(await pieces_of(upstream, call())) == "OK"
    go_on.set()
    async with asyncio.timeout(3):  # in doubt, it would ask again after some seconds
        await org.idle()
    assert (await upstream.health()).ready


async def test_one_refused_model_of_a_forced_gateway_is_about_the_model(org: FakeOrg) -> None:
    """A model that the org lacks does not put the gateway in doubt for longer than the question takes."""
    org.answers = {PROBED: [says(CHAT_OK)], INVOKE: [fails(404)]}
    upstream = await org.connect(surface="gateway")
    with pytest.raises(GatewayError):
        await pieces_of(upstream, call(CLAUDE))
    await org.idle()
    assert (await upstream.health()).ready
    assert org.count(PROBED) == 1


# ---- answers


@pytest.mark.parametrize(
    ("model", "stream", "path", "answer"),
    [
        (GPT, True, f"{CHAT}/stream", streams(*SSE_STREAM, kind=SSE_KIND)),
        (GPT, False, CHAT, says(CHAT_OK)),
        (CLAUDE, True, f"{INVOKE}-with-response-stream", streams(*BINARY_STREAM, kind=BINARY_KIND)),
        (CLAUDE, False, INVOKE, says(INVOKE_OK)),
    ],
)
async def test_both_dialects_in_both_modes(
    org: FakeOrg, model: str, stream: bool, path: str, answer: Answer
) -> None:
    """Each model is asked at its own path, and answers text and an end."""
    org.answers[path] = [answer]
    upstream = await org.connect(surface="gateway")
    asked = call(model, stream=stream)
    pieces = await pieces_of(upstream, asked)
    assert text(pieces) == "OK"
    assert isinstance(pieces[-1], Closed)
    assert pieces[-1].reason == "stop"
    assert asked.trace.answered_by in ("gpt-4o-2024-11-20", "claude-sonnet-4-6")
    assert org.count(path) == 1


@pytest.mark.parametrize(("model", "path"), [(GPT, f"{CHAT}/stream"), (CLAUDE, f"{INVOKE}-with-response-stream")])  # fmt: skip
async def test_an_error_under_a_200_is_raised_on_entering(
    org: FakeOrg, model: str, path: str
) -> None:
    """A JSON error where a stream should be is refused before anything was said, so it may be retried."""
    org.answers[path] = [says({"errorCode": "LIMIT_EXCEEDED", "messageCode": "E1", "message": "x"})]
    upstream = await org.connect(surface="gateway")
    with pytest.raises(GatewayError) as caught:
        async with upstream.open(call(model, stream=True)):
            pytest.fail("it was accepted")
    assert caught.value.kind == "rate_limited"


async def test_a_stream_without_its_end_fails(org: FakeOrg) -> None:
    """A body that ends in good order, but before the terminal mark, is a truncated answer."""
    org.answers[f"{CHAT}/stream"] = [streams(SSE_STREAM[0], kind=SSE_KIND)]
    upstream = await org.connect(surface="gateway")
    with pytest.raises(GatewayError) as caught:
        await pieces_of(upstream, call(stream=True))
    assert caught.value.code == "upstream_truncated"


async def test_leaving_a_stream_closes_the_upstream(org: FakeOrg) -> None:
    """A caller who leaves in mid-stream ends the upstream's work."""
    hold, gone = asyncio.Event(), asyncio.Event()
    org.answers[f"{CHAT}/stream"] = [streams(SSE_STREAM[0], kind=SSE_KIND, hold=hold, gone=gone)]
    upstream = await org.connect(surface="gateway")
    async with upstream.open(call(stream=True)) as reception:
        async for _ in reception.pieces:
            break
    async with asyncio.timeout(1):
        await gone.wait()


async def test_a_stall_is_a_timeout(org: FakeOrg) -> None:
    """Silence in mid-stream beyond the limit fails the answer."""
    hold = asyncio.Event()
    org.answers[f"{CHAT}/stream"] = [streams(SSE_STREAM[0], kind=SSE_KIND, hold=hold)]
    upstream = await org.connect(surface="gateway", stream_idle_timeout=0.05)
    with pytest.raises(GatewayError) as caught:
        await pieces_of(upstream, call(stream=True))
    assert caught.value.kind == "timeout"
    hold.set()


# ---- tokens and faults


async def test_a_401_is_met_with_one_token_and_one_repetition(org: FakeOrg) -> None:
    """A revoked token is renewed and the request repeated, which the trace tells."""
    org.answers[CHAT] = [fails(401, "INVALID_AUTH"), says(CHAT_OK)]
    upstream = await org.connect(surface="gateway")
    await org.idle()
    asked = call()
    assert text(await pieces_of(upstream, asked)) == "OK"
    assert (org.mints, org.count(CHAT), asked.trace.auth_refreshes) == (2, 2, 1)
    assert org.asked[0][2] != org.asked[1][2]


async def test_a_401_for_ever_ends(org: FakeOrg) -> None:
    """A second refusal is told as a login fault; nothing loops."""
    org.answers[CHAT] = [fails(401, "INVALID_AUTH")]
    upstream = await org.connect(surface="gateway")
    await org.idle()
    with pytest.raises(GatewayError) as caught:
        await pieces_of(upstream, call())
    assert (caught.value.kind, caught.value.retriable) == ("upstream_login", False)
    assert (org.mints, org.count(CHAT)) == (2, 2)


async def test_ten_401s_at_once_mint_once(org: FakeOrg) -> None:
    """Ten requests whose token is revoked together share one new token."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"].endswith(".t1"):
            return await fails(401, "INVALID_AUTH")(request)
        return await says(CHAT_OK)(request)

    org.answers[CHAT] = [answer]
    upstream = await org.connect(surface="gateway")
    await org.idle()
    answers = await asyncio.gather(*(pieces_of(upstream, call()) for _ in range(10)))
    assert [text(pieces) for pieces in answers] == ["OK"] * 10
    assert org.mints == 2


async def test_other_failures_are_not_repeated(org: FakeOrg) -> None:
    """Retries are the gateway's business: a 503 costs one call, and keeps Salesforce's ids."""
    org.answers[CHAT] = [says({}, 503, **{"x-request-id": "r-1", "Retry-After": "3"})]
    upstream = await org.connect(surface="gateway")
    asked = call()
    with pytest.raises(GatewayError) as caught:
        await pieces_of(upstream, asked)
    assert (caught.value.kind, caught.value.retry_after) == ("overloaded", 3.0)
    assert org.count(CHAT) == 1
    assert asked.trace.upstream_ids == ["x-request-id=r-1"]


async def test_a_404_after_an_answer_is_about_the_model(org: FakeOrg) -> None:
    """Before any answer a 404 has many causes, after one it has one."""
    other = call("sfdc_ai__Mine")
    org.answers[CHAT] = [fails(404), says(CHAT_OK), fails(404)]
    upstream = await org.connect(surface="gateway")
    codes = []
    for asked in (other, call(), other):
        try:
            await pieces_of(upstream, asked)
        except GatewayError as error:
            codes.append(error.code)
    assert codes == ["upstream_not_found", "model_not_found"]


# ---- what is reported


async def test_stripped_thinking_is_reported_in_the_clients_word(org: FakeOrg) -> None:
    """A request to think that is not passed on is listed under the client's own name for it."""
    org.answers[CHAT] = [says(CHAT_OK)]
    upstream = await org.connect(surface="gateway")
    asked = call(thinking=Thinking(effort="high"), words={"thinking": "reasoning_effort"}, sampling=Sampling(temperature=1.4))  # fmt: skip
    await pieces_of(upstream, asked)
    assert asked.trace.ignored == ["reasoning_effort", "temperature"]


async def test_adaptive_thinking_is_passed_on(org: FakeOrg) -> None:
    """With thinking on, Anthropic models get it, and the knobs that it excludes are reported."""
    org.answers[INVOKE] = [says(INVOKE_OK)]
    upstream = await org.connect(surface="gateway", thinking="adaptive")
    assert (await upstream.capabilities(CLAUDE)).thoughts
    assert not (await upstream.capabilities(GPT)).thoughts
    asked = call(CLAUDE, thinking=Thinking(), sampling=Sampling(temperature=0.3))
    await pieces_of(upstream, asked)
    assert org.asked[-1][1]["thinking"] == {"type": "adaptive"}
    assert asked.trace.ignored == ["temperature"]


async def test_the_output_limit(org: FakeOrg) -> None:
    """The client's limit is sent; without one the default, but never more than the model has."""
    haiku = "sfdc_ai__DefaultBedrockAnthropicClaude3Haiku"
    org.answers[f"/ai/gpt/v1/model/{haiku}/invoke"] = [says(INVOKE_OK)]
    org.answers[INVOKE] = [says(INVOKE_OK)]
    upstream = await org.connect(surface="gateway", default_max_output=9000)
    for asked in (call(haiku), call(CLAUDE), call(CLAUDE, max_output=7)):
        await pieces_of(upstream, asked)
    assert [body["max_tokens"] for _, body, _ in org.asked] == [4096, 9000, 7]


async def test_health_tells_the_facts(org: FakeOrg) -> None:
    """Not ready before the org was asked, ready afterwards, with facts fit for a public page."""
    upstream = await org.connect()
    before = await upstream.health()
    assert (before.ready, before.facts["surface"]) == (False, None)
    await org.idle()
    after = await upstream.health()
    assert after.ready
    assert after.facts == {"surface": "gateway", "token_expires_in": 1800, "sandbox": False, "org": "127.0.0.1"}  # fmt: skip
    org.now += 3600
    assert (await upstream.health()).ready, "an idle org whose token ran out is not out of order"
    await org.idle()
    assert (await upstream.health()).facts["token_expires_in"] == 1800
    assert org.count(PROBED) == 1


async def test_rerouted_names_are_warned_of_once(
    org: FakeOrg, caplog: pytest.LogCaptureFixture
) -> None:
    """An old name answers, and the log says once that another model does."""
    old = "sfdc_ai__DefaultOpenAIGPT4"
    org.answers[CHAT] = [says(CHAT_OK)]
    upstream = await org.connect(surface="gateway")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            await pieces_of(upstream, call(old))
    assert len([line for line in caplog.messages if old in line]) == 1
