"""Names over real sockets: who answers to which, what the answer says of it, and which models are listed now."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from local_bench import Begin
from speak import WIRES, ask

from sfbridge.roster import TTL
from tests.fakes.openai_server import Server

BOTH = pytest.mark.parametrize("wire", WIRES)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])


async def listed(bridge: Any, **headers: str) -> dict[str, Any]:
    async with bridge.http.get(bridge.url + "/v1/models", headers=headers) as answer:
        return {entry["id"]: entry for entry in (await answer.json())["data"]}


@BOTH
@MODES
async def test_answers_name_what_was_asked_and_what_answered(
    start: Any, wire: str, stream: bool
) -> None:
    """The body has the client's name of the model, the header the upstream and its own name."""
    bridge = await start()
    for asked, model in (("gpt-4", "GPT4Omni"), ("sonnet", "BedrockAnthropicClaude46Sonnet")):
        answer = await ask(bridge.http, bridge.url, wire, asked, stream=stream)
        assert (answer.status, answer.model) == (200, asked)
        assert answer.headers["x-sfbridge-model"] == f"salesforce/sfdc_ai__Default{model}"


@BOTH
@MODES
async def test_a_silent_reroute_is_told(
    start: Any, caplog: pytest.LogCaptureFixture, wire: str, stream: bool
) -> None:
    """An upstream that lets another model answer is shown in the header, the receipt and, once, the log."""
    bridge = await start()
    with caplog.at_level(logging.WARNING, logger="sfbridge.gateway"):
        for _ in range(2):
            answer = await ask(
                bridge.http, bridge.url, wire, "sfdc_ai__DefaultOpenAIGPT35Turbo", stream=stream
            )
            assert answer.headers["x-sfbridge-model"] == (
                "salesforce/gpt-4o-mini-2024-07-18; asked=sfdc_ai__DefaultOpenAIGPT35Turbo"
            )
    assert caplog.text.count("another model answered") == 1
    turn = f"/v1/sfbridge/turns/{answer.headers['x-request-id']}"
    async with bridge.http.get(bridge.url + turn) as told:
        found = await told.json()
    assert found["turn"]["notes"]["rerouted"] == 1
    assert "let another model answer" in found["explanation"]


@BOTH
async def test_unknown_names_are_told_what_is_near(start: Any, wire: str) -> None:
    """With strict, names that nobody serves are 404 with near matches, invented ones of Claude Code too."""
    bridge = await start(config={"models": {"strict": True}})
    answer = await ask(bridge.http, bridge.url, wire, "claude-opus-4-66")
    assert answer.status == 404
    assert "'claude-opus-4-6'" in answer.error["message"]
    assert "x-sfbridge-model" not in answer.headers


@BOTH
@MODES
async def test_a_name_of_the_configuration_has_fallbacks(
    begin: Begin, wire: str, stream: bool
) -> None:
    """A list of targets is asked in order; the header tells which one answered."""
    bridge = await begin(
        server=Server(models=("big", "small")),
        config={"models": {"default": "local", "aliases": {"my-*": ["local/gone", "small"]}}},
    )
    answer = await bridge.ask(wire, model="my-friend", stream=stream)
    assert answer.status == 404  # a refusal that another model would not share
    bridge.server.models = ("gone", "small")
    answer = await bridge.ask(wire, model="my-friend", stream=stream)
    assert (answer.model, answer.headers["x-sfbridge-model"]) == ("my-friend", "local/gone")


@pytest.mark.parametrize("name", ["local/a\r\nx-evil: 1", "local/é✓", "local/" + "x" * 300])
async def test_odd_names_stay_within_their_header(begin: Begin, name: str) -> None:
    """What a client calls a model can neither break nor forge a header."""
    bridge = await begin()
    bridge.server.models = (name.partition("/")[2],)
    answer = await bridge.ask("openai", model=name)
    assert answer.status == 200, answer.error
    assert "x-evil" not in answer.headers
    assert answer.headers["x-sfbridge-model"].isascii()


@BOTH
async def test_a_reroute_of_a_local_server_is_told(begin: Begin, wire: str) -> None:
    """A server that answers with whatever it has loaded is not believed silently."""
    bridge = await begin(server=Server(models=("tiny",), loads="talker"))
    answer = await bridge.ask(wire, model="tiny")
    assert answer.headers["x-sfbridge-model"] == "local/talker; asked=tiny"


async def test_the_list_tells_what_models_can_do(begin: Begin) -> None:
    """The model list has windows and abilities as the servers tell them, in both dialects."""
    bridge = await begin(
        server=Server(family="llamacpp", window=4096, vision=True), tools="emulated"
    )
    async with asyncio.timeout(5):
        while "capabilities" not in (entry := (await listed(bridge))["tiny"]):
            await asyncio.sleep(0)
    assert (entry["owned_by"], entry["context_window"]) == ("local", 4096)
    assert entry["capabilities"] == {
        "streaming": "native",
        "tools": "emulated",
        "structured_outputs": "native",
        "images": True,
        "documents": False,
        "thinking": True,
    }
    claude = (await listed(bridge, **{"anthropic-version": "2023-06-01"}))["tiny"]
    assert claude["max_input_tokens"] == 4096
    assert claude["capabilities"]["image_input"] == {"supported": True}


@BOTH
async def test_a_server_that_came_back_with_another_model_is_known_by_it(
    begin: Begin, wire: str
) -> None:
    """After a restart the new model has a name, the old one has none, and the list says so."""
    bridge = await begin(server=Server(family="llamacpp", models=("before",)))
    assert (await bridge.ask(wire, model="before")).whole
    await bridge.machine.down()
    assert (await bridge.ask(wire, model="before")).status == 502
    bridge.server.models = ("after",)
    await bridge.machine.up()
    async with asyncio.timeout(10):
        while (answer := await bridge.ask(wire)).status != 200:
            await asyncio.sleep(0.01)
    assert answer.headers["x-sfbridge-model"] == "local/after"
    assert (await bridge.ask(wire, model="after")).whole
    assert (await bridge.ask(wire, model="before")).status == 404
    assert set(await listed(bridge)) == {"after", "local"}


async def test_a_pulled_model_is_found_without_a_restart(begin: Begin, clock: Any) -> None:
    """A model that a running server has got meanwhile is listed after a minute; nobody waits for the look."""
    bridge = await begin(server=Server(family="ollama", models=("one",)), clock=clock)
    bridge.server.models = ("one", "two")
    assert set(await listed(bridge)) == {"one", "local"}
    await clock.advance(TTL + 1)
    async with asyncio.timeout(5):
        while set(await listed(bridge)) != {"one", "two", "local"}:
            await asyncio.sleep(0.01)
    assert (await bridge.ask("openai", model="two")).whole
    assert bridge.server.counts["models"] <= 3


async def test_a_missed_name_makes_the_servers_be_asked(begin: Begin, clock: Any) -> None:
    """Who asks for a model a moment after it was pulled is refused once, and answered the next time."""
    bridge = await begin(server=Server(family="ollama", models=("one",)), clock=clock)
    bridge.server.models = ("one", "two")
    await clock.advance(15)
    assert (await bridge.ask("openai", model="two")).status == 404
    async with asyncio.timeout(5):
        while (await bridge.ask("openai", model="two")).status == 404:
            await asyncio.sleep(0.01)


async def test_a_server_that_is_down_at_the_start_gets_its_names_later(begin: Begin) -> None:
    """Names that lead to a server which is away do not stop the start, and work when it is there."""
    bridge = await begin(
        server=Server(models=("tiny",)),
        running=False,
        config={"models": {"default": "local", "aliases": {"fast": "tiny"}}},
    )
    answer = await bridge.ask("openai", model="fast")
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (404, "model_not_found")
    assert "leads to 'tiny', which no upstream offers now" in answer.error["message"]
    await bridge.machine.up()
    async with asyncio.timeout(10):
        while (await bridge.ask("openai", model="local")).status != 200:
            await asyncio.sleep(0.01)
        while (await bridge.ask("openai", model="fast")).status != 200:
            await asyncio.sleep(0.01)
