"""The legacy completions door over real sockets: one prompt, many prompts, streams, failures, leaving."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from speak import check_envelope, records

URL = "/v1/completions"
HELLO = "Hello! This is the sandbox org speaking."
SURFACES = pytest.mark.parametrize("surface", ["gateway", "platform"])
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])


class Heard:
    """One answer, choices by index; `whole` is False for every visible failure."""

    def __init__(self, status: int, headers: Any, data: bytes) -> None:
        self.status, self.headers = status, headers
        self.texts: dict[int, str] = {}
        self.reasons: dict[int, str] = {}
        self.usage: dict[str, Any] = {}
        self.error: dict[str, Any] = {}
        self.whole = False
        if headers["Content-Type"].startswith("text/event-stream"):
            for _, record in records(data):
                assert not self.whole
                if record == "[DONE]":
                    self.whole = set(self.reasons) == set(self.texts) != set()
                else:
                    self._take(json.loads(record))
        else:
            told = json.loads(data)
            self._take(told)
            if status == 200:
                self.whole = True
            else:
                check_envelope("openai", told, headers)

    def _take(self, told: dict[str, Any]) -> None:
        self.error = told.get("error", {})
        self.usage = told.get("usage") or self.usage
        for choice in told.get("choices", ()):
            assert told["object"] == "text_completion"
            assert choice["logprobs"] is None
            index = choice["index"]
            self.texts[index] = self.texts.get(index, "") + choice["text"]
            if choice["finish_reason"]:
                assert index not in self.reasons
                self.reasons[index] = choice["finish_reason"]


async def ask(bridge: Any, prompt: Any = "Say hello.", **more: Any) -> Heard:
    headers = more.pop("headers", None)
    body = {"model": "gpt-4o", "prompt": prompt, **more}
    async with bridge.http.post(bridge.url + URL, json=body, headers=headers) as answer:
        return Heard(answer.status, answer.headers, await answer.read())


@SURFACES
@MODES
async def test_a_prompt_is_answered(start: Any, surface: str, stream: bool) -> None:
    """One prompt has one whole choice with usage, streamed or replayed or at once."""
    bridge = await start(surface=surface)
    answer = await ask(bridge, stream=stream, stream_options={"include_usage": True})
    assert (answer.status, answer.whole) == (200, True)
    assert (answer.texts, answer.reasons) == ({0: HELLO}, {0: "stop"})
    assert answer.usage["total_tokens"] == 13
    downgraded = "true" if stream and surface == "platform" else "false"
    assert answer.headers["x-stream-downgraded"] == downgraded
    assert bridge.org.violations == []


@SURFACES
@MODES
async def test_a_list_of_prompts_has_a_choice_each(start: Any, surface: str, stream: bool) -> None:
    """Many prompts are answered a few at a time; each choice stands at its prompt's place, usage is of all."""
    bridge = await start(surface=surface)
    words = [f"word{n}" for n in range(11)]
    answer = await ask(
        bridge, words, stream=stream, stream_options={"include_usage": True}, echo=True
    )
    assert (answer.status, answer.whole) == (200, True)
    assert answer.texts == {n: f"{word}Echo: {word}" for n, word in enumerate(words)}
    assert set(answer.reasons.values()) == {"stop"}
    alone = await ask(bridge, words[0])
    # the last one's prompt and answer are a character longer, which is no token more
    assert answer.usage["total_tokens"] == 11 * alone.usage["total_tokens"]


async def test_only_a_few_are_asked_at_a_time(start: Any) -> None:
    """Prompts wait for each other, so that one body does not take the whole upstream."""
    bridge = await start(surface="platform")
    asking = asyncio.create_task(ask(bridge, ["a"] * 9, model="sfdc_ai__Defaultsandbox-slow-0.05"))
    most = 0
    while not asking.done():
        most = max(most, bridge.org.open_connections)
        await asyncio.sleep(0.002)
    assert (await asking).whole
    assert most == 4


@MODES
async def test_stop_and_limit_are_the_clients(start: Any, stream: bool) -> None:
    """`stop` cuts, also where the upstream cannot; `max_tokens` ends with `length`."""
    bridge = await start(surface="platform")
    answer = await ask(bridge, stop="sandbox", stream=stream)
    assert (answer.texts, answer.reasons) == ({0: "Hello! This is the "}, {0: "stop"})
    bridge = await start(surface="gateway")
    answer = await ask(bridge, max_tokens=3, stream=stream)
    assert (answer.reasons, answer.whole) == ({0: "length"}, True)


async def test_what_cannot_be_honoured_is_named(start: Any) -> None:
    """Probabilities and the best of several are nobody's here."""
    bridge = await start()
    answer = await ask(bridge, logprobs=2, best_of=3)
    assert answer.status == 200
    assert set(answer.headers["x-sfbridge-ignored"].split(", ")) == {"logprobs", "best_of"}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"suffix": "end"}, 400, "suffix"),
        ({"prompt": [1, 2, 3]}, 400, "prompt"),
        ({"prompt": ["a", ""]}, 400, "prompt[1]"),
        ({"model": "text-embedding-ada-002"}, 400, "model"),
        ({"model": "no-such"}, 404, "model"),
    ],
)
async def test_refusals_come_before_anything_is_asked(
    start: Any, body: dict[str, Any], status: int, param: str
) -> None:
    """What cannot be done is a clear error in the vendor's envelope."""
    bridge = await start(surface="platform")
    answer = await ask(bridge, **body)
    assert (answer.status, answer.error["param"]) == (status, param)
    assert not bridge.org.calls.counts["chat-generations", "sfdc_ai__DefaultGPT4Omni"]


@MODES
@pytest.mark.parametrize(
    ("fault", "status"), [("429-ra", 429), ("500", 502), ("503", 503), ("empty", 502)]
)
@pytest.mark.parametrize("prompts", [1, 5])
async def test_faults_have_their_status(
    start: Any, stream: bool, fault: str, status: int, prompts: int
) -> None:
    """What fails before the first byte is that error, also when it is only one of several."""
    bridge = await start()
    model = f"sfdc_ai__Defaultsandbox-{fault}"
    answer = await ask(bridge, ["a"] * prompts, model=model, stream=stream)
    assert (answer.status, answer.whole) == (status, False)


async def test_a_rate_limit_that_passes_is_not_seen(start: Any) -> None:
    """Each choice has the chat's patience, and the receipt counts all of them."""
    bridge = await start()
    answer = await ask(bridge, ["a", "b"], model="sfdc_ai__Defaultsandbox-429-once")
    assert (answer.whole, len(answer.texts)) == (True, 2)
    url = f"{bridge.url}/v1/sfbridge/turns/{answer.headers['x-request-id']}"
    async with bridge.http.get(url) as told:
        turn = (await told.json())["turn"]
    assert (turn["wire"], turn["verdict"], turn["target"]) == (
        "openai_completions",
        "whole",
        "sfdc_ai__Defaultsandbox-429-once",
    )
    assert turn["attempts"] == 2 + turn["retries"] > 2
    assert turn["input"] + turn["output"] == answer.usage["total_tokens"]


@pytest.mark.parametrize("prompts", [1, 4])
async def test_a_cut_stream_ends_with_an_error(start: Any, prompts: int) -> None:
    """No end mark follows a broken choice, whatever became of the others."""
    bridge = await start(surface="gateway")
    model = "sfdc_ai__Defaultsandbox-cut"
    answer = await ask(bridge, ["a"] * prompts, model=model, stream=True)
    assert (answer.status, answer.whole) == (200, False)
    assert answer.error["message"]


@MODES
async def test_leaving_cancels_every_choice(start: Any, stream: bool) -> None:
    """A client that goes away stops all calls, and none follows."""
    bridge = await start(surface="platform")
    model = "sfdc_ai__Defaultsandbox-slow-30"
    asking = asyncio.create_task(ask(bridge, ["a"] * 9, model=model, stream=stream))
    await _until(lambda: bridge.org.open_connections == 4)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await _until(lambda: bridge.org.disconnects == 4 and not bridge.org.open_connections)


async def test_a_held_stream_is_kept_alive(start: Any) -> None:
    """The status comes when patience ends, comments follow, and then the choices."""
    bridge = await start(
        surface="platform", config={"stream": {"patience": 0.02, "keep_alive": 0.02}}
    )
    body = {"model": "sfdc_ai__Defaultsandbox-slow-0.2", "prompt": ["a", "b"], "stream": True}
    async with bridge.http.post(bridge.url + URL, json=body) as answer:
        data = await answer.read()
    assert data.startswith(b":ka\n\n")
    assert Heard(200, answer.headers, data).whole


async def test_sessions_hold_one_conversation(start: Any) -> None:
    """One prompt may go on with a session; several cannot."""
    bridge = await start()
    first = await ask(bridge)
    session = first.headers["X-Session-ID"]
    assert (await ask(bridge, headers={"X-Session-ID": session})).whole
    answer = await ask(bridge, ["a", "b"], headers={"X-Session-ID": session})
    assert answer.status == 400
    assert "X-Session-ID" not in (await ask(bridge, ["a", "b"])).headers


async def _until(condition: Any) -> None:
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.005)
