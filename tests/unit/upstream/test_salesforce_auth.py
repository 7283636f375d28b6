"""The org's token: minted once, renewed ahead, never in a loop."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from sfbridge.core.errors import GatewayError
from sfbridge.formats.salesforce import TokenAnswer
from sfbridge.upstream.base import Resources, Trace
from sfbridge.upstream.salesforce.auth import UNKNOWN_LIFE, Token, Tokens, lifetime
from sfbridge.upstream.salesforce.settings import Settings, check

WALL = 1_700_000_000.0


def jwt(payload: dict[str, Any], mark: str = "sig") -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'RS256', 'tnk': 'core/test/00D'})}.{part(payload)}.{mark}"


class Bench:
    """A token endpoint, a clock that is moved by hand, and the tokens under test."""

    def __init__(self) -> None:
        self.now = 50.0
        self.life = 1800.0
        self.mints = 0
        self.forms: list[dict[str, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.refusal: tuple[int, Any] | None = None
        self.fields: dict[str, Any] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.tokens: Tokens

    def wall(self) -> float:
        return WALL + self.now

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def mint(self, request: web.Request) -> web.Response:
        self.mints += 1
        self.asked.set()
        self.forms.append({k: str(v) for k, v in (await request.post()).items()})
        await self.gate.wait()
        if self.refusal is not None:
            status, body = self.refusal
            return web.json_response(body, status=status)
        token = jwt({"exp": self.wall() + self.life}, mark=f"s{self.mints}")
        return web.json_response({"access_token": token, "token_format": "jwt", **self.fields})

    async def idle(self) -> None:
        """Until the background work is done."""
        while self.tasks:
            await asyncio.gather(*self.tasks)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_post("/services/oauth2/token", bench.mint)
        server = TestServer(app)
        await server.start_server()
        stack.push_async_callback(server.close)
        session = await stack.enter_async_context(ClientSession())
        resources = Resources(session, lambda: bench.now, bench.wall, bench.spawn)
        settings = Settings(
            my_domain=f"http://127.0.0.1:{server.port}", client_id="an id&", client_secret="s=1 %"
        )
        bench.tokens = Tokens(check(settings, "sf", ""), settings, resources)
        yield bench
        bench.gate.set()
        for task in list(bench.tasks):
            task.cancel()
        await asyncio.gather(*bench.tasks, return_exceptions=True)


def mark(token: Token) -> str:
    return token.headers["Authorization"].rpartition(".")[2]


async def test_twenty_callers_share_one_mint(bench: Bench) -> None:
    """However many requests need the first token at once, one is minted."""
    bench.gate.clear()
    traces = [Trace() for _ in range(20)]
    callers = [asyncio.create_task(bench.tokens.current(trace)) for trace in traces]
    await bench.asked.wait()
    bench.gate.set()
    tokens = await asyncio.gather(*callers)
    assert bench.mints == 1
    assert {mark(token) for token in tokens} == {"s1"}
    assert [trace.auth_refreshes for trace in traces] == [1] * 20
    assert await bench.tokens.current(trace := Trace()) is tokens[0]
    assert trace.auth_refreshes == 0


async def test_id_and_secret_are_form_encoded(bench: Bench) -> None:
    """The grant, the id and the secret arrive as they are, special characters included."""
    await bench.tokens.current()
    assert bench.forms == [
        {"grant_type": "client_credentials", "client_id": "an id&", "client_secret": "s=1 %"}
    ]


async def test_a_caller_who_leaves_takes_nobodys_token_along(bench: Bench) -> None:
    """Cancelling the caller that began a mint leaves the others with their token."""
    bench.gate.clear()
    first = asyncio.create_task(bench.tokens.current())
    second = asyncio.create_task(bench.tokens.current())
    await bench.asked.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert first.cancelled()
    bench.gate.set()
    assert mark(await second) == "s1"
    assert bench.mints == 1


async def test_a_storm_of_401_mints_once(bench: Bench) -> None:
    """Ten requests whose token was refused get the same new one, whenever they come."""
    stale = await bench.tokens.current()
    bench.gate.clear()
    bench.asked.clear()
    renewals = [asyncio.create_task(bench.tokens.renew(stale, Trace())) for _ in range(10)]
    await bench.asked.wait()
    bench.gate.set()
    tokens = await asyncio.gather(*renewals)
    late = await bench.tokens.renew(stale, trace := Trace())
    assert bench.mints == 2
    assert {mark(token) for token in (*tokens, late)} == {"s2"}
    assert trace.auth_refreshes == 0


@pytest.mark.parametrize(
    ("life", "before", "after"),
    [(1800, 1499, 1501), (7140, 6839, 6841), (60, 47, 49)],
    ids=["5-min-ahead", "5-min-ahead-of-119", "80-percent-of-a-minute"],
)
async def test_a_token_is_refreshed_ahead(bench: Bench, life: int, before: int, after: int) -> None:
    """At the later of 80 % and five minutes before the end, a new token is fetched in the background."""
    bench.life = life
    first = await bench.tokens.current()
    bench.now += before
    assert await bench.tokens.current() is first
    assert bench.mints == 1
    bench.now += after - before
    assert await bench.tokens.current() is first, "nobody waits for a refresh ahead of time"
    await bench.idle()
    assert bench.mints == 2
    assert mark(await bench.tokens.current()) == "s2"


async def test_an_expired_token_is_not_given_out(bench: Bench) -> None:
    """After its end a token is replaced, and the request waits for that."""
    await bench.tokens.current()
    bench.now += 1801
    assert bench.tokens.held is None
    assert mark(await bench.tokens.current(trace := Trace())) == "s2"
    assert trace.auth_refreshes == 1


async def test_a_failed_refresh_ahead_harms_nobody(bench: Bench) -> None:
    """While the old token is good, a failing refresh is neither told nor repeated at once."""
    first = await bench.tokens.current()
    bench.now += 1550
    bench.refusal = (503, {})
    for _ in range(5):
        assert await bench.tokens.current() is first
        await bench.idle()
    assert bench.mints == 2
    assert bench.tokens.issued
    bench.refusal = None
    bench.now += 31
    await bench.tokens.current()
    await bench.idle()
    assert mark(await bench.tokens.current()) == "s3"


async def test_a_refused_login_is_told_and_not_repeated(bench: Bench) -> None:
    """A configuration fault reaches every caller after one question to the org."""
    bench.refusal = (
        400,
        {"error": "invalid_client", "error_description": "invalid client credentials"},
    )
    results = await asyncio.gather(
        *(bench.tokens.current() for _ in range(5)), return_exceptions=True
    )
    assert bench.mints == 1
    for result in results:
        assert isinstance(result, GatewayError)
        assert (result.kind, result.retriable) == ("upstream_login", False)
        assert "client_secret" in result.message
        assert "s=1 %" not in result.message


@pytest.mark.parametrize(
    "fields", [{"token_format": "opaque"}, {"access_token": "00Dxx!AQ.opaque"}]
)
async def test_an_opaque_token_is_explained(bench: Bench, fields: dict[str, Any]) -> None:
    """A token that the API would answer with 404 is refused here, with the switch to turn."""
    bench.fields = fields
    with pytest.raises(GatewayError, match="JWT-based access tokens") as caught:
        await bench.tokens.current()
    assert caught.value.kind == "upstream_login"


async def test_the_token_says_where_the_api_is(bench: Bench) -> None:
    """The API's address comes with the token; one that a token must not be sent to is not believed."""
    bench.fields = {"api_instance_url": "https://test.api.salesforce.com/"}
    assert (await bench.tokens.current()).api_url == "https://test.api.salesforce.com"
    bench.fields = {"api_instance_url": "http://elsewhere.example"}
    token = await bench.tokens.renew(await bench.tokens.current())
    assert token.api_url == "https://api.salesforce.com"


async def test_no_printed_form_holds_the_token(bench: Bench) -> None:
    """A token's repr shows neither it nor its header."""
    assert "Bearer" not in repr(await bench.tokens.current())


def test_lifetime_believes_exp_first() -> None:
    """The life is `exp`, else `issued_at` and `expires_in`, else 25 minutes."""
    issued = str(int(WALL * 1000))

    def life(claims: dict[str, Any], **fields: Any) -> float:
        return lifetime(TokenAnswer(access_token=jwt(claims), **fields), WALL + 100)

    assert life({"exp": WALL + 1900}, expires_in=7200) == 1800
    assert life({}, issued_at=issued, expires_in=7200) == 7100
    assert life({}, expires_in="3600") == 3600
    assert life({}) == UNKNOWN_LIFE
    assert life({}, issued_at="never", expires_in="soon") == UNKNOWN_LIFE
    assert life({"exp": WALL + 50}, issued_at=str(int((WALL - 1750) * 1000))) == 1800
    assert lifetime(TokenAnswer(access_token="a.!!!.c"), WALL) == UNKNOWN_LIFE
