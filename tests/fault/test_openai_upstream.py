"""An OpenAI-compatible server behind both wires, over real sockets: what it says, and every way it can fail."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from local_bench import Begin, Bridge
from speak import ASK, CALLED, CUT, EVERY_WIRE, PATHS, STOPPED, Heard, body_of, heard

from sfbridge.upstream.openai.knowledge import SIGN
from tests.fakes.openai_server import Behaviour, Server

ALL = pytest.mark.parametrize("wire", EVERY_WIRE)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])
FAMILIES = pytest.mark.parametrize("family", ["llamacpp", "vllm", "ollama", "lmstudio", "generic"])
PNG = "iVBORw0KGgo="
ASIDE = "<system-reminder>Go on.</system-reminder>"


async def at_rest(bridge: Bridge) -> None:
    async with asyncio.timeout(1):
        while bridge.server.open:
            await asyncio.sleep(0.01)


# ---- what it says


@FAMILIES
@ALL
@MODES
async def test_text_arrives(begin: Begin, family: str, wire: str, stream: bool) -> None:
    """Words of any family of servers reach clients of both protocols, with the server's own counts."""
    bridge = await begin(server=Server(family=family))
    answer = await bridge.ask(wire, stream=stream, **(
        {"stream_options": {"include_usage": True}} if wire == "openai" and stream else {}))  # fmt: skip
    assert (answer.status, answer.whole, answer.finish) == (200, True, STOPPED[wire]), answer.error
    assert answer.text == "Hello! This is the sandbox org speaking."
    read, cached = (
        (answer.usage["prompt_tokens"], answer.usage["prompt_tokens_details"]["cached_tokens"])
        if wire == "openai"
        else (
            answer.usage["input_tokens"],
            answer.usage["input_tokens_details"]["cached_tokens"],
        )
        if wire == "responses"
        else (
            answer.usage["input_tokens"] + answer.usage["cache_read_input_tokens"],
            answer.usage["cache_read_input_tokens"],
        )
    )
    assert (read, cached) == (3, 2)


@FAMILIES
@ALL
@MODES
@pytest.mark.parametrize("tools", ["native", "emulated"])
async def test_tools_are_called(
    begin: Begin, family: str, wire: str, stream: bool, tools: str
) -> None:
    """A call and its result go around, natively or through the prompt, and the answer follows from it."""
    bridge = await begin(server=Server(family=family, window=100_000), tools=tools)
    answer = await bridge.ask(wire, ASK, tools=True, stream=stream)
    assert (answer.finish, answer.calls_made) == (CALLED[wire], [("calculator", {"input": "6*7"})])
    assert ("tools" in bridge.server.asked[0]) == (tools == "native")
    messages = history(wire, answer, "42")
    answer = await bridge.ask(wire, tools=True, stream=stream, messages=messages)
    assert (answer.finish, answer.text) == (STOPPED[wire], "The result is 42.")


def history(wire: str, answer: Heard, result: Any, error: bool = False) -> list[dict[str, Any]]:
    """The user's question, the call that was answered, and its result, as the wire's clients send them."""
    (call_id, name, arguments), *_ = answer.calls
    first = {"role": "user", "content": ASK}
    if wire == "responses":
        made = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        return [first, made, {"type": "function_call_output", "call_id": call_id, "output": result}]
    if wire == "openai":
        function = {"name": name, "arguments": arguments}
        call = {"id": call_id, "type": "function", "function": function}
        return [
            first,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call_id, "content": result},
        ]
    use = {"type": "tool_use", "id": call_id, "name": name, "input": json.loads(arguments)}
    block = {"type": "tool_result", "tool_use_id": call_id, "content": result, "is_error": error}
    return [
        first,
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [block, {"type": "text", "text": ASIDE}]},
    ]


@ALL
@MODES
async def test_parallel_calls_stay_apart(begin: Begin, wire: str, stream: bool) -> None:
    """Calls whose pieces arrive interleaved leave one after the other, exact."""
    bridge = await begin()
    tools = [("one", "First."), ("two", "Second.")]
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    offered = (
        [{"name": n, "description": d, "input_schema": schema} for n, d in tools]
        if wire == "anthropic"
        else [
            {"type": "function", "name": n, "description": d, "parameters": schema}
            for n, d in tools
        ]
        if wire == "responses"
        else [
            {"type": "function", "function": {"name": n, "description": d, "parameters": schema}}
            for n, d in tools
        ]
    )
    body = body_of(wire, "local", "Call the tools one and two with words like déjà vu.")
    body |= {"tools": offered, "stream": stream}
    async with bridge.http.post(bridge.url + PATHS[wire], json=body) as response:
        answer = heard(wire, response.status, response.headers, await response.read())
    assert answer.finish == CALLED[wire]
    assert [name for name, _ in answer.calls_made] == ["one", "two"]
    assert len({call_id for call_id, _, _ in answer.calls}) == 2


@ALL
@MODES
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_is_thinking(begin: Begin, wire: str, stream: bool, field: str) -> None:
    """Thoughts under either name are shown as thoughts, apart from the words."""
    bridge = await begin(server=Server(reasoning=field))
    answer = await bridge.ask(wire, stream=stream)
    assert answer.text == "Hello! This is the sandbox org speaking."
    shown = {"anthropic": b'"thinking"', "openai": b'"reasoning_content"'}
    assert shown.get(wire, b'"type":"reasoning"') in answer.body


@ALL
@MODES
async def test_a_turn_of_thoughts_alone_is_shown(begin: Begin, wire: str, stream: bool) -> None:
    """A model that says everything in its thoughts does not end in an empty turn."""
    bridge = await begin(server=Server(reasoning="reasoning", only_thinks=True))
    answer = await bridge.ask(wire, stream=stream)
    assert (answer.finish, answer.text) == (
        STOPPED[wire],
        "Hello! This is the sandbox org speaking.",
    )


@MODES
async def test_pictures_in_results_are_lifted(begin: Begin, stream: bool) -> None:
    """A picture that a tool brought follows the results in a user message, with a label."""
    bridge = await begin(server=Server(family="llamacpp", vision=True))
    answer = await bridge.ask("anthropic", ASK, tools=True)
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    result = [{"type": "text", "text": "see"}, {"type": "image", "source": source}]
    messages = history("anthropic", answer, result, error=True)
    answer = await bridge.ask("anthropic", tools=True, stream=stream, messages=messages)
    assert answer.whole
    tool, user = bridge.server.asked[-1]["messages"][-2:]
    assert tool["content"].startswith("Error: see\n[image 1")
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "text"]
    assert user["content"][1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"


@ALL
async def test_pictures_are_refused_where_nobody_sees_them(begin: Begin, wire: str) -> None:
    """A person's picture for a model without eyes is refused by its path, before anything is sent."""
    bridge = await begin(server=Server(family="llamacpp"))
    url = f"data:image/png;base64,{PNG}"
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    part = (
        {"type": "image_url", "image_url": {"url": url}}
        if wire == "openai"
        else {"type": "input_image", "image_url": url}
        if wire == "responses"
        else {"type": "image", "source": source}
    )
    answer = await bridge.ask(wire, messages=[{"role": "user", "content": [part]}])
    assert answer.status == 400
    assert "no images" in answer.error["message"]
    assert bridge.server.counts["chat"] == 0


@MODES
async def test_unknown_fields_pass_within_the_dialect(begin: Begin, stream: bool) -> None:
    """What an OpenAI client says beyond our vocabulary reaches the server; what has no answer is reported."""
    bridge = await begin(server=Server(family="llamacpp"))
    answer = await bridge.ask("openai", stream=stream, min_p=0.1, cache_prompt=True, n=2)
    assert answer.whole
    asked = bridge.server.asked[0]
    assert (asked["min_p"], asked["cache_prompt"]) == (0.1, True)
    assert "n" not in asked
    assert answer.headers["x-sfbridge-ignored"] == "n"


async def test_the_attribution_line_is_left_out(begin: Begin) -> None:
    """Two requests that differ in Claude Code's changing first line are the same to the server."""
    bridge = await begin()
    for mark in ("cch=1;", "cch=2;"):
        system = [
            {"type": "text", "text": f"x-anthropic-billing-header: cc_version=2; {mark}"},
            {"type": "text", "text": "You are helpful."},
        ]
        assert (await bridge.ask("anthropic", system=system)).whole
    first, second = bridge.server.asked
    assert first == second
    assert first["messages"][0] == {"role": "system", "content": "You are helpful."}


@ALL
async def test_templates_with_strict_turns_are_met_half_way(begin: Begin, wire: str) -> None:
    """Where words after a result break the template, they go into the result, now and from then on."""
    bridge = await begin(server=Server(family="llamacpp", strict_turns=True))
    answer = await bridge.ask(wire, ASK, tools=True)
    messages = history(wire, answer, "42")
    if wire != "anthropic":
        messages.append({"role": "user", "content": ASIDE})
    for _ in range(2):
        answer = await bridge.ask(wire, tools=True, messages=messages)
        assert (answer.status, answer.whole) == (200, True), answer.error
    assert bridge.server.asked[-1]["messages"][-1]["content"].endswith(ASIDE)
    assert bridge.server.counts["chat"] == 4


@ALL
async def test_models_without_tools_get_them_emulated(begin: Begin, wire: str) -> None:
    """A server that says its model cannot call tools is not sent any."""
    bridge = await begin(server=Server(family="ollama", tools=False, window=100_000))
    answer = await bridge.ask(wire, ASK, tools=True, stream=True)
    assert answer.calls_made == [("calculator", {"input": "6*7"})]
    assert "tools" not in bridge.server.asked[0]


async def test_tools_can_be_left_out(begin: Begin) -> None:
    """With tools = "none" no tool is offered in any form, and the client is told."""
    bridge = await begin(tools="none")
    answer = await bridge.ask("openai", ASK, tools=True)
    assert answer.calls == []
    assert "tools" not in bridge.server.asked[0]
    assert answer.headers["x-sfbridge-ignored"] == "tools"


async def test_the_models_of_the_server_are_listed(begin: Begin) -> None:
    """Every model of the server can be asked for by its own name, and the loaded one by the upstream's."""
    bridge = await begin(server=Server(family="vllm", models=("big/model", "small")))
    async with bridge.http.get(bridge.url + "/v1/models") as response:
        ids = [model["id"] for model in (await response.json())["data"]]
    assert ids == ["big/model", "small", "local"]
    for model, sent in (("small", "small"), ("local", "big/model")):
        assert (await bridge.ask("openai", model=model)).whole
        assert bridge.server.asked[-1]["model"] == sent


# ---- how it fails


@FAMILIES
@ALL
@MODES
async def test_an_overflow_is_told_in_true_numbers(
    begin: Begin, family: str, wire: str, stream: bool
) -> None:
    """A prompt beyond the window is a 400 in the words that make clients compact."""
    bridge = await begin(server=Server(family=family, window=50), prune=False)
    answer = await bridge.ask(wire, "word " * 100, stream=stream)
    assert answer.status == 400
    if wire == "anthropic":
        assert answer.error["message"].startswith(
            "prompt is too long: 125 tokens > 50 maximum"
        ) or (family == "ollama")
        assert "> 50 maximum" in answer.error["message"]
    else:
        assert answer.error["code"] == "context_length_exceeded"
    assert bridge.server.counts["chat"] == 1


@ALL
@MODES
async def test_every_cut_is_visible(begin: Begin, wire: str, stream: bool) -> None:
    """An answer that breaks off anywhere is a failure: a status before the first word, an error after it."""
    bridge = await begin()
    for cut in (0, 1, 40, 300, 700):
        bridge.server.plan = [Behaviour(cut=cut)] * 3
        answer = await bridge.ask(wire, stream=stream)
        assert not answer.whole
        assert not answer.finish
        assert answer.error["message"]
        assert answer.status == (200 if answer.text else 502)
    await at_rest(bridge)


@ALL
async def test_an_end_without_a_finish_reason_is_no_end(begin: Begin, wire: str) -> None:
    """A stream that just ends, its transport in order, is still not a whole answer."""
    bridge = await begin()
    frame = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Half"}}]}\n\n'
    bridge.server.plan = [Behaviour(frames=frame)]
    answer = await bridge.ask(wire, stream=True)
    assert (answer.text, answer.whole, answer.finish) == ("Half", False, "")
    assert answer.error["message"]


@ALL
async def test_an_end_without_a_sentinel_is_an_end(begin: Begin, wire: str) -> None:
    """The finish reason makes an answer whole, also where no [DONE] follows."""
    bridge = await begin(server=Server(done=False))
    answer = await bridge.ask(wire, stream=True)
    assert (answer.whole, answer.finish) == (True, STOPPED[wire])


@ALL
async def test_an_error_inside_the_stream_is_told(begin: Begin, wire: str) -> None:
    """An error object between chunks ends the answer as the protocol's own error."""
    bridge = await begin()
    frames = (
        b'data: {"choices":[{"index":0,"delta":{"content":"Half"}}]}\n\n'
        b'data: {"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}\n\n'
    )
    bridge.server.plan = [Behaviour(frames=frames)]
    answer = await bridge.ask(wire, stream=True)
    assert not answer.whole
    assert answer.status == (200 if answer.text else 400)
    assert "too long" in answer.error["message"]


@ALL
@MODES
async def test_a_cut_call_never_reaches_a_tool(begin: Begin, wire: str, stream: bool) -> None:
    """A call that the output limit cut is dropped, and the limit is told."""
    bridge = await begin()
    function = {"name": "calculator", "arguments": '{"inp'}
    call = {"index": 0, "id": "c", "type": "function", "function": function}
    choice = {"index": 0, "finish_reason": "length"}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    whole = json.dumps({"choices": [{**choice, "message": said}]}).encode()
    chunk = json.dumps({"choices": [{**choice, "delta": said}]}).encode()
    frames = b"data: %b\n\ndata: [DONE]\n\n" % chunk
    bridge.server.plan = [Behaviour(frames=frames, whole=whole)]
    answer = await bridge.ask(wire, ASK, tools=True, stream=stream)
    assert (answer.whole, answer.calls, answer.finish) == (True, [], CUT[wire])


@ALL
@MODES
async def test_a_silent_server_is_given_up(begin: Begin, wire: str, stream: bool) -> None:
    """Silence beyond the configured limits is a timeout that the client sees."""
    bridge = await begin(stream_idle_timeout=0.3, read_timeout=0.3)
    bridge.server.plan = [Behaviour(stall=0 if not stream else 250)]
    answer = await bridge.ask(wire, stream=stream)
    assert not answer.whole
    assert answer.status == (200 if answer.text else 504)
    await at_rest(bridge)


@ALL
@MODES
async def test_a_broken_connection_is_tried_again(begin: Begin, wire: str, stream: bool) -> None:
    """A connection that breaks before the first byte costs time, not the answer."""
    bridge = await begin(connect_retry_seconds=5)
    bridge.server.plan = [Behaviour(reset=True)]
    answer = await bridge.ask(wire, stream=stream)
    assert (answer.status, answer.whole) == (200, True)
    assert bridge.server.counts["chat"] == 2


@ALL
@MODES
async def test_a_request_that_breaks_the_server_is_not_sent_for_ever(
    begin: Begin, wire: str, stream: bool
) -> None:
    """A connection that breaks every time is given up after a few attempts."""
    bridge = await begin(connect_retry_seconds=30)
    bridge.server.plan = [Behaviour(reset=True)] * 20
    answer = await bridge.ask(wire, stream=stream)
    assert answer.status == 502
    assert bridge.server.counts["chat"] <= 9


@ALL
@MODES
async def test_an_absent_server_is_told(begin: Begin, wire: str, stream: bool) -> None:
    """A server that stays away is a 502 that names it, after the configured time and not a multiple."""
    bridge = await begin(running=False, connect_retry_seconds=0.3)
    clock = asyncio.get_running_loop().time
    started = clock()
    answer = await bridge.ask(wire, stream=stream)
    assert answer.status == 502
    assert "127.0.0.1 cannot be reached" in answer.error["message"]
    assert clock() - started < 5
    async with bridge.http.get(bridge.url + "/readyz") as ready:
        assert ready.status == 503


@ALL
@MODES
async def test_a_restart_is_waited_for(begin: Begin, clock: Any, wire: str, stream: bool) -> None:
    """A server that comes back within the time answers the request that waited, keep-alive meanwhile."""
    bridge = await begin(
        running=False,
        connect_retry_seconds=20,
        clock=clock,
        config={"stream": {"patience": 1, "keep_alive": 1}},
    )
    asking = asyncio.create_task(bridge.ask(wire, stream=stream))
    await waited(clock, 10)
    await bridge.machine.up()
    answer = await moving(clock, asking)
    assert (answer.status, answer.whole) == (200, True)
    assert (b":ka\n\n" in answer.body) is stream
    async with bridge.http.get(bridge.url + "/readyz") as ready:
        assert ready.status == 200


@ALL
async def test_a_restart_between_turns_is_noticed(begin: Begin, clock: Any, wire: str) -> None:
    """After a restart with another window, the next request is fitted to the new one."""
    bridge = await begin(
        server=Server(family="llamacpp", window=4096), connect_retry_seconds=20, clock=clock
    )
    assert (await bridge.ask(wire)).whole
    await bridge.machine.down()
    bridge.server.window = 50
    asking = asyncio.create_task(bridge.ask(wire))
    await waited(clock, 3)
    await bridge.machine.up()
    assert (await moving(clock, asking)).whole
    await clock.advance(2)
    assert (await moving(clock, asyncio.create_task(bridge.ask(wire)))).whole
    assert await window_of(bridge) == 50


async def waited(clock: Any, seconds: float) -> None:
    """Return when a request has waited that long for its server, attempt by attempt, in the clock's time."""
    end = clock.now() + seconds
    async with asyncio.timeout(30):
        while clock.now() < end:
            await clock.advance(0.1)
            await asyncio.sleep(0)


async def moving(clock: Any, asking: asyncio.Task[Heard]) -> Heard:
    """The answer of a request while the clock moves on."""
    async with asyncio.timeout(30):
        while not asking.done():
            await clock.advance(0.1)
            await asyncio.sleep(0)
    return await asking


async def window_of(bridge: Bridge) -> Any:
    async with bridge.http.get(bridge.url + "/readyz") as ready:
        return (await ready.json())["upstreams"]["local"]["window"]


@ALL
@MODES
async def test_a_loading_model_is_waited_for(begin: Begin, wire: str, stream: bool) -> None:
    """A server that still loads its model is asked again until it has."""
    bridge = await begin(server=Server(family="llamacpp", loading=True), connect_retry_seconds=20)
    asking = asyncio.create_task(bridge.ask(wire, stream=stream))
    async with asyncio.timeout(5):
        while not bridge.server.counts["chat"]:
            await asyncio.sleep(0.01)
    bridge.server.loading = False
    assert (await asking).whole


@ALL
@MODES
async def test_a_client_that_leaves_frees_the_server(begin: Begin, wire: str, stream: bool) -> None:
    """When the client hangs up, the server's connection is closed within a second."""
    bridge = await begin()
    bridge.server.plan = [Behaviour(stall=200)]
    asking = asyncio.create_task(bridge.ask(wire, stream=stream))
    async with asyncio.timeout(5):
        while not bridge.server.open:
            await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait([asking])
    await at_rest(bridge)


@ALL
@MODES
@pytest.mark.parametrize("split", [1, 7, 50])
async def test_packets_may_fall_anywhere(begin: Begin, wire: str, stream: bool, split: int) -> None:
    """Frames split anywhere by the network change nothing."""
    bridge = await begin(server=Server(split=split))
    answer = await bridge.ask(wire, "héllo ✓ 😀 " * 9, stream=stream)
    assert answer.finish == STOPPED[wire]
    assert "héllo ✓ 😀 " * 8 in answer.text


@ALL
async def test_a_wrong_key_is_told(begin: Begin, wire: str) -> None:
    """A key that the server refuses is a matter of the configuration, and the message says which key to set."""
    bridge = await begin(server=Server(key="right"), api_key="wrong")
    answer = await bridge.ask(wire)
    assert answer.status == (403 if wire == "anthropic" else 401)
    assert "api_key" in answer.error["message"]
    bridge = await begin(server=Server(key="right"), api_key="right")
    assert (await bridge.ask(wire)).whole


# ---- what is asked of it


@FAMILIES
@ALL
@pytest.mark.parametrize("tools", [False, True])
async def test_whole_answers_are_folded_from_streams(
    begin: Begin, family: str, wire: str, tools: bool
) -> None:
    """Where a family streams what is wanted, a whole answer is folded here, with the server's own counts."""
    bridge = await begin(server=Server(family=family, window=100_000))
    answer = await bridge.ask(wire, ASK if tools else "Say hello.", tools=tools, stream=False)
    streamed = {"generic": False, "vllm": not tools}.get(family, True)
    assert bridge.server.asked[-1]["stream"] is streamed
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["x-stream-downgraded"] == "false"
    assert (answer.status, answer.finish) == (200, (CALLED if tools else STOPPED)[wire])
    assert not answer.usage.get("estimated")


@FAMILIES
@ALL
@MODES
async def test_a_turn_may_end_in_silence_after_results(
    begin: Begin, family: str, wire: str, stream: bool
) -> None:
    """A model with nothing left to say after a tool result ends its turn; at any other place that is a failure."""
    bridge = await begin(server=Server(family=family, window=100_000))
    answer = await bridge.ask(wire, ASK, tools=True)
    bridge.server.plan = [SILENT]
    messages = history(wire, answer, "42")
    answer = await bridge.ask(wire, tools=True, stream=stream, messages=messages)
    assert (answer.status, answer.whole, answer.finish) == (200, True, STOPPED[wire]), answer.error
    assert (answer.text, answer.calls) == ("", [])
    bridge.server.plan = [SILENT]
    answer = await bridge.ask(wire, tools=True, stream=stream)
    assert (answer.status, answer.whole) == (502, False)
    assert "empty answer" in answer.error["message"]


_END = {"index": 0, "finish_reason": "stop"}
SILENT = Behaviour(
    frames=b"data: %b\n\ndata: [DONE]\n\n"
    % json.dumps({"choices": [{**_END, "delta": {"content": ""}}]}).encode(),
    whole=json.dumps({"choices": [{**_END, "message": {"content": None}}]}).encode(),
)


@ALL
async def test_a_silent_overflow_is_told_as_one(begin: Begin, wire: str) -> None:
    """A server that begins a stream and ends it with nothing, beyond its window, makes clients compact."""
    bridge = await begin(window=60, prune=False)
    bridge.server.plan = [Behaviour(frames=b": nothing\n\n")] * 2
    answer = await bridge.ask(wire, "word " * 100, stream=True)
    assert (answer.status, answer.whole) == (400, False)
    if wire == "anthropic":
        assert answer.error["message"].startswith("prompt is too long: ")
        assert " tokens > 60 maximum" in answer.error["message"]
    else:
        assert answer.error["code"] == "context_length_exceeded"
    bridge = await begin()  # nobody told the window
    bridge.server.plan = [Behaviour(frames=b": nothing\n\n")] * 2
    answer = await bridge.ask(wire, "word " * 100, stream=True)
    assert (answer.status, answer.whole) == (502, False)


# ---- readiness


@ALL
async def test_readiness_does_not_flap(begin: Begin, clock: Any, wire: str) -> None:
    """One failure leaves the server ready, the second in a row does not, one success brings it back."""
    bridge = await begin(server=Server(family="llamacpp"), clock=clock)
    assert (await bridge.ask(wire)).whole
    assert await readiness(bridge) == 200
    bridge.server.plan = [Behaviour(reset=True)] * 2
    asking = asyncio.create_task(bridge.ask(wire))
    for attempts, status in ((2, 200), (3, 503)):
        async with asyncio.timeout(30):
            while bridge.server.counts["chat"] < attempts:
                await clock.advance(0.1)
                await asyncio.sleep(0)
        assert await readiness(bridge) == status
    # it is asked all the same, and its answer is believed at once
    assert (await moving(clock, asking)).whole
    assert await readiness(bridge) == 200


@ALL
async def test_refusals_say_nothing_of_readiness(begin: Begin, clock: Any, wire: str) -> None:
    """A server that refuses requests is there."""
    bridge = await begin(clock=clock)
    for _ in range(4):
        bridge.server.plan = [Behaviour(status=400, body={"error": {"message": "bad"}})]
        assert (await bridge.ask(wire)).status == 400
    assert await readiness(bridge) == 200


async def test_readiness_recovers_without_requests(begin: Begin, clock: Any) -> None:
    """A server that came back is ready again though nobody asks it anything but that."""
    bridge = await begin(server=Server(family="llamacpp"), clock=clock)
    assert await readiness(bridge) == 200
    await bridge.machine.down()
    asking = asyncio.create_task(bridge.ask("openai"))
    assert (await moving(clock, asking)).status == 502
    assert await readiness(bridge) == 503
    await bridge.machine.up()
    assert await readiness(bridge) == 503
    await clock.advance(SIGN)
    async with asyncio.timeout(30):
        while await readiness(bridge) != 200:
            await asyncio.sleep(0)


async def readiness(bridge: Bridge) -> int:
    async with bridge.http.get(bridge.url + "/readyz") as ready:
        return ready.status
