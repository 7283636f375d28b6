"""The dashboard over real sockets: what it shows, to whom, and that it ends when the server does."""

from __future__ import annotations

import asyncio
import re
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from aiohttp import ClientResponse, ClientSession, CookieJar
from local_bench import Begin
from speak import PATHS, body_of

from sfbridge.core.statistics import Stats
from sfbridge.server.board import UpstreamLook, troubles
from tests.fakes.openai_server import Server

HTML = {"Accept": "text/html,application/xhtml+xml"}
KEYS = {"laptop": "a-secret-of-some-length"}


async def next_look(response: ClientResponse) -> dict[str, Any]:
    """The next message of a feed."""
    data = b""
    async for line in response.content:
        if line.startswith(b"data: "):
            data += line[6:]
        elif not line.strip() and data:
            break
    found: dict[str, Any] = msgspec.json.decode(data)
    return found


async def look_now(bridge: Any) -> dict[str, Any]:
    """The first message of a new feed."""
    async with bridge.http.get(bridge.url + "/dashboard/feed") as feed:
        return await next_look(feed)


async def ask(bridge: Any, text: str = "hello", **headers: str) -> str:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    async with bridge.http.post(
        bridge.url + "/v1/chat/completions", json=body, headers=headers
    ) as response:
        assert response.status == 200
        await response.read()
        return str(response.headers["x-request-id"])


async def test_a_browser_gets_the_page_and_a_probe_its_line(start: Any) -> None:
    """`/` is the dashboard for whoever accepts HTML, and stays the start-up probe for all others."""
    bridge = await start()
    async with bridge.http.get(bridge.url + "/", headers=HTML) as response:
        page = await response.text()
        policy = response.headers["Content-Security-Policy"]
    assert response.status == 200
    assert "<title>sfbridge</title>" in page
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    async with bridge.http.get(bridge.url + "/") as response:
        assert (await response.text()).startswith("sfbridge ")
    async with bridge.http.head(bridge.url + "/") as response:
        assert response.status == 200


async def test_every_file_of_the_page_is_served_from_here(start: Any) -> None:
    """The page names no foreign host and nothing inline, and each file that it or its scripts name is there."""
    bridge = await start()
    folder = files("sfbridge").joinpath("static")
    names = {item.name for item in folder.iterdir()}
    page = folder.joinpath("dashboard.html").read_text()
    scripts = "".join(folder.joinpath(n).read_text() for n in names if n.endswith(".js"))
    named = set(re.findall(r'(?:href|src)="dashboard/([^"]+)"', page))
    named |= set(re.findall(r'from "\./([^"]+)"', scripts))
    assert named == names - {"dashboard.html"}
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page + scripts)
    assert not re.search(r"<style|style=|<script>|\son\w+=|innerHTML|eval\(", page + scripts)
    for name in named:
        async with bridge.http.get(f"{bridge.url}/dashboard/{name}") as response:
            assert response.status == 200, name
            assert await response.read() == folder.joinpath(name).read_bytes()
    async with bridge.http.get(bridge.url + "/dashboard/../config.py") as response:
        assert response.status == 404


async def test_the_feed_tells_of_each_turn_once(start: Any) -> None:
    """A watcher sees the turns before it came, then each new one, with numbers that agree."""
    bridge = await start()
    first = await ask(bridge)
    async with bridge.http.get(bridge.url + "/dashboard/feed") as feed:
        assert feed.headers["Content-Type"].startswith("text/event-stream")
        look = await next_look(feed)
        assert [turn["id"] for turn in look["turns"]] == [first]
        assert look["ready"] is True
        assert look["stats"]["overall"]["turns"] == 1
        assert look["upstreams"]["salesforce"]["facts"]["surface"] == "gateway"
        second = await ask(bridge)
        look = await next_look(feed)
        while not look["turns"]:
            look = await next_look(feed)
        assert [turn["id"] for turn in look["turns"]] == [second]
        assert look["turns"][0]["verdict"] == "whole"


async def test_a_turn_is_shown_with_its_story_and_without_what_was_said(start: Any) -> None:
    """The details are the receipt in words; contents stay out unless the configuration keeps them."""
    bridge = await start()
    name = await ask(bridge, "the moon is made of cheese")
    async with bridge.http.get(f"{bridge.url}/dashboard/turns/{name}") as response:
        text = await response.text()
    told = msgspec.json.decode(text)
    assert told["turn"]["id"] == name
    assert any("The answer was whole" in line for line in told["story"])
    assert "cheese" not in text
    async with bridge.http.get(bridge.url + "/dashboard/turns/req_none") as response:
        assert response.status == 404


async def test_with_keys_the_dashboard_asks_for_one(start: Any) -> None:
    """Nothing is shown without a key; a key buys a cookie that scripts cannot read and other sites cannot use."""
    bridge = await start(config={"keys": KEYS})
    name = await ask(bridge, Authorization="Bearer " + KEYS["laptop"])
    async with ClientSession() as browser:
        for path in ("feed", "open", f"turns/{name}"):
            async with browser.get(f"{bridge.url}/dashboard/{path}") as response:
                assert response.status == 401, path
        async with browser.get(bridge.url + "/", headers=HTML) as response:
            assert response.status == 200
        enter = bridge.url + "/dashboard/enter"
        async with browser.post(enter, json={"key": "not a key"}) as response:
            assert response.status == 401
            assert "Set-Cookie" not in response.headers
        async with browser.post(enter, json=["no"]) as response:
            assert response.status == 400
        async with browser.post(enter, json={"key": KEYS["laptop"]}) as response:
            assert response.status == 200
            cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert KEYS["laptop"] not in cookie
        own = {"Cookie": cookie.partition(";")[0]}
        async with browser.get(f"{bridge.url}/dashboard/turns/{name}", headers=own) as response:
            assert response.status == 200
    other = await start(config={"keys": KEYS})
    async with (
        ClientSession() as browser,
        browser.get(other.url + "/dashboard/open", headers=own) as response,
    ):
        assert response.status == 401


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via"])
async def test_the_dashboard_is_for_this_machine(start: Any, header: str) -> None:
    """Behind a proxy everybody would look local, so nothing is shown there."""
    bridge = await start()
    for path in ("/", "/dashboard/feed", "/dashboard/open", "/dashboard/dashboard.js"):
        async with bridge.http.get(
            bridge.url + path, headers={**HTML, header: "1.2.3.4"}
        ) as response:
            assert response.status == 403, path


async def test_a_foreign_page_cannot_look(start: Any) -> None:
    """Neither a rebound host name nor another origin gets at the feed."""
    bridge = await start()
    feed = bridge.url + "/dashboard/feed"
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        async with bridge.http.get(feed, headers=headers) as response:
            assert response.status == 403


async def test_the_feed_ends_when_the_configuration_is_replaced(start: Any) -> None:
    """A dashboard holds no old configuration open; its browser simply asks again."""
    bridge = await start()
    async with bridge.http.get(bridge.url + "/dashboard/feed") as feed:
        await next_look(feed)
        async with bridge.http.post(bridge.url + "/v1/sfbridge/reload") as response:
            assert response.status == 200
        await ask(bridge)
        async with asyncio.timeout(10):
            while await feed.content.readany():
                pass
    async with bridge.http.get(bridge.url + "/dashboard/feed") as feed:
        assert (await next_look(feed))["ready"] is True


async def test_a_stopping_server_ends_its_feeds_at_once(start: Any) -> None:
    """An open dashboard does not hold up the end."""
    bridge = await start()
    async with bridge.http.get(bridge.url + "/dashboard/feed") as feed:
        await next_look(feed)
        async with asyncio.timeout(4):
            stopping = asyncio.create_task(bridge.app.shutdown())
            look = await next_look(feed)
            await stopping
            while await feed.content.readany():
                pass
    assert (look["ready"], look["state"]) == (False, "stopping")
    assert look["troubles"] == ["The server is stopping."]


async def test_failures_are_trouble_from_a_tenth_of_the_turns_on(start: Any) -> None:
    """One of ten turns is told with its reason, one of eleven is not; the numbers are those of the statistics."""
    bridge = await start()
    body = {"model": "no-such-model", "messages": [{"role": "user", "content": "hello"}]}
    async with bridge.http.post(bridge.url + "/v1/chat/completions", json=body) as response:
        assert response.status == 404
    for _ in range(9):
        await ask(bridge)
    look = await look_now(bridge)
    assert (look["ready"], look["state"]) == (True, "troubled")
    assert look["troubles"] == ["1 of 10 turns of the last 5 minutes failed: 1 not found."]
    await ask(bridge)
    look = await look_now(bridge)
    assert (look["state"], look["troubles"]) == ("ready", [])
    async with bridge.http.get(bridge.url + "/v1/sfbridge/stats") as response:
        told = await response.json()
    for numbers in (told, look["stats"]):
        minutes = numbers["minutes"]
        assert sum(minute["whole"] for minute in minutes) == 10
        assert sum(minute["failed"] for minute in minutes) == 1
        assert sum(minute["total"]["n"] for minute in minutes) == 10


async def test_a_queue_and_a_missing_upstream_are_trouble(start: Any) -> None:
    """Who waits at a gate is told with the gate's limit; one upstream of two that is not there makes half a server."""
    off = {"kind": "openai", "base_url": "http://127.0.0.1:9", "connect_retry_seconds": 0}
    bridge = await start(surface="platform", upstream={"in_flight": 1})
    body = body_of("openai", "sfdc_ai__Defaultsandbox-slow-30")
    async with bridge.http.get(bridge.url + "/dashboard/feed") as feed, asyncio.timeout(10):
        asking = [
            asyncio.create_task(bridge.http.post(bridge.url + PATHS["openai"], json=body))
            for _ in range(2)
        ]
        look = await next_look(feed)
        while look["state"] != "troubled":
            look = await next_look(feed)
        assert look["troubles"] == [
            "salesforce: 1 in the queue, 1 of 1 places are taken (in_flight)."
        ]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    tables = {"sandbox": {"enabled": True, "port": 0}}
    both = {"org": {"kind": "salesforce", "my_domain": "sandbox"}, "off": off}
    bridge = await start(config={**tables, "upstream": both})
    async with bridge.http.get(bridge.url + "/dashboard/feed") as feed, asyncio.timeout(10):
        look = await next_look(feed)
        while not look["upstreams"]["org"]["ready"]:
            look = await next_look(feed)
    assert (look["ready"], look["state"], look["sandbox"]) == (False, "partly", ["org"])
    (trouble,) = look["troubles"]
    assert trouble == "off: " + look["upstreams"]["off"]["summary"]


async def test_the_worst_trouble_stands_first(start: Any) -> None:
    """A server that ends, an upstream that is missing, conversations that cannot be kept: in this order."""
    bridge = await start()
    stats = msgspec.convert((await look_now(bridge))["stats"], Stats)
    off = UpstreamLook(ready=False, summary="nobody there", facts={})
    found = troubles({"off": off}, stats, "the disk is full", stopping=True)
    assert found == (
        "The server is stopping.",
        "off: nobody there",
        "Conversations cannot be kept: the disk is full",
    )


async def test_rows_tell_who_answered_and_why_it_ended(start: Any) -> None:
    """A row has its upstream and the end of its answer; what was cut and what was refused first are told as changes."""
    bridge = await start(surface="gateway")
    names = []
    for fault in ("length", "429-once"):
        body = {
            "model": f"sfdc_ai__Defaultsandbox-{fault}",
            "messages": [{"role": "user", "content": "x"}],
        }
        async with bridge.http.post(bridge.url + PATHS["openai"], json=body) as response:
            assert response.status == 200
            names.append(response.headers["x-request-id"])
    cut, refused = (await look_now(bridge))["turns"]
    assert (cut["upstream"], cut["reason"], cut["changes"]) == (
        "salesforce",
        "length",
        ["cut at the limit"],
    )
    assert (refused["reason"], refused["changes"]) == ("stop", ["tried again after a refusal"])
    async with bridge.http.get(f"{bridge.url}/dashboard/turns/{names[1]}") as response:
        told = await response.json()
    (again,) = told["turn"]["retried_ms"]
    assert told["turn"]["connected_ms"] <= again <= told["turn"]["accepted_ms"]
    assert any(f"tried again at {again} ms" in line for line in told["story"])


async def test_the_fullest_conversations_are_shown_first(begin: Begin) -> None:
    """Six at most, with how many more there are; what was counted here is told as estimated, and the course is there."""
    bridge = await begin(server=Server(family="generic", window=8192, usage="none"))
    for number in range(8):
        body = {
            "model": "local",
            "max_tokens": 9,
            "stream": True,
            "messages": [{"role": "user", "content": "word " * (100 * number + 1)}],
        }
        session = {"X-Claude-Code-Session-Id": f"{number:08d}-a09c-4ea4-98dc-2aa697581b7e"}
        async with bridge.http.post(
            bridge.url + PATHS["anthropic"], json=body, headers=session
        ) as response:
            assert response.status == 200
            await response.read()
    look = await look_now(bridge)
    assert look["contexts_more"] == 2
    assert [one["conversation"][7] for one in look["contexts"]] == list("765432")
    fullest = look["contexts"][0]
    assert fullest["estimated"] is True
    assert fullest["course"] == [fullest["input_tokens"]]
    assert fullest["model"] != "default"


async def test_two_servers_of_one_host_keep_their_visitors(start: Any) -> None:
    """Browsers send a cookie to every port of its host, so each server looks for its own."""
    first, second = await start(config={"keys": KEYS}), await start(config={"keys": KEYS})
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser:
        for bridge in (first, second):
            enter = bridge.url + "/dashboard/enter"
            async with browser.post(enter, json={"key": KEYS["laptop"]}) as response:
                assert response.status == 200
        for bridge in (first, second):
            async with browser.get(bridge.url + "/dashboard/open") as response:
                assert response.status == 200
