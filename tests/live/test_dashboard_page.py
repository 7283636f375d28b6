"""The dashboard in a real browser: headless Chromium, as Debian has it, driven by Playwright."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, Route, async_playwright, expect

pytestmark = pytest.mark.live

ROOT = Path(__file__).parent.parent.parent
CALCULATOR = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
AGENT = {"User-Agent": "n8n/1.105.4"}
KEYS = {"laptop": "a-secret-of-some-length"}
HIDDEN = (
    "Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true })"
)
TURNED = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "these tests need Chromium: apt-get install chromium"
    async with async_playwright() as driver:
        found = await driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        await found.close()


class Watched:
    """A page and everything that it complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.turns = 0
        self._more = asyncio.Event()
        page.on("console", lambda said: self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def hear(self, message: dict[str, str]) -> None:
        """A message of the page's feed."""
        self.turns = json.loads(message["data"])["stats"].get("overall", {}).get("turns", 0)
        self._more.set()

    async def told(self, turns: int) -> None:
        """Wait until the page was told of so many turns and has drawn what it makes of them."""
        while self.turns < turns:
            self._more.clear()
            await self._more.wait()
        await self.page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )


async def shown(browser: Browser, url: str, **context: Any) -> Watched:
    page = await (await browser.new_context(**context)).new_page()
    watched = Watched(page)
    network = await page.context.new_cdp_session(page)
    network.on("Network.eventSourceMessageReceived", watched.hear)
    await network.send("Network.enable")
    await page.goto(url + "/")
    return watched


def tile(page: Page, name: str) -> Locator:
    return page.locator(".tiles > div").filter(has=page.get_by_text(name, exact=True))


async def ask(bridge: Any, model: str = "gpt-4o", **body: Any) -> None:
    asked = {"model": model, "messages": [{"role": "user", "content": "hello"}], **body}
    url = bridge.url + "/v1/chat/completions"
    async with bridge.http.post(url, json=asked, headers=AGENT) as response:
        await response.read()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@asynccontextmanager
async def running(port: int) -> AsyncIterator[Process]:
    """The real program on that port, until the block ends."""
    line = ("-m", "sfbridge", "--port", str(port), "--set", "sandbox.port=0")
    server = await asyncio.create_subprocess_exec(
        sys.executable, *line, cwd=ROOT, stdout=PIPE, stderr=STDOUT
    )
    assert server.stdout is not None
    try:
        async for said in server.stdout:
            if b"sfbridge" in said and str(port).encode() in said:
                break
        yield server
    finally:
        server.terminate()
        await server.communicate()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_lives_while_turns_happen(start: Any, browser: Browser, scheme: Any) -> None:
    """It loads without a complaint under its own policy, and numbers and turns follow the traffic by themselves."""
    bridge = await start()
    await ask(bridge)
    seen = await shown(browser, bridge.url, color_scheme=scheme)
    await expect(seen.page.locator("#health")).to_have_text("● ready")
    rows = seen.page.locator("#turns tbody tr")
    await expect(rows).to_have_count(1)
    await ask(bridge)
    await ask(bridge, "sfdc_ai__Defaultsandbox-500")
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_contain_text("▲ upstream failed")
    await expect(seen.page.locator("#health")).to_have_text("◆ ready, with troubles")
    await expect(seen.page.locator("#troubles")).to_have_text(
        "1 of 3 turns of the last 5 minutes failed: 1 upstream failed."
    )
    await expect(seen.page.locator("#plot rect.failed")).to_have_count(1)
    await expect(tile(seen.page, "Turns")).to_contain_text("2 whole, 1 failed")
    await expect(tile(seen.page, "Failed lately")).to_contain_text("33 %")
    assert seen.complaints == []


async def test_a_turn_opens_by_keyboard(start: Any, browser: Browser) -> None:
    """A row's button takes the focus and Enter, the dialog tells the turn's story, Escape leads back."""
    bridge = await start()
    await ask(bridge)
    seen = await shown(browser, bridge.url)
    button = seen.page.locator("#turns button").first
    await button.focus()
    await seen.page.keyboard.press("Enter")
    dialog = seen.page.locator("#turn")
    await expect(dialog).to_be_visible()
    await expect(dialog).to_contain_text("n8n/1.105.4 asked for gpt-4o")
    await expect(dialog.locator("#timeline rect")).to_have_count(5)
    await expect(dialog.locator("#timeline-words")).to_contain_text("first word at")
    chosen = await button.element_handle()
    for _ in range(3):
        await ask(bridge)
    await expect(seen.page.locator("#turns tbody tr")).to_have_count(4)
    await seen.page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await seen.page.wait_for_function("button => document.activeElement === button", arg=chosen)
    assert seen.complaints == []


async def test_what_is_read_stays_where_it_is(start: Any, browser: Browser) -> None:
    """New turns move neither the rows that are looked at nor what is selected in them."""
    bridge = await start()
    for _ in range(40):
        await ask(bridge)
    seen = await shown(browser, bridge.url, viewport={"width": 1000, "height": 600})
    rows = seen.page.locator("#turns tbody tr")
    await expect(rows).to_have_count(40)
    row = await rows.nth(30).element_handle()
    assert row is not None
    await row.evaluate("row => row.scrollIntoView({ block: 'center' })")
    await row.evaluate("row => getSelection().selectAllChildren(row.querySelector('.name span'))")
    place = "row => Math.round(row.getBoundingClientRect().top)"
    before = await row.evaluate(place)
    for _ in range(2):
        await ask(bridge)
    await expect(rows).to_have_count(42)
    await seen.told(42)
    assert abs(await row.evaluate(place) - before) <= 1
    assert await seen.page.evaluate("getSelection().toString()") == "gpt-4o"


async def test_a_slow_press_opens_the_turn_that_was_pressed(start: Any, browser: Browser) -> None:
    """A row does not run away from under the finger, and what came meanwhile is shown afterwards."""
    bridge = await start()
    for model in ("gpt-4o", "gpt-4o-mini"):
        await ask(bridge, model)
    # so high that nothing scrolls: where it does, the browser itself keeps what is looked at in place
    seen = await shown(browser, bridge.url, viewport={"width": 1000, "height": 2400})
    rows = seen.page.locator("#turns tbody tr")
    await expect(rows).to_have_count(2)
    await rows.nth(1).locator("td.name").hover()
    await seen.page.mouse.down()
    await ask(bridge, "claude-sonnet-4-6")
    await seen.told(3)
    await seen.page.mouse.up()
    await expect(seen.page.locator("#turn")).to_contain_text("asked for gpt-4o on")
    await expect(rows).to_have_count(3)


async def test_the_page_finds_a_server_that_was_started_anew(browser: Browser) -> None:
    """When the server goes the page says so, and it goes on by itself when the server is back."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    async with running(port):
        seen = await shown(browser, url)
        await seen.page.request.post(url + "/v1/chat/completions", data=body)
        row = seen.page.locator("#turns tbody tr")
        await expect(row).to_have_count(1)
        await expect(seen.page.locator("#feed")).to_have_text("live")
    await expect(seen.page.locator("#feed")).to_contain_text("not connected since")
    await expect(seen.page.locator("#health")).to_have_text("? unknown")
    await row.click()
    await expect(seen.page.locator("#turn")).to_contain_text("The server does not answer.")
    await seen.page.keyboard.press("Escape")
    async with running(port):
        await expect(seen.page.locator("#feed")).to_have_text("live", timeout=20_000)
        await expect(seen.page.locator("#health")).to_have_text("● ready", timeout=20_000)
        await expect(row).to_have_count(0)
    assert not [said for said in seen.complaints if "ERR_" not in said]


@pytest.mark.timeout(90)
async def test_a_frozen_server_is_not_called_live(browser: Browser) -> None:
    """A server that holds its connection and says nothing is told as gone, and found again."""
    port = free_port()
    async with running(port) as server:
        seen = await shown(browser, f"http://127.0.0.1:{port}")
        feed = seen.page.locator("#feed")
        await expect(feed).to_have_text("live")
        server.send_signal(signal.SIGSTOP)
        try:
            await expect(feed).to_contain_text("not connected since", timeout=25_000)
            await expect(seen.page.locator("#board")).to_have_class("stale")
        finally:
            server.send_signal(signal.SIGCONT)
        await expect(feed).to_have_text("live", timeout=25_000)


async def test_tabs_that_nobody_looks_at_hold_no_connection(start: Any, browser: Browser) -> None:
    """A browser keeps six connections to a server; eight tabs leave one for the tab in front."""
    bridge = await start()
    await ask(bridge)
    context = await browser.new_context()
    for _ in range(7):
        tab = await context.new_page()
        await tab.goto(bridge.url + "/")
        await expect(tab.locator("#feed")).to_have_text("live")
        await tab.evaluate(f"{HIDDEN}; {TURNED}")
    front = await context.new_page()
    await front.goto(bridge.url + "/")
    await front.locator("#turns tbody tr").click()
    await expect(front.locator("#story")).to_contain_text("The answer was whole")
    await ask(bridge)
    await expect(front.locator("#turns tbody tr")).to_have_count(2)
    await tab.evaluate(f"{HIDDEN.replace('hidden', 'visible')}; {TURNED}")
    await expect(tab.locator("#turns tbody tr")).to_have_count(2)


async def test_a_new_version_brings_its_own_page(start: Any, browser: Browser) -> None:
    """When another version of the server answers, the page is loaded anew with its scripts."""
    bridge = await start()
    seen = await shown(browser, bridge.url)
    await expect(seen.page.locator("#feed")).to_have_text("live")

    async def newer(route: Route) -> None:
        told = "event: look\ndata: " + '{"stats": {"version": "99.0"}, "turns": []}' + "\n\n"
        await route.fulfill(body=told, content_type="text/event-stream")

    await seen.page.route("**/dashboard/feed", newer, times=1)
    async with seen.page.expect_navigation():
        await seen.page.evaluate(f"{HIDDEN}; {TURNED}")
        await seen.page.evaluate(f"{HIDDEN.replace('hidden', 'visible')}; {TURNED}")
    await expect(seen.page.locator("#feed")).to_have_text("live")
    assert seen.complaints == []


async def test_a_reload_of_the_configuration_does_not_blink(start: Any, browser: Browser) -> None:
    """The feed begins anew, and nobody is told of troubles that are over in a moment."""
    bridge = await start()
    seen = await shown(browser, bridge.url)
    await expect(seen.page.locator("#feed")).to_have_text("live")
    await expect(seen.page.locator("#health")).to_have_text("● ready")
    await seen.page.evaluate(
        """() => {
          window.told = [];
          for (const place of document.querySelectorAll("[role=status]"))
            new MutationObserver(() => window.told.push(place.textContent))
              .observe(place, { childList: true, characterData: true, subtree: true });
        }"""
    )
    async with seen.page.expect_request("**/dashboard/feed"):
        async with bridge.http.post(bridge.url + "/v1/sfbridge/reload") as response:
            assert response.status == 200
        await ask(bridge)
    await expect(seen.page.locator("#turns tbody tr")).to_have_count(1)
    assert await seen.page.evaluate("window.told") == []


async def test_a_turn_that_cannot_be_shown_says_why(start: Any, browser: Browser) -> None:
    """Forgotten, or behind a key: the dialog says so in words."""
    bridge = await start(config={"journal": {"keep": 1}, "keys": KEYS})
    bearer = {"Authorization": "Bearer " + KEYS["laptop"]}
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    seen = await shown(browser, bridge.url)
    await seen.page.get_by_label("One of the keys").fill(KEYS["laptop"])
    await seen.page.keyboard.press("Enter")
    rows = seen.page.locator("#turns tbody tr")
    for number in (1, 2):
        url = bridge.url + "/v1/chat/completions"
        async with bridge.http.post(url, json=body, headers=bearer) as response:
            assert response.status == 200
        await expect(rows).to_have_count(number)
    unseen = seen.page.locator("#unseen")
    await rows.nth(1).click()
    await expect(unseen).to_contain_text("not remembered any more")
    await seen.page.keyboard.press("Escape")
    await seen.page.context.clear_cookies()
    await rows.nth(0).click()
    await expect(unseen).to_contain_text("asks for a key")
    await seen.page.keyboard.press("Escape")
    await expect(seen.page.locator("#key")).to_be_focused()
    await seen.page.locator("#key").fill(KEYS["laptop"])
    await seen.page.keyboard.press("Enter")
    await expect(rows).to_have_count(1)
    assert not [said for said in seen.complaints if "status of 40" not in said]


async def test_a_key_opens_the_page(start: Any, browser: Browser) -> None:
    """Where keys are configured the page asks for one, says when it is wrong, and shows the board for the right one."""
    bridge = await start(config={"keys": KEYS})
    seen = await shown(browser, bridge.url)
    key = seen.page.get_by_label("One of the keys")
    await key.fill("nonsense")
    await key.press("Enter")
    await expect(seen.page.get_by_role("alert")).to_have_text("That is none of the keys.")
    await expect(seen.page.locator("#board")).to_be_hidden()
    busy = '{"error": {"message": "Too many keys are being compared."}}'
    await seen.page.route(
        "**/dashboard/enter", lambda route: route.fulfill(status=503, body=busy), times=1
    )
    await key.fill(KEYS["laptop"])
    await key.press("Enter")
    await expect(seen.page.get_by_role("alert")).to_have_text("Too many keys are being compared.")
    await key.fill(KEYS["laptop"])
    await key.press("Enter")
    await expect(seen.page.locator("#health")).to_have_text("● ready")
    await expect(seen.page.locator("#upstreams-heading")).to_be_focused()


async def test_nothing_runs_over_the_edge_of_a_phone(start: Any, browser: Browser) -> None:
    """On a narrow screen nothing scrolls sideways, and who asked whom is still to be read."""
    bridge = await start()
    await ask(bridge, "sfdc_ai__Defaultsandbox-a-very-long-name-of-a-model-that-nobody-would-type")
    body = {
        "model": "claude-sonnet-4-6",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": "hello"}],
    }
    session = {"X-Claude-Code-Session-Id": "5c4b8467-a09c-4ea4-98dc-2aa697581b7e"}
    async with bridge.http.post(
        bridge.url + "/v1/messages", json=body, headers=session
    ) as response:
        assert response.status == 200
    seen = await shown(browser, bridge.url, viewport={"width": 320, "height": 700})
    rows = seen.page.locator("#turns tbody tr")
    await expect(rows).to_have_count(2)
    await expect(seen.page.locator("#contexts li")).to_have_count(1)
    await expect(rows.nth(1).get_by_text("n8n/1.105.4 · salesforce")).to_be_visible()
    await expect(rows.nth(1).get_by_text("▲ not found").first).to_be_visible()
    await seen.page.get_by_text("The same as a table").click()
    assert await seen.page.evaluate("document.documentElement.scrollWidth") <= 320
    await rows.nth(1).click()
    await expect(seen.page.locator("#timeline text").first).to_be_visible()
    edges = await seen.page.evaluate(
        """() => [...document.querySelectorAll("#timeline text")].map((text) => {
          const { left, right } = text.getBoundingClientRect();
          return left >= 0 && right <= innerWidth;
        })"""
    )
    assert all(edges)


async def test_a_long_story_begins_at_its_head(start: Any, browser: Browser) -> None:
    """On a small screen a turn opens at its timeline, not at the button that closes it."""
    bridge = await start()
    await ask(bridge, "sfdc_ai__Defaultsandbox-a-very-long-name-of-a-model-that-nobody-would-type")
    seen = await shown(browser, bridge.url, viewport={"width": 320, "height": 400})
    await seen.page.locator("#turns button").first.click()
    await expect(seen.page.locator("#turn-heading")).to_be_focused()
    assert await seen.page.locator("#turn").evaluate("dialog => dialog.scrollTop") == 0


async def test_names_are_text_and_never_markup(start: Any, browser: Browser) -> None:
    """A client that calls itself a script is shown as it wrote itself, and runs nothing."""
    bridge = await start()
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    nasty = '<img src=x onerror="document.title=1">'
    url = bridge.url + "/v1/chat/completions"
    async with bridge.http.post(url, json=body, headers={"User-Agent": nasty}) as response:
        await response.read()
    seen = await shown(browser, bridge.url)
    await expect(seen.page.locator("#turns tbody tr").first).to_contain_text(nasty)
    assert await seen.page.title() == "sfbridge"
    assert seen.complaints == []


async def test_the_timeline_shows_what_was_asked_again(start: Any, browser: Browser) -> None:
    """A turn whose first answer was faulty has a bar for it, between acceptance and the first word."""
    bridge = await start(surface="platform")
    tool = {"type": "function", "function": {"name": "calculator", "parameters": CALCULATOR}}
    question = {"role": "user", "content": "Use the calculator tool to compute 6*7."}
    await ask(bridge, "sfdc_ai__Defaultsandbox-bad-call", messages=[question], tools=[tool])
    seen = await shown(browser, bridge.url)
    await seen.page.locator("#turns button").first.click()
    words = seen.page.locator("#timeline-words")
    await expect(words).to_have_text(
        re.compile("prepared .*connected .*accepted .*faulty, asked again .*first word .*answered ")
    )
    await expect(seen.page.locator("#timeline rect.refused")).to_have_count(1)


async def test_the_timeline_tells_waits_and_failures_apart(start: Any, browser: Browser) -> None:
    """A refusal that was waited out has its own bar, and a failed turn does not end in green."""
    bridge = await start(surface="gateway")
    for fault in ("429-once", "500"):
        await ask(bridge, f"sfdc_ai__Defaultsandbox-{fault}")
    seen = await shown(browser, bridge.url)
    await seen.page.locator("#turns button").first.click()
    await expect(seen.page.locator("#turn-heading")).to_contain_text("▲ upstream failed at")
    await expect(seen.page.locator("#timeline rect.failed")).to_have_count(1)
    await expect(seen.page.locator("#timeline rect.whole")).to_have_count(0)
    await seen.page.keyboard.press("Escape")
    await seen.page.locator("#turns button").nth(1).click()
    await expect(seen.page.locator("#timeline-words")).to_contain_text("refused, tried again at")
    await expect(seen.page.locator("#timeline rect.whole")).to_have_count(1)


async def test_what_is_under_way_grows_older(start: Any, browser: Browser) -> None:
    """A running turn's age goes on second by second, and its phase is told in words."""
    bridge = await start(surface="platform")
    asking = asyncio.create_task(ask(bridge, "sfdc_ai__Defaultsandbox-slow-30"))
    seen = await shown(browser, bridge.url)
    row = seen.page.locator("#running tbody tr")
    await expect(row).to_contain_text("asked, not accepted yet")
    age = row.locator(".number")
    for least in (1, 3):
        await expect(age).to_have_text(re.compile(rf"^[{least}-9]\.\d\ss$"))
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await expect(row).to_have_count(0)


async def test_numbers_read_well(start: Any, browser: Browser) -> None:
    """No number is rounded up into the next unit without becoming it."""
    bridge = await start()
    seen = await shown(browser, bridge.url)
    wanted = {
        "count(9999)": "9999",
        "count(10000)": "10.0 k",
        "count(999949)": "999.9 k",
        "count(999999)": "1.0 M",
        "count(12, true)": "~12",
        "count(null, true)": "–",
        "span(999)": "999 ms",
        "span(59940)": "59.9 s",
        "span(59990)": "1 min 0 s",
        "span(119600)": "2 min 0 s",
        "several(1, 'faulty answer')": "1 faulty answer",
        "several(2, 'faulty answer')": "2 faulty answers",
    }
    told = await seen.page.evaluate(
        f"import('/dashboard/words.js').then(({{ count, span, several }}) => [{','.join(wanted)}])"
    )
    assert [text.replace("\u00a0", " ") for text in told] == list(wanted.values())
