"""Conversations that outgrow a local server's window go on, with steady prompts, true meters and honest refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest
from local_bench import Begin, Bridge
from long_session import LongSession
from speak import PATHS, heard

from tests.fakes.openai_server import Behaviour, Server


async def say(bridge: Bridge, session: LongSession, **more: Any) -> Any:
    body = {**json.loads(session.body()), "model": "local", **more}
    async with bridge.http.post(bridge.url + PATHS["anthropic"], json=body) as answer:
        return heard("anthropic", answer.status, answer.headers, await answer.read())


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("window", "tools", "system"),
    [(8192, 4_000, 3_000), (32_768, 20_000, 8_000), (131_072, 20_000, 8_000)],
)
async def test_sixty_turns_fit_their_window(
    begin: Begin, window: int, tools: int, system: int
) -> None:
    """A Claude-Code-shaped conversation of 60 turns finishes without one refusal of the server."""
    server = Server(family="llamacpp", window=window)
    bridge = await begin(server=server)
    session = LongSession(7, tools=tools, system=system)
    for _ in range(60):
        session.grow()
        answer = await say(bridge, session)
        assert answer.status == 200, answer.error
    async with bridge.http.get(bridge.url + "/v1/context") as found:
        context = await found.json()
    (conversation,) = context["conversations"]
    assert conversation["window"] == window
    assert conversation["requests"] == 60
    assert 0 < conversation["peak_input_tokens"] <= window
    assert conversation["prunes"] > 0
    assert conversation["overflows"] == 0


async def test_pruning_is_in_the_receipt(begin: Begin) -> None:
    """What was left out is told, by what it was."""
    bridge = await begin(server=Server(family="llamacpp", window=8192))
    session = LongSession(3, tools=4_000, system=3_000)
    for _ in range(12):
        session.grow()
    answer = await say(bridge, session)
    url = f"{bridge.url}/v1/sfbridge/turns/{answer.headers['x-request-id']}"
    async with bridge.http.get(url) as found:
        told = await found.json()
    assert told["turn"]["notes"]["prunings"] == 1
    assert "left out" in told["explanation"]


async def test_what_cannot_fit_is_refused_in_the_clients_words(begin: Begin) -> None:
    """When tools and instructions alone outgrow the window, the client hears the words that make it compact."""
    server = Server(family="llamacpp", window=8192)
    bridge = await begin(server=server)
    session = LongSession(3, tools=60_000, system=3_000)
    session.grow()
    answer = await say(bridge, session)
    assert answer.status == 400
    assert answer.error["message"].startswith("prompt is too long: ")
    assert server.counts["chat"] == 0


async def test_pruning_can_be_switched_off(begin: Begin) -> None:
    """Without pruning the server's own refusal reaches the client, in the client's words."""
    bridge = await begin(server=Server(family="llamacpp", window=8192), prune=False)
    session = LongSession(3, tools=4_000, system=3_000)
    for _ in range(20):
        session.grow()
    answer = await say(bridge, session)
    assert answer.status == 400
    assert answer.error["message"].startswith("prompt is too long: ")


async def test_output_is_capped_to_what_fits(begin: Begin) -> None:
    """A client that asks for 64,000 tokens of an 8k model gets what its window leaves, not a refusal."""
    server = Server(family="llamacpp", window=8192)
    bridge = await begin(server=server)
    answer = await bridge.ask("anthropic", max_tokens=64_000)
    assert answer.status == 200
    assert 0 < server.asked[-1]["max_tokens"] < 8192


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
async def test_a_fallback_answers_before_the_first_piece(
    begin: Begin, wire: str, stream: bool
) -> None:
    """When the first target cannot answer, the next one does, under the name that was asked for."""
    server = Server(models=("first", "second"))
    server.plan = [Behaviour(status=500, body={"error": {"message": "out of order"}})]
    bridge = await begin(
        server=server, config={"route": [{"model": "first", "fallbacks": ["second"]}]}
    )
    answer = await bridge.ask(wire, model="first", stream=stream)
    assert (answer.status, answer.whole, answer.model) == (200, True, "first")
    assert server.counts["chat"] == 2
    assert [asked["model"] for asked in server.asked] == ["second"]  # the first was refused unread


async def test_a_fallback_is_not_used_for_the_clients_own_faults(begin: Begin) -> None:
    """A refusal that every model would repeat is told at once."""
    server = Server(models=("first", "second"))
    server.plan = [Behaviour(status=400, body={"error": {"message": "bad parameter"}})]
    bridge = await begin(
        server=server, config={"route": [{"model": "first", "fallbacks": ["second"]}]}
    )
    answer = await bridge.ask("openai", model="first")
    assert answer.status == 400
    assert server.counts["chat"] == 1


async def test_small_models_can_be_urged_on(begin: Begin) -> None:
    """A configured text and a demanded call go along only where tools are, and the receipt says so."""
    server = Server(family="llamacpp", window=100_000)
    bridge = await begin(
        server=server, supplement="Use the tools until the task is done.", require_tools=True
    )
    session = LongSession(3, tools=4_000, system=3_000)
    session.grow()
    answer = await say(bridge, session)
    sent = server.asked[-1]
    assert sent["messages"][0]["content"].endswith("Use the tools until the task is done.")
    assert sent["tool_choice"] == "required"
    async with bridge.http.get(
        f"{bridge.url}/v1/sfbridge/turns/{answer.headers['x-request-id']}"
    ) as found:
        assert {"supplement", "required_tools"} <= set((await found.json())["turn"]["notes"])
    plain = await bridge.ask("anthropic")
    assert plain.status == 200
    assert "Use the tools" not in str(server.asked[-1])


@pytest.mark.parametrize(("attribution", "breaks"), [("neutralise", False), ("keep", True)])
async def test_the_receipt_judges_the_prompt_that_was_sent(
    begin: Begin, attribution: str, breaks: bool
) -> None:
    """Claude Code's changing first line breaks the prefix only where it is sent; the receipt says so then."""
    server = Server(family="llamacpp", window=100_000)
    bridge = await begin(server=server, attribution=attribution)
    session = LongSession(3, tools=4_000, system=3_000)
    for _ in range(2):
        session.grow()
        answer = await say(bridge, session)
    first, second = [json.dumps(asked["messages"]) for asked in server.asked]
    assert second.startswith(first.removesuffix("]")) is not breaks
    async with bridge.http.get(
        f"{bridge.url}/v1/sfbridge/turns/{answer.headers['x-request-id']}"
    ) as found:
        told = (await found.json())["turn"].get("prefix_broke", "")
    assert told.startswith("system text 1 changed") is breaks, told
    assert bool(told) is breaks
