"""The token endpoint, and what a bearer is worth at the doors of the API."""

from __future__ import annotations

import base64
import json

import pytest
from org_desk import GPT, A, Desk

CHAT = f"{A}/models/{GPT}/chat-generations"
HELLO = {"messages": [{"role": "user", "content": "Say hello."}]}


def part(token: str, place: int) -> dict[str, object]:
    data = token.split(".")[place]
    found = json.loads(base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)))
    assert isinstance(found, dict)
    return found


async def test_token_is_a_real_jwt(desk: Desk) -> None:
    """A token has three parts, the tenant key in its header and its expiry in its payload."""
    desk.org.now = lambda: 1000.5
    status, told = await desk.mint()
    assert status == 200
    assert part(told["access_token"], 0)["tnk"].startswith("core/")
    assert part(told["access_token"], 1)["exp"] == 2800
    assert told["token_format"] == "jwt"
    assert told["issued_at"] == "1000500"
    assert told["api_instance_url"] == str(desk.client.make_url("")).rstrip("/")
    assert "expires_in" not in told
    assert desk.org.token_mints == 1
    assert desk.org.calls.count("token") == 1


async def test_base_url_is_what_the_caller_wants(desk: Desk) -> None:
    """A configured base URL replaces the one that the client used."""
    desk.org.base_url = "http://org.example"
    assert (await desk.mint())[1]["instance_url"] == "http://org.example"


@pytest.mark.parametrize(
    ("kind", "error", "description"),
    [
        ("unknown-client", "invalid_client_id", "client identifier invalid"),
        ("no-such-kind", "invalid_client_id", "client identifier invalid"),
        ("wrong-secret", "invalid_client", "invalid client credentials"),
        ("no-run-as", "invalid_grant", "no client credentials user enabled"),
        ("wrong-domain", "invalid_grant", "request not supported on this domain"),
        ("authentication", "invalid_grant", "authentication failure"),
        ("not-approved", "invalid_grant", "user hasn't approved this consumer"),
        (
            "not-admin-approved",
            "invalid_app_access",
            "user is not admin approved to access this app",
        ),
        ("flow-off", "unsupported_grant_type", "grant type not supported"),
        ("flow-not-enabled", "invalid_request", "client credentials flow not enabled"),
        ("retry", "unknown_error", "retry your request"),
    ],
)
async def test_denials_are_selectable(desk: Desk, kind: str, error: str, description: str) -> None:
    """Every known denial of the token endpoint has a client id of its own."""
    told = await desk.mint(f"sandbox-client-{kind}")
    assert told == (400, {"error": error, "error_description": description})


async def test_denial_of_wrong_forms(desk: Desk) -> None:
    """Wrong secrets, other grants and other content types are denied with an OAuth error."""
    assert (await desk.mint(client_secret="wrong"))[1]["error"] == "invalid_client"
    assert (await desk.mint("who-is-that"))[1]["error"] == "invalid_client_id"
    assert (await desk.mint(grant_type="password"))[1]["error"] == "unsupported_grant_type"
    async with desk.client.post("/services/oauth2/token", json={}) as response:
        assert (response.status, (await response.json())["error"]) == (400, "invalid_request")


async def test_transient_denials(desk: Desk) -> None:
    """`retry-once` grants on the second try; `unavailable` and `html` are no OAuth answers at all."""
    assert (await desk.mint("sandbox-client-retry-once"))[0] == 400
    assert (await desk.mint("sandbox-client-retry-once"))[0] == 200
    assert (await desk.mint("sandbox-client-unavailable"))[0] == 503
    status, text = await desk.mint("sandbox-client-html")
    assert status == 502
    assert text.startswith("<html>")


async def test_basic_credentials(desk: Desk) -> None:
    """Id and secret may come as HTTP Basic."""
    basic = base64.b64encode(b"sandbox-client:sandbox-secret").decode()
    data = {"grant_type": "client_credentials"}
    for authorization, status in ((f"Basic {basic}", 200), ("Basic !!!", 400)):
        headers = {"Authorization": authorization}
        async with desk.client.post(
            "/services/oauth2/token", data=data, headers=headers
        ) as response:
            assert response.status == status


@pytest.mark.parametrize(
    ("bearer", "status", "code"),
    [
        ("", 401, "INVALID_AUTH"),
        ("Basic abc", 401, "INVALID_AUTH"),
        ("Bearer a.b.c", 401, "INVALID_AUTH"),
        ("Bearer ü.b.c", 401, "INVALID_AUTH"),
        ("Bearer 00D!opaque", 404, "NOT_FOUND"),
    ],
)
async def test_bad_bearers(desk: Desk, bearer: str, status: int, code: str) -> None:
    """No bearer or garbage is a 401; a token that is no JWT is a 404."""
    got, told = await desk.post(CHAT, HELLO, Authorization=bearer)
    assert (got, told["errorCode"]) == (status, code)


@pytest.mark.parametrize(
    ("kind", "status"), [("opaque", 404), ("no-scope", 404), ("revoked", 401), ("expires-in", 200)]
)
async def test_kinds_of_tokens(desk: Desk, kind: str, status: int) -> None:
    """Client ids choose tokens that are opaque, lack the scope, are revoked, or tell their life."""
    told = (await desk.mint(f"sandbox-client-{kind}"))[1]
    bearer = f"Bearer {told['access_token']}"
    assert (await desk.post(CHAT, HELLO, Authorization=bearer))[0] == status
    assert told.get("expires_in") == (1800 if kind == "expires-in" else None)
    assert told["token_format"] == ("opaque" if kind == "opaque" else "jwt")


async def test_expiry(desk: Desk) -> None:
    """A token passes until its life is over, and no longer."""
    now = [1000.0]
    desk.org.now = lambda: now[0]
    bearer = f"Bearer {(await desk.mint('sandbox-client-short'))[1]['access_token']}"
    assert (await desk.post(CHAT, HELLO, Authorization=bearer))[0] == 200
    now[0] += 2.0
    assert (await desk.post(CHAT, HELLO, Authorization=bearer))[0] == 401


async def test_revoked_early(open_org) -> None:
    """With `token_uses` a token dies after that many requests, though it has not expired."""
    desk = await open_org(token_uses=2)
    assert [(await desk.post(CHAT, HELLO))[0] for _ in range(3)] == [200, 200, 401]


async def test_token_settings(open_org) -> None:
    """Life, opaque tokens and `expires_in` can also be set for the whole org."""
    desk = await open_org(token_opaque=True, token_expires_in=True, token_life_seconds=60)
    told = (await desk.mint())[1]
    assert "." not in told["access_token"]
    assert told["expires_in"] == 60


@pytest.mark.parametrize("name", ["x-sfdc-app-context", "x-client-feature-id"])
async def test_both_headers_are_required(desk: Desk, name: str) -> None:
    """A request without one of the two reserved headers is refused, and the header is named."""
    status, told = await desk.post(CHAT, HELLO, **{name: ""})
    assert status == 400
    assert told["targets"] == [{"type": "HTTP_HEADER", "reference": name}]


@pytest.mark.parametrize("bearer", ["good", "bad"])
async def test_trace_headers(desk: Desk, bearer: str) -> None:
    """Every answer of the API, also a refusal, carries the ids that support asks for."""
    headers = {} if bearer == "good" else {"Authorization": "Bearer a.b.c"}
    first, second = [await desk.send(CHAT, HELLO, **headers) for _ in range(2)]
    assert len(first.headers["x-request-id"]) == 36
    assert len(first.headers["x-b3-traceid"]) == 32
    assert len(first.headers["x-b3-spanid"]) == 16
    assert int(first.headers["x-envoy-upstream-service-time"]) >= 0
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
