"""Public collections of awkward input on the real path: the JSON test suite and the big list of naughty strings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from speak import CALLED, PATHS, STOPPED, WIRES, Heard, check_envelope, heard
from turns_of import answered, called, tools_for, user

from tests.scenarios import echo

DATA = Path(__file__).parent.parent / "data"
# Bytes stand as characters of the same number; the two long ones as what they repeat.
SUITE: dict[str, Any] = json.loads((DATA / "json_test_suite.json").read_text())
NAUGHTY: list[str] = json.loads((DATA / "blns.json").read_text())

UPSTREAMS = {
    "chat-generations": ("gateway", "gpt-4o"),
    "bedrock": ("gateway", "claude-sonnet-4-6"),
    "platform": ("platform", "gpt-4o"),
}
BOTH = pytest.mark.parametrize("wire", WIRES)
EVERY_UPSTREAM = pytest.mark.parametrize("upstream", UPSTREAMS)


def suite(kind: str) -> dict[str, bytes]:
    """The files that must parse (y) or must not (n)."""
    return {
        name: (
            given["repeat"] * given["times"] if isinstance(given, dict) else given
        ).encode("latin-1")
        for name, given in SUITE.items()
        if name.startswith(kind)
    }  # fmt: skip


def test_the_collections_are_whole() -> None:
    """All files that must parse, all that must not, and all naughty strings take part."""
    assert (len(suite("y_")), len(suite("n_")), len(NAUGHTY)) == (95, 188, 515)


async def post(bridge: Any, wire: str, body: bytes) -> tuple[int, dict[str, Any], Any]:
    url, headers = bridge.url + PATHS[wire], {"Content-Type": "application/json"}
    async with bridge.http.post(url, data=body, headers=headers) as answer:
        return answer.status, json.loads(await answer.read()), answer.headers


# ---- what must not parse

# Where a broken text stands: alone, in a field that is read, in one that nobody reads, deep inside.
PLACES = {
    "the body": b"%b",
    "a field that is read": b'{"model":"gpt-4o","max_tokens":9,"temperature":%b,"messages":[{"role":"user","content":"x"}]}',
    "a field that is not": b'{"model":"gpt-4o","max_tokens":9,"x":%b,"messages":[{"role":"user","content":"x"}]}',
    "a block": b'{"model":"gpt-4o","max_tokens":9,"messages":[{"role":"user","content":"x","y":[%b]}]}',
    "a schema": (
        b'{"model":"gpt-4o","max_tokens":9,"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function",'
        b'"name":"f","input_schema":{"type":"object","x":%b},"function":{"name":"f","parameters":{"x":%b}}}]}'
    ),
}


@BOTH
@pytest.mark.parametrize("place", PLACES)
async def test_a_body_that_must_not_parse_is_a_clear_400(start: Any, wire: str, place: str) -> None:
    """Every broken text, anywhere in a body, is refused in the wire's envelope before an upstream is asked."""
    bridge = await start(surface="platform")
    form = PLACES[place]
    wrong: list[str] = []
    for name, text in suite("n_").items():
        body = form.replace(b"%b", text)
        if place != "the body" and _parses(body):
            continue  # broken alone, sound in this place
        status, told, headers = await post(bridge, wire, body)
        if status != 400 or "error" not in told:
            wrong.append(f"{name}: {status} {str(told)[:80]}")
            continue
        check_envelope(wire, told, headers)
        assert told["error"]["type"] == "invalid_request_error"
    assert wrong == []
    assert bridge.org.calls.count() == bridge.org.calls.count("token")


def _parses(body: bytes) -> bool:
    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        json.loads(body.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True


# ---- what must parse


def _history(wire: str, texts: list[bytes]) -> list[bytes]:
    """Turns whose calls carry these JSON texts as arguments, character for character, and their results."""
    calls = []
    for number, text in enumerate(texts):
        arguments = b'{"v":%b}' % text
        if wire == "anthropic":
            calls.append(
                b'{"type":"tool_use","id":"c%d","name":"f","input":%b}' % (number, arguments)
            )
        else:
            quoted = json.dumps(arguments.decode(), ensure_ascii=False).encode()
            calls.append(
                b'{"type":"function","id":"c%d","function":{"name":"f","arguments":%b}}'
                % (number, quoted)
            )
    field = b'"content"' if wire == "anthropic" else b'"content":"","tool_calls"'
    results = answered(wire, *((f"c{number}", "done", False) for number in range(len(texts))))
    return [
        b'{"role":"user","content":"Go."}',
        b'{"role":"assistant",%b:[%b]}' % (field, b",".join(calls)),
        *(json.dumps(turn).encode() for turn in results),
    ]


def _tools(wire: str, texts: list[bytes]) -> list[bytes]:
    """One tool for each JSON text, which stands in its schema as a default and as the only option."""
    tools = []
    for number, text in enumerate(texts):
        schema = b'{"type":"object","properties":{"v":{"default":%b,"enum":[%b]}}}' % (text, text)
        if wire == "anthropic":
            tools.append(b'{"name":"f%d","input_schema":%b}' % (number, schema))
        else:
            form = b'{"type":"function","function":{"name":"f%d","parameters":%b}}'
            tools.append(form % (number, schema))
    return tools


@BOTH
@EVERY_UPSTREAM
async def test_json_that_must_parse_passes_as_arguments_and_in_schemas(
    start: Any, wire: str, upstream: str
) -> None:
    """Every sound JSON text reaches the org with the same meaning, in the history's calls and in schemas."""
    surface, model = UPSTREAMS[upstream]
    bridge = await start(surface=surface)
    texts = list(suite("y_").values())
    body = b'{"model":"%b","max_tokens":99,"messages":[%b],"tools":[%b]}' % (
        model.encode(),
        b",".join(_history(wire, texts)),
        b",".join(_tools(wire, texts)),
    )
    status, told, _ = await post(bridge, wire, body)
    assert status == 200, told
    received = json.loads(bridge.org.calls.last[-1].body)
    meant = [json.loads(text) for text in texts]
    arguments, schemas = _seen(upstream, received)
    # as text: 0 equals False and 1 equals 1.0 in Python
    assert _spelled(found["v"] for found in arguments) == _spelled(meant)
    found = [schema["properties"]["v"] for schema in schemas]
    assert _spelled(one["default"] for one in found) == _spelled(meant)
    assert _spelled(one["enum"] for one in found) == _spelled([one] for one in meant)
    assert bridge.org.violations == []


def _spelled(values: Any) -> list[str]:
    return [json.dumps(value, sort_keys=True) for value in values]


def _seen(upstream: str, body: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """The arguments of all calls, and the schemas of all tools, as the org received them."""
    if upstream == "bedrock":
        calls = [block["input"] for block in body["messages"][1]["content"]]
        return calls, [tool["input_schema"] for tool in body["tools"]]
    if upstream == "chat-generations":
        made = body["messages"][1]["tool_invocations"]
        calls = [json.loads(call["function"]["arguments"]) for call in made]
        return calls, [tool["function"]["parameters"] for tool in body["tools"]]
    system, _, assistant = (turn["content"] for turn in body["messages"][:3])
    lines = system.split("<tools>\n")[1].split("\n</tools>")[0].split("\n")
    return _written(assistant), [json.loads(line)["parameters"] for line in lines]


def _written(text: str) -> list[Any]:
    """The arguments of calls in text: a JSON object, and raw blocks behind it."""
    found = []
    for call in text.split("</tool_call ")[:-1]:
        inside = call.split('name="f">\n', 1)[1]
        given, _, raw = inside.partition("<raw ")
        arguments = json.loads(given) if given.strip() else {}
        if raw:
            arguments["v"] = raw.split('name="v">\n', 1)[1].rpartition("\n</raw ")[0]
        found.append(arguments)
    return found


# ---- naughty strings

KEEP = {
    "keep": {
        "type": "object",
        "properties": {
            "number": {"type": "integer"},
            "note": {"type": "string"},
            "content": {"type": "string"},
            "lines": {"type": "array"},
        },
        "required": ["number", "note", "content", "lines"],
    }
}
GRID = [
    pytest.param(upstream, wire, stream, id=f"{upstream}-{wire}-{'stream' if stream else 'fold'}")
    for upstream in UPSTREAMS
    for wire in WIRES
    for stream in (False, True)
]


def marked(word: str, texts: list[str]) -> str:
    return "\n".join(f"[[{word} {n}]]{text}[[end {n}]]" for n, text in enumerate(texts))


async def told(bridge: Any, wire: str, model: str, stream: bool, messages: list[Any]) -> Heard:
    """The answer to a request that is sent as plain UTF-8 in a stream, and in escapes without."""
    body = {"model": model, "messages": messages, "stream": stream, "max_tokens": 100_000}
    body["tools"] = tools_for(wire, KEEP)
    data = json.dumps(body, ensure_ascii=not stream).encode()
    headers = {"Content-Type": "application/json"}
    async with bridge.http.post(bridge.url + PATHS[wire], data=data, headers=headers) as answer:
        return heard(wire, answer.status, answer.headers, await answer.read())


def kept(texts: list[str]) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("keep", {"number": n, "note": text, "content": text, "lines": [text, {"last": text}]})
        for n, text in enumerate(texts)
    ]


@pytest.mark.parametrize(("upstream", "wire", "stream"), GRID)
async def test_naughty_strings_pass_unchanged(
    start: Any, upstream: str, wire: str, stream: bool
) -> None:
    """Each string arrives the same in a prompt, in a call's arguments, in the history, in a result and in an answer.

    Half a surrogate pair is not among them: no UTF-8 can hold it, and its escape is refused as no character.
    """
    surface, model = UPSTREAMS[upstream]
    bridge = await start(surface=surface, org={"scenario": echo.__file__})
    messages = [user(marked("text", NAUGHTY))]
    first = await told(bridge, wire, model, stream, messages)
    assert (first.status, first.finish) == (200, CALLED[wire]), first.error
    assert first.calls_made == kept(NAUGHTY)
    made = [(call_id, name, json.loads(arguments)) for call_id, name, arguments in first.calls]
    results = [
        (call_id, f"[[result {n}]]{text}[[end {n}]]", False)
        for n, ((call_id, _, _), text) in enumerate(zip(made, NAUGHTY, strict=True))
    ]
    messages += [called(wire, *made), *answered(wire, *results)]
    second = await told(bridge, wire, model, stream, messages)
    assert second.calls_made == kept(NAUGHTY), second.error
    messages = [user("[[say]]\n" + marked("text", NAUGHTY))]
    said = await told(bridge, wire, model, stream, messages)
    assert (said.status, said.finish) == (200, STOPPED[wire]), said.error
    assert echo.TEXT.findall(said.text) == [(str(n), text) for n, text in enumerate(NAUGHTY)]
    assert bridge.org.violations == []


@BOTH
@pytest.mark.parametrize("text", [r"\ud800", r"\udfff x", r"\ud83d\u0041"])
async def test_half_a_surrogate_pair_is_a_clear_400(start: Any, wire: str, text: str) -> None:
    """What is no character is refused with its place, not replaced in silence."""
    bridge = await start()
    body = b'{"model":"gpt-4o","max_tokens":9,"messages":[{"role":"user","content":"%b"}]}'
    status, told_, headers = await post(bridge, wire, body % text.encode())
    assert status == 400
    check_envelope(wire, told_, headers)
    assert "surrogate" in told_["error"]["message"]
