"""The dashboard in a real browser: headless Chromium, as Debian has it, driven by Playwright."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

pytestmark = pytest.mark.live

ROOT = Path(__file__).parent.parent.parent
CALCULATOR = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
AGENT = {"User-Agent": "n8n/1.105.4"}


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
        page.on("console", lambda said: self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))


async def shown(browser: Browser, url: str, **context: Any) -> Watched:
    page = await (await browser.new_context(**context)).new_page()
    watched = Watched(page)
    await page.goto(url + "/")
    return watched


async def ask(bridge: Any, model: str = "gpt-4o", **body: Any) -> None:
    asked = {"model": model, "messages": [{"role": "user", "content": "hello"}], **body}
    url = bridge.url + "/v1/chat/completions"
    async with bridge.http.post(url, json=asked, headers=AGENT) as response:
        await response.read()


@asynccontextmanager
async def running(port: int) -> AsyncIterator[None]:
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
        yield
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
    await expect(rows.first).to_contain_text("▲ ")
    await expect(seen.page.locator("#plot circle")).to_have_count(2)
    await expect(seen.page.locator("#plot path")).to_have_count(1)
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
    await expect(dialog.locator("#timeline rect")).to_have_count(4)
    await seen.page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(button).to_be_focused()
    assert seen.complaints == []


async def test_the_page_finds_a_server_that_was_started_anew(browser: Browser) -> None:
    """When the server goes the page says so, and it goes on by itself when the server is back."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with running(port):
        seen = await shown(browser, url)
        await expect(seen.page.locator("#feed")).to_have_text("live")
    await expect(seen.page.locator("#feed")).to_contain_text("trying again")
    await expect(seen.page.locator("#health")).to_have_text("? unknown")
    async with running(port):
        await expect(seen.page.locator("#feed")).to_have_text("live", timeout=20_000)
        await expect(seen.page.locator("#health")).to_have_text("● ready", timeout=20_000)


async def test_a_key_opens_the_page(start: Any, browser: Browser) -> None:
    """Where keys are configured the page asks for one, says when it is wrong, and shows the board for the right one."""
    bridge = await start(config={"keys": {"laptop": "a-secret-of-some-length"}})
    seen = await shown(browser, bridge.url)
    key = seen.page.get_by_label("One of the keys")
    await key.fill("nonsense")
    await key.press("Enter")
    await expect(seen.page.get_by_role("alert")).to_have_text("That is none of the keys.")
    await expect(seen.page.locator("#board")).to_be_hidden()
    await key.fill("a-secret-of-some-length")
    await key.press("Enter")
    await expect(seen.page.locator("#health")).to_have_text("● ready")


async def test_nothing_runs_over_the_edge_of_a_phone(start: Any, browser: Browser) -> None:
    """On a narrow screen only tables scroll sideways, each within its own frame."""
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
    seen = await shown(browser, bridge.url, viewport={"width": 360, "height": 700})
    await expect(seen.page.locator("#turns tbody tr")).to_have_count(2)
    await expect(seen.page.locator("#contexts li")).to_have_count(1)
    wide = await seen.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360


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
        re.compile("prepared .*connected .*accepted .*faulty, asked again .*first word .*end ")
    )
    await expect(seen.page.locator("#timeline rect.faulty")).to_have_count(1)
