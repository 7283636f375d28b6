"""Calls and results in a conversation, however odd: what the org is shown of them, on every wire and upstream.

The golden files hold the bytes of the usual cases; here stands what must be true of each, and the rarer ones.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from exact_org import GATEWAY, ExactOrg, event_stream
from speak import CALLED, WIRES
from turns_of import answered, called, say, tools_for, user

UPSTREAMS = {
    "chat-generations": ("gateway", "gpt-4o"),
    "bedrock": ("gateway", "claude-sonnet-4-6"),
    "platform": ("platform", "gpt-4o"),
}
EVERYWHERE = pytest.mark.parametrize(
    ("upstream", "wire"), [(upstream, wire) for upstream in UPSTREAMS for wire in WIRES]
)
TOOLS = {"look": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
CALL = re.compile(r'<tool_call (\w+) name="(\w+)">\n(\{.*?\})\n</tool_call \1>')
RESULT = re.compile(
    r'<tool_result (\w+) name="(\w+)" n="(\d+)" (\w+)>\n(.*?)\n</tool_result \1>', re.S
)


class Seen(NamedTuple):
    """What the org was shown: what each call looked at and the text that answered it, and the user's words."""

    pairs: list[tuple[str, str]]
    words: str
    images: int
    ids: list[str]


async def shown(bridge: Any, wire: str, upstream: str, messages: list[dict[str, Any]]) -> Seen:
    """Send a conversation and read what the org received of it."""
    answer = await say(
        bridge, wire, UPSTREAMS[upstream][1], messages=messages, tools=tools_for(wire, TOOLS)
    )
    assert answer.status == 200, answer.error
    assert bridge.org.violations == []
    turns = json.loads(bridge.org.calls.last[-1].body)["messages"]
    return {"bedrock": _blocks, "chat-generations": _invocations, "platform": _tags}[upstream](
        turns
    )


def _blocks(turns: list[dict[str, Any]]) -> Seen:
    pairs, words, ids, images = [], [], [], 0
    waiting: list[tuple[str, str]] = []
    for turn in turns:
        content = turn["content"]
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
        for block in blocks:
            match block["type"]:
                case "tool_use":
                    waiting.append((block["id"], block["input"]["at"]))
                    ids.append(block["id"])
                case "tool_result":
                    call_id, at = waiting.pop(0)
                    assert block["tool_use_id"] == call_id
                    inside = block["content"]
                    parts = (
                        inside if isinstance(inside, list) else [{"type": "text", "text": inside}]
                    )
                    pairs.append((at, "".join(p["text"] for p in parts if p["type"] == "text")))
                    images += sum(part["type"] == "image" for part in parts)
                case "text" if turn["role"] == "user":
                    words.append(block["text"])
        assert turn["role"] == "assistant" or not waiting
    return Seen(pairs, "\n".join(words), images, ids)


def _invocations(turns: list[dict[str, Any]]) -> Seen:
    pairs, words, ids = [], [], []
    waiting: list[tuple[str, str]] = []
    for turn in turns:
        if turn["role"] == "tool":
            call_id, at = waiting.pop(0)
            assert turn["tool_call_id"] == call_id
            pairs.append((at, turn["content"]))
            continue
        assert not waiting
        for made in turn.get("tool_invocations", []):
            waiting.append((made["id"], json.loads(made["function"]["arguments"])["at"]))
            ids.append(made["id"])
        if turn["role"] == "user":
            words.append(turn["content"])
    assert not waiting
    return Seen(pairs, "\n".join(words), 0, ids)


def _tags(turns: list[dict[str, Any]]) -> Seen:
    pairs, words = [], []
    waiting: list[str] = []
    for turn in turns:
        if turn["role"] == "assistant":
            assert not waiting
            waiting = [json.loads(given)["at"] for _, _, given in CALL.findall(turn["content"])]
        elif turn["role"] == "user":
            results = RESULT.findall(turn["content"])
            assert [int(number) for _, _, number, _, _ in results] == list(
                range(1, len(waiting) + 1)
            )
            pairs += zip(waiting, (text for *_, text in results), strict=True)
            waiting = []
            words.append(RESULT.sub("", turn["content"]))
    assert not waiting
    return Seen(pairs, "\n".join(words), 0, [])


def look(call_id: str, at: str) -> tuple[str, str, dict[str, Any]]:
    return (call_id, "look", {"at": at})


@EVERYWHERE
async def test_results_in_one_message_answer_their_own_calls(
    start: Any, upstream: str, wire: str
) -> None:
    """Results given together, in another order than the calls, are put beside the calls that they answer."""
    bridge = await start(surface=UPSTREAMS[upstream][0])
    made = [look("a", "left"), look("b", "right"), look("c", "up")]
    given = [("c", "a bird", False), ("a", "a tree", False), ("b", "a house", False)]
    messages = [user("Look around."), called(wire, *made), *answered(wire, *given, text="And now?")]
    seen = await shown(bridge, wire, upstream, messages)
    assert seen.pairs == [("left", "a tree"), ("right", "a house"), ("up", "a bird")]
    assert "And now?" in seen.words


@EVERYWHERE
async def test_a_call_without_result_is_shown_as_interrupted(
    start: Any, upstream: str, wire: str
) -> None:
    """Of two calls one was answered; the other gets a result that says so, and the conversation goes on."""
    bridge = await start(surface=UPSTREAMS[upstream][0])
    made = called(wire, look("a", "left"), look("b", "right"))
    messages = [user("Look."), made, *answered(wire, ("b", "a house", False), text="Stop.")]
    seen = await shown(bridge, wire, upstream, messages)
    assert [at for at, _ in seen.pairs] == ["left", "right"]
    assert "interrupted" in seen.pairs[0][1]
    assert seen.pairs[1][1] == "a house"
    assert "Stop." in seen.words


@EVERYWHERE
async def test_a_result_without_call_becomes_labelled_words(
    start: Any, upstream: str, wire: str
) -> None:
    """A result that answers nothing is kept as user text that says what it is, and is nobody's result."""
    bridge = await start(surface=UPSTREAMS[upstream][0])
    stray = answered(
        wire, ("gone", "a cloud", False), ("a", "a tree", False), text="What was that?"
    )
    seen = await shown(
        bridge, wire, upstream, [user("Look."), called(wire, look("a", "left")), *stray]
    )
    assert seen.pairs == [("left", "a tree")]
    assert "not part of this conversation, id 'gone'" in seen.words
    assert "a cloud" in seen.words


@EVERYWHERE
async def test_of_several_results_of_one_call_the_last_one_counts(
    start: Any, upstream: str, wire: str
) -> None:
    """A call is answered once, also when a client sends its result again."""
    bridge = await start(surface=UPSTREAMS[upstream][0])
    results = answered(wire, ("a", "an old tree", False), ("a", "a tree", False))
    messages = [user("Look."), called(wire, look("a", "left")), *results]
    seen = await shown(bridge, wire, upstream, messages)
    assert seen.pairs == [("left", "a tree")]


@EVERYWHERE
async def test_ids_that_a_client_uses_again_do_not_mix_calls(
    start: Any, upstream: str, wire: str
) -> None:
    """The same id in two turns, and twice in one turn: each call keeps its own result under an id of its own."""
    bridge = await start(surface=UPSTREAMS[upstream][0])
    messages = [
        user("Look."),
        called(wire, look("same", "left")),
        *answered(wire, ("same", "a tree", False)),
        called(wire, look("same", "right"), look("same", "up")),
        *answered(wire, ("same", "a house", False), ("same", "a bird", False), text="Go on."),
    ]
    seen = await shown(bridge, wire, upstream, messages)
    assert seen.pairs == [("left", "a tree"), ("right", "a house"), ("up", "a bird")]
    assert len(set(seen.ids)) == len(seen.ids)


@EVERYWHERE
async def test_an_image_in_a_result_is_shown_or_said_to_be_left_out(
    start: Any, upstream: str, wire: str
) -> None:
    """A picture stays in the result of its call where the model sees pictures, and is named where it does not."""
    bridge = await start(surface=UPSTREAMS[upstream][0])
    image: dict[str, Any] = {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{PNG}"},
    }
    if wire == "anthropic":
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        image = {"type": "image", "source": source}
    content = [{"type": "text", "text": "a tree"}, image]
    results = answered(wire, ("a", content, False), ("b", "a house", False))
    messages = [user("Look."), called(wire, look("a", "left"), look("b", "right")), *results]
    seen = await shown(bridge, wire, upstream, messages)
    assert [at for at, _ in seen.pairs] == ["left", "right"]
    assert seen.pairs[0][1].startswith("a tree")
    assert seen.pairs[1][1] == "a house"
    assert seen.images == (1 if upstream == "bedrock" else 0)
    assert ("image was left out" in seen.pairs[0][1]) == (upstream != "bedrock")


# ---- what native upstreams stream


@pytest.fixture
async def exact() -> AsyncIterator[tuple[ExactOrg, str]]:
    """An org that says exactly what it is told, and where it listens."""
    org = ExactOrg()
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(org.app, shutdown_timeout=0.5, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield org, f"http://127.0.0.1:{runner.addresses[0][1]}"


Calls = list[tuple[str, str]]  # id, what it looks at


def interleaved(dice: random.Random, calls: Calls) -> list[tuple[int, str]]:
    """(call, fragment of its arguments), the fragments of all calls in any order that keeps each call's own."""
    left = []
    for _, at in calls:
        text = json.dumps({"at": at}, ensure_ascii=False)
        cuts = sorted(dice.choices(range(len(text) + 1), k=4))
        left.append([text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)])
    order = [number for number, parts in enumerate(left) for _ in parts]
    dice.shuffle(order)
    return [(number, left[number].pop(0)) for number in order]


def bedrock_stream(dice: random.Random, calls: Calls) -> bytes:
    """The calls as blocks of the Messages API that are open at the same time."""
    usage = {"input_tokens": 9, "output_tokens": 1}
    head = {"id": "m", "model": "m", "role": "assistant", "content": [], "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": head}]
    for index, (call_id, _) in enumerate(calls):
        block = {"type": "tool_use", "id": call_id, "name": "look", "input": {}}
        events.append({"type": "content_block_start", "index": index, "content_block": block})
    for index, part in interleaved(dice, calls):
        delta = {"type": "input_json_delta", "partial_json": part}
        events.append({"type": "content_block_delta", "index": index, "delta": delta})
    closing = list(range(len(calls)))
    dice.shuffle(closing)
    events += [{"type": "content_block_stop", "index": index} for index in closing]
    events.append({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": usage})
    return event_stream([*events, {"type": "message_stop"}])


def chat_stream(dice: random.Random, calls: Calls) -> bytes:
    """The calls as numbered fragments of the gateway's chat dialect."""
    frames = [
        [
            {"id": call_id, "type": "function", "index": index, "function": {"name": "look"}}
            for index, (call_id, _) in enumerate(calls)
        ],
        *(
            [{"id": None, "type": "function", "index": index, "function": {"arguments": part}}]
            for index, part in interleaved(dice, calls)
        ),
    ]
    said = []
    for number, fragments in enumerate(frames):
        end = "tool_calls" if number == len(frames) - 1 else None
        generation = {
            "id": "g",
            "role": "assistant",
            "content": "",
            "tool_invocations": fragments,
            "parameters": {"finish_reason": end, "index": 0},
        }
        details = {"generations": [generation], "parameters": {"model": "m"}}
        data = json.dumps({"id": "x", "generation_details": details})
        said.append(f"event: generation\ndata: {data}\n\n")
    return "".join([*said, "data: [DONE]\n\n"]).encode()


DIALECTS = {
    "bedrock": ("-with-response-stream", "application/vnd.amazon.eventstream", bedrock_stream),
    "chat-generations": (f"{GATEWAY}/chat/generations/stream", "text/event-stream", chat_stream),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("upstream", DIALECTS)
async def test_interleaved_native_deltas_are_never_mixed(
    start: Any, exact: tuple[ExactOrg, str], upstream: str, wire: str
) -> None:
    """Parallel calls whose fragments arrive in any order leave whole, in the order in which they began."""
    org, url = exact
    bridge = await start(surface="gateway", upstream={"my_domain": url})
    door, content_type, stream_of = DIALECTS[upstream]
    for seed in range(15):
        dice = random.Random(seed)
        calls = [(f"id{n}", dice.choice(("left", "ü ✓ 😀", '"\\', "", "x" * 60))) for n in range(4)]
        data = stream_of(dice, calls)
        org.says = {door: (content_type, lambda _, data=data: data)}
        answer = await say(
            bridge,
            wire,
            UPSTREAMS[upstream][1],
            stream=True,
            messages=[user("Look.")],
            tools=tools_for(wire, TOOLS),
        )
        assert (answer.whole, answer.finish) == (True, CALLED[wire]), answer.error
        assert [call_id for call_id, _, _ in answer.calls] == [call_id for call_id, _ in calls]
        assert answer.calls_made == [("look", {"at": at}) for _, at in calls], seed


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("upstream", DIALECTS)
async def test_ids_that_an_upstream_repeats_are_told_apart(
    start: Any, exact: tuple[ExactOrg, str], upstream: str, wire: str
) -> None:
    """Of calls with the same id, or none, each reaches the client under an id of its own."""
    org, url = exact
    bridge = await start(surface="gateway", upstream={"my_domain": url})
    door, content_type, stream_of = DIALECTS[upstream]
    data = stream_of(random.Random(1), [("same", "left"), ("same", "right"), ("", "up")])
    org.says = {door: (content_type, lambda _: data)}
    answer = await say(
        bridge,
        wire,
        UPSTREAMS[upstream][1],
        stream=True,
        messages=[user("Look.")],
        tools=tools_for(wire, TOOLS),
    )
    assert [arguments["at"] for _, arguments in answer.calls_made] == ["left", "right", "up"]
    ids = [call_id for call_id, _, _ in answer.calls]
    assert ids[0] == "same"
    assert len(set(ids)) == 3
    assert all(ids)
