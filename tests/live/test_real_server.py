"""A real llama.cpp server behind both wires, in front of models of random weights.

Nobody here wrote that server, so what it does is not what somebody thought it does. It comes with the package
`xllamacpp` (`pip install -e '.[live]'`) and these tests run only when asked for: `python -m pytest -m live`.
What such models say means nothing; asserted are statuses, shapes, counts, and what the server itself says.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from speak import CALLED, CUT, PATHS, STOPPED, WIRES, Heard, body_of, heard, records

from sfbridge.config import Config, section
from sfbridge.server.app import create_app
from sfbridge.state.clock import SystemClock
from tests.live.make_tiny_model import TASTES, write

pytestmark = pytest.mark.live

BOTH = pytest.mark.parametrize("wire", WIRES)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
HERE = Path(__file__).parent
WINDOW = 4096
# More than a model writes within a test, so that it is still writing when something happens to it.
ENDLESS = 3500
LAMP = {
    "type": "object",
    "properties": {
        "state": {"type": "string", "enum": ["on", "off", "blinking"]},
        "bright": {"type": "boolean"},
    },
    "required": ["state", "bright"],
    "additionalProperties": False,
}


class Llama:
    """The server in a process of its own, on a port that it keeps when it is started anew."""

    def __init__(self, model: Path, window: int = WINDOW) -> None:
        self.model, self.window = model, window
        self.log = model.with_suffix(".log")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        """Start it; it may still be loading its model when this returns."""
        command = [sys.executable, str(HERE / "llama_server.py"), str(self.model), str(self.port), str(self.window)]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def ready(self) -> None:
        """Return when it answers."""
        assert self._process is not None
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (
                f"the model server ended (pip install -e '.[live]'?): {self.log.read_text()[-2000:]}"
            )
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"the model server does not answer: {self.log.read_text()[-2000:]}")

    def cancelled(self) -> int:
        """How often it says that it gave an answer up."""
        return self.log.read_text().count("cancel task")

    def kill(self) -> None:
        """Kill it as `kill -9` does, wherever it is."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for taste in TASTES:
        write(folder / f"{taste}.gguf", taste)
    return {taste: folder / f"{taste}.gguf" for taste in TASTES}


@pytest.fixture(scope="module")
def running(models: dict[str, Path]) -> Iterator[Callable[[str], Llama]]:
    """`running("noise")`: the server of that model, the same for every test that leaves it as it is."""
    started: dict[str, Llama] = {}

    def of(taste: str) -> Llama:
        if taste not in started:
            started[taste] = Llama(models[taste])
            started[taste].up()
            started[taste].ready()
        return started[taste]

    yield of
    for server in started.values():
        server.kill()


@pytest.fixture
def mortal(models: dict[str, Path], tmp_path: Path) -> Iterator[Llama]:
    """A server of the test's own, running, to be killed."""
    model = tmp_path / "talker.gguf"
    model.write_bytes(models["talker"].read_bytes())
    server = Llama(model)
    server.up()
    server.ready()
    yield server
    server.kill()


class Bridge:
    def __init__(self, url: str, server: Llama, http: ClientSession) -> None:
        self.url, self.server, self.http = url, server, http

    async def ask(self, wire: str, prompt: str = "Say hello.", **more: Any) -> Heard:
        body = body_of(wire, "local", prompt) | more
        async with self.http.post(self.url + PATHS[wire], json=body) as answer:
            return heard(wire, answer.status, answer.headers, await answer.read())

    async def direct(self, path: str, body: Any = None) -> Any:
        """What the server itself answers."""
        method = "GET" if body is None else "POST"
        async with self.http.request(method, self.server.url + path, json=body) as answer:
            return await answer.json()

    async def idle(self) -> bool:
        """Whether the server writes for nobody."""
        return not any(slot["is_processing"] for slot in await self.direct("/slots"))

    async def upstream(self) -> tuple[int, dict[str, Any]]:
        async with self.http.get(self.url + "/readyz") as ready:
            return ready.status, (await ready.json())["upstreams"]["local"]


Begin = Callable[..., Coroutine[Any, Any, Bridge]]


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    """Starts a bridge in front of a server: `await begin(server, tools="emulated")`."""
    async with AsyncExitStack() as stack:

        async def start(
            server: Llama, config: dict[str, Any] | None = None, **upstream: Any
        ) -> Bridge:
            tables = {
                "sandbox": {"enabled": False},
                "models": {"default": "local"},
                "upstream": {"local": {"kind": "openai", "base_url": server.url, **upstream}},
                **(config or {}),
            }
            app = create_app(section(tables, Config, ""), clock=SystemClock())
            runner = web.AppRunner(
                app, handler_cancellation=True, shutdown_timeout=0.5, access_log=None
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            http = await stack.enter_async_context(ClientSession())
            return Bridge(f"http://127.0.0.1:{runner.addresses[0][1]}", server, http)

        yield start


Running = Callable[[str], Llama]


def counts(answer: Heard) -> tuple[int, int]:
    """Input and output tokens, cached ones among the input, as the client adds them up."""
    usage = answer.usage
    if answer.body.startswith(b"event: message_start"):
        # what stands at the start of a stream is an estimate, and says so
        final = next(data for event, data in records(answer.body) if event == "message_delta")
        usage = json.loads(final)["usage"]
    assert not usage.get("estimated"), usage
    if "prompt_tokens" in usage:
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        return usage["prompt_tokens"], usage["completion_tokens"]
    return usage["input_tokens"] + usage["cache_read_input_tokens"], usage["output_tokens"]


def with_usage(wire: str, stream: bool) -> dict[str, Any]:
    more = {"stream_options": {"include_usage": True}} if stream and wire == "openai" else {}
    return {"stream": stream, **more}


def capped(wire: str, tokens: int) -> dict[str, Any]:
    return {"max_tokens" if wire == "anthropic" else "max_completion_tokens": tokens}


def lamp(wire: str, choice: str) -> dict[str, Any]:
    """The lamp's tool, and a choice: `auto`, or `any` for a call that must be."""
    tool = {"name": "set_lamp", "description": "Switches the lamp."}
    if wire == "anthropic":
        return {"tools": [{**tool, "input_schema": LAMP}], "tool_choice": {"type": choice}}
    named = {"auto": "auto", "any": "required"}[choice]
    return {
        "tools": [{"type": "function", "function": {**tool, "parameters": LAMP}}],
        "tool_choice": named,
    }


def assert_calls_are_whole(answer: Heard) -> None:
    """Every call names the lamp and its arguments keep the schema."""
    for name, arguments in answer.calls_made:
        assert name == "set_lamp"
        assert set(arguments) == {"state", "bright"}
        assert arguments["state"] in LAMP["properties"]["state"]["enum"]  # type: ignore[index]
        assert isinstance(arguments["bright"], bool)
    assert len({identifier for identifier, _, _ in answer.calls}) == len(answer.calls)


# ---- what it says


@BOTH
@MODES
async def test_the_servers_words_and_counts_arrive(
    begin: Begin, running: Running, wire: str, stream: bool
) -> None:
    """A client gets the very words that the server gives when it is asked itself, and its token counts."""
    bridge = await begin(running("talker"))
    question = {"messages": [{"role": "user", "content": "Say hello."}]}
    own = await bridge.direct(
        "/v1/chat/completions", {**question, "max_tokens": 50, "temperature": 0}
    )
    answer = await bridge.ask(wire, temperature=0, **capped(wire, 50), **with_usage(wire, stream))
    assert (answer.status, answer.whole, answer.finish) == (200, True, CUT[wire]), answer.error
    assert answer.text == own["choices"][0]["message"]["content"]
    assert counts(answer) == (own["usage"]["prompt_tokens"], 50)


@BOTH
@MODES
async def test_any_bytes_of_a_model_make_an_answer(
    begin: Begin, running: Running, wire: str, stream: bool
) -> None:
    """A model that writes control characters and halves of characters still gives whole, well-formed answers."""
    bridge = await begin(running("noise"))
    for turn in range(10):
        answer = await bridge.ask(
            wire, f"Turn {turn}.", **capped(wire, 200), **with_usage(wire, stream)
        )
        assert (answer.status, answer.whole) == (200, True), answer.error
        read, written = counts(answer)
        assert read > 0
        assert 0 < written <= 200
        assert answer.finish == (CUT if written == 200 else STOPPED)[wire]


@MODES
async def test_stop_sequences_end_an_answer(begin: Begin, running: Running, stream: bool) -> None:
    """The server stops where the client said, and the stop sequence is not part of the answer."""
    bridge = await begin(running("noise"))
    answer = await bridge.ask(
        "openai", stream=stream, stop=["wo t"], grammar='root ::= "one two three"'
    )
    assert (answer.text, answer.finish, answer.whole) == ("one t", "stop", True), answer.error


@MODES
async def test_what_only_this_server_knows_reaches_it(
    begin: Begin, running: Running, stream: bool
) -> None:
    """Parameters that no vendor has, such as a grammar, pass through to a server of the same dialect."""
    bridge = await begin(running("noise"))
    answer = await bridge.ask("openai", stream=stream, grammar='root ::= "yes" | "no"')
    assert answer.text in ("yes", "no")
    assert answer.finish == "stop"


@MODES
async def test_a_demanded_shape_is_kept(begin: Begin, running: Running, stream: bool) -> None:
    """The server's own grammar holds even a random model to the client's JSON schema."""
    bridge = await begin(running("noise"))
    shape = {"type": "json_schema", "json_schema": {"name": "lamp", "strict": True, "schema": LAMP}}
    answer = await bridge.ask("openai", stream=stream, response_format=shape)
    assert (answer.status, answer.whole, answer.finish) == (200, True, "stop"), answer.error
    assert set(json.loads(answer.text)) == {"state", "bright"}


# ---- tools


@BOTH
@MODES
async def test_calls_of_the_servers_own_leave_whole(
    begin: Begin, running: Running, wire: str, stream: bool
) -> None:
    """Grammar-constrained calls, one or several, reach the client complete; their results go back."""
    bridge = await begin(running("caller"))
    seen = 0
    for _ in range(8):
        answer = await bridge.ask(wire, **lamp(wire, "any"), **with_usage(wire, stream))
        assert (answer.status, answer.whole, answer.finish) == (200, True, CALLED[wire]), (
            answer.error
        )
        assert answer.calls
        assert_calls_are_whole(answer)
        assert counts(answer)[1] > 0
        seen += len(answer.calls)
        after = await turn_after(bridge, wire, answer, stream)
        assert (after.status, after.whole) == (200, True), after.error
    assert seen >= 8


async def turn_after(bridge: Bridge, wire: str, answer: Heard, stream: bool) -> Heard:
    """The next turn of the conversation, with a result for every call."""
    question = {"role": "user", "content": "Say hello."}
    if wire == "anthropic":
        uses = [
            {"type": "tool_use", "id": i, "name": n, "input": json.loads(a)}
            for i, n, a in answer.calls
        ]
        results = [
            {"type": "tool_result", "tool_use_id": i, "content": "done"} for i, _, _ in answer.calls
        ]
        history = [
            question,
            {"role": "assistant", "content": uses},
            {"role": "user", "content": results},
        ]
    else:
        calls = [
            {"id": i, "type": "function", "function": {"name": n, "arguments": a}}
            for i, n, a in answer.calls
        ]
        history = [question, {"role": "assistant", "content": None, "tool_calls": calls}]
        history += [
            {"role": "tool", "tool_call_id": i, "content": "done"} for i, _, _ in answer.calls
        ]
    return await bridge.ask(
        wire, messages=history, stream=stream, **lamp(wire, "any"), **capped(wire, 1000)
    )


@BOTH
@MODES
@pytest.mark.parametrize("tokens", [5, 20, 30, 45])
async def test_a_call_that_the_limit_cuts_does_not_leave(
    begin: Begin, running: Running, wire: str, stream: bool, tokens: int
) -> None:
    """The server hands out `{` as a call's arguments when the limit cuts it; no client sees such a call."""
    bridge = await begin(running("caller"))
    answer = await bridge.ask(wire, stream=stream, **lamp(wire, "any"), **capped(wire, tokens))
    assert_calls_are_whole(answer)
    assert not answer.calls
    assert answer.finish == CUT[wire] if answer.whole else answer.error["message"]


@BOTH
@MODES
async def test_a_call_that_the_server_cannot_read_is_a_visible_failure(
    begin: Begin, running: Running, wire: str, stream: bool
) -> None:
    """A model that does not come to the end of a demanded call ends as a failure or as cut, or with the calls that it
    had ended before; never with half a call or as an answer."""
    bridge = await begin(running("noise"))
    for _ in range(3):
        answer = await bridge.ask(wire, stream=stream, **lamp(wire, "any"), **capped(wire, 300))
        assert_calls_are_whole(answer)
        if answer.whole:
            assert answer.finish == (CALLED if answer.calls else CUT)[wire]
        else:
            assert answer.error["message"]
            assert not answer.calls
        assert not (answer.whole and answer.error)


@BOTH
@MODES
@pytest.mark.parametrize("choice", ["auto", "any"])
async def test_emulated_tools_of_a_random_model_break_nothing(
    begin: Begin, running: Running, wire: str, stream: bool, choice: str
) -> None:
    """Tools asked for in the prompt of a model that cannot use them: text or a clean failure, never half a call."""
    bridge = await begin(running("noise"), tools="emulated")
    answer = await bridge.ask(wire, stream=stream, **lamp(wire, choice), **capped(wire, 200))
    assert_calls_are_whole(answer)
    assert answer.whole != bool(answer.error), answer.body
    if choice == "auto":
        assert answer.whole, answer.error


# ---- the window


async def test_the_window_is_the_servers_own(begin: Begin, running: Running) -> None:
    """The family and the window are what the server tells, without any setting."""
    bridge = await begin(running("noise"))
    assert (await bridge.ask("openai", **capped("openai", 5))).whole
    status, facts = await bridge.upstream()
    assert status == 200
    assert (facts["family"], facts["window"], facts["window_from"]) == (
        "llamacpp", WINDOW, "/props",
    )  # fmt: skip
    async with bridge.http.get(bridge.url + "/v1/models") as listed:
        assert [model["id"] for model in (await listed.json())["data"]] == ["noise", "local"]


@BOTH
@MODES
async def test_an_overflow_is_told_in_the_clients_words(
    begin: Begin, running: Running, wire: str, stream: bool
) -> None:
    """A prompt beyond the window is a 400 in the words that make clients compact, with the server's numbers."""
    bridge = await begin(running("noise"), prune=False)
    prompt = "Once more. " * 1000
    own = await bridge.direct(
        "/v1/chat/completions", {"messages": [{"role": "user", "content": prompt}]}
    )
    answer = await bridge.ask(wire, prompt, stream=stream)
    assert (answer.status, answer.whole) == (400, False)
    tokens = own["error"]["n_prompt_tokens"]
    if wire == "anthropic":
        told = re.match(
            r"prompt is too long: (\d+) tokens > (\d+) maximum", answer.error["message"]
        )
        assert told is not None, answer.error
        assert (int(told[1]), int(told[2])) == (tokens, WINDOW)
    else:
        assert answer.error["code"] == "context_length_exceeded"
        assert str(WINDOW) in answer.error["message"]
    assert (await bridge.ask(wire, **capped(wire, 5))).whole


# ---- deaths and departures


@BOTH
@MODES
async def test_a_kill_between_turns_is_waited_out(
    begin: Begin, mortal: Llama, wire: str, stream: bool
) -> None:
    """The next turn waits for the killed server, is answered by the new one, and the new window is learnt."""
    bridge = await begin(mortal, config={"stream": {"patience": 0.1, "keep_alive": 0.1}})
    first = await bridge.ask(wire, stream=stream, **capped(wire, 20))
    assert first.whole
    history = [
        {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": "Go on."},
    ]
    mortal.kill()
    mortal.window = WINDOW // 2
    asking = asyncio.create_task(
        bridge.ask(wire, messages=history, stream=stream, **capped(wire, 20))
    )
    await until(lambda: is_down(bridge))
    assert not asking.done()
    mortal.up()
    second = await asking
    assert (second.status, second.whole, second.finish) == (200, True, CUT[wire]), second.error
    await until(lambda: has_window(bridge, wire, WINDOW // 2))


async def until(true: Callable[[], Coroutine[Any, Any, bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.02)


async def is_down(bridge: Bridge) -> bool:
    return (await bridge.upstream())[0] == 503


async def has_window(bridge: Bridge, wire: str, window: int) -> bool:
    assert (await bridge.ask(wire, **capped(wire, 5))).whole
    return bool((await bridge.upstream())[1]["window"] == window)


@BOTH
async def test_a_kill_within_a_stream_is_visible(begin: Begin, mortal: Llama, wire: str) -> None:
    """A stream whose server dies ends with the protocol's error, never as if it were finished."""
    bridge = await begin(mortal)
    body = body_of(wire, "local", stream=True, **capped(wire, ENDLESS))
    async with bridge.http.post(bridge.url + PATHS[wire], json=body) as response:
        data = await response.content.readany()
        mortal.kill()
        data += await response.read()
    answer = heard(wire, response.status, response.headers, data)
    assert (answer.status, answer.whole, answer.finish) == (200, False, "")
    assert answer.error["message"]
    asking = asyncio.create_task(bridge.ask(wire, **capped(wire, 20)))
    await until(lambda: is_down(bridge))
    mortal.up()
    assert (await asking).whole


@BOTH
@MODES
async def test_a_client_that_leaves_frees_the_server(
    begin: Begin, running: Running, wire: str, stream: bool
) -> None:
    """When a client hangs up, the server stops writing within a second, also where no stream was wanted.

    Asked directly for an answer that is not streamed, this server does not notice it.
    """
    bridge = await begin(running("talker"))
    before = bridge.server.cancelled()
    asking = asyncio.create_task(bridge.ask(wire, stream=stream, **capped(wire, ENDLESS)))
    await until(lambda: writes(bridge))
    asking.cancel()
    await asyncio.wait([asking])
    await until(bridge.idle, seconds=1)
    assert bridge.server.cancelled() == before + 1


async def writes(bridge: Bridge) -> bool:
    return not await bridge.idle()
