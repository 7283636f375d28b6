"""Tools: those that Lingma runs by itself, shown as configured and refused where it asks for them; and the client's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lingma_bench import BeginLingma, Bench
from speak import CALLED, STOPPED, WIRES

STEPS = {"step": "start_end"}
READ = {
    "id": "call_1",
    "name": "read_file",
    "args": {"file_path": "README.md"},
    "result": [{"path": "README.md"}],
}
FAILING = {"id": "call_2", "name": "grep_code", "args": {"q": "x"}, "error": "no index"}
RAN = [STEPS, {"answer": "Looking. "}, {"tool": {**READ, "fence": True}}, {"tool": {**FAILING, "fence": True}},
       {"answer": "Done."}, {"finish": 200}]  # fmt: skip
SAID = "Looking. \n\nDone."


def rules(**steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rules": [{"match": f"^{name}$", "steps": found} for name, found in steps.items()]}


async def receipt(bench: Bench) -> dict[str, Any]:
    return dict((await bench.json("/v1/sfbridge/turns?limit=1"))["turns"][0])


@pytest.mark.parametrize("dialect", ["classic", "acp"])
@pytest.mark.parametrize("stream", [False, True])
async def test_tools_that_lingma_ran_are_mirrored(
    lingma: BeginLingma, dialect: str, stream: bool
) -> None:
    """Calls and their results are shown in both protocols, marked, and the answer still ends as an answer."""
    version = {"version": "0.7.1"} if dialect == "acp" else {}
    bench = await lingma(sim={"dialect": dialect, **version, **rules(hello=RAN)})
    for wire in WIRES:
        found = await bench.ask(wire, stream=stream)
        assert found.whole, found.body
        assert "".join(found.text.split()) == "Looking.Done."
        assert found.finish == STOPPED[wire]
        made = [
            (call_id.startswith("lingma_"), name, json.loads(arguments))
            for call_id, name, arguments in found.calls
        ]
        assert made == [(True, "read_file", READ["args"]), (True, "grep_code", FAILING["args"])]
        assert len({call_id for call_id, *_ in found.calls}) == 2
        results = results_of(wire, found.body, stream=stream)
        assert [(r["is_error"], "README.md" in str(r)) for r in results] == [
            (False, True),
            (True, False),
        ]
    assert (await receipt(bench))["ran"] == ["tool read_file: result", "tool grep_code: error"]


def results_of(wire: str, body: bytes, *, stream: bool) -> list[dict[str, Any]]:
    if not stream:
        whole = json.loads(body)
        if wire == "openai":
            return list(whole["choices"][0]["message"]["x_tool_results"])
        return [block for block in whole["content"] if block["type"] == "tool_result"]
    records = [
        json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")
    ]
    if wire == "openai":
        return [result for record in records for result in record.get("x_tool_results", [])]
    blocks = [
        record["content_block"] for record in records if record["type"] == "content_block_start"
    ]
    return [block for block in blocks if block["type"] == "tool_result"]


async def test_mirroring_can_be_switched_off(lingma: BeginLingma) -> None:
    """By the setting, by key or program, and by a request's own header; the journal still tells, unless hidden."""
    bench = await lingma(
        sim=rules(hello=RAN),
        hide_tool_events_from=["careful"],
        config={"keys": {"careful": "careful-key", "free": "free-key-1"}},
    )
    bench.http.headers["x-api-key"] = "free-key-1"
    assert len((await bench.ask("openai")).calls) == 2
    header = await bench.ask("openai", headers={"x-sfbridge-tool-events": "hidden"})
    assert header.calls == []
    named = await bench.ask("anthropic", headers={"x-api-key": "careful-key"})
    assert (named.calls, named.text) == ([], SAID)
    assert len((await receipt(bench))["ran"]) == 2


@pytest.mark.parametrize(("showing", "ran"), [("journal", 2), ("hidden", 0)])
async def test_journal_and_hidden(lingma: BeginLingma, showing: str, ran: int) -> None:
    """`journal` tells receipts alone, `hidden` nobody."""
    bench = await lingma(sim=rules(hello=RAN), tool_events=showing)
    for wire in WIRES:
        for stream in (False, True):
            found = await bench.ask(wire, stream=stream)
            assert (found.text, found.calls) == (SAID, [])
            assert b"lingma_" not in found.body
    assert len((await receipt(bench)).get("ran", [])) == ran


FLOWS: dict[str, tuple[list[dict[str, Any]], list[tuple[str, bool | None]]]] = {
    "sync-only": ([{"tool": READ}, {"answer": "x"}, {"finish": 200}], [("lingma_tool", False)]),
    "fence-only": (
        [{"answer": "```toolCall::read_file::c9::INIT\n```\nx", "n": 9}, {"finish": 200}], [("read_file", None)]),
    "result-first": (
        [{"sync": {**READ, "status": "FINISHED"}}, {"sync": {**READ, "status": "INIT"}}, {"answer": "x"}, {"finish": 200}],
        [("lingma_tool", False)]),
    "cancelled": ([{"sync": {**READ, "status": "RUNNING"}}, {"sync": {**READ, "status": "CANCELLED"}}, {"answer": "x"},
                   {"finish": 200}], [("lingma_tool", True)]),
    "never-ends": ([{"sync": {**READ, "status": "RUNNING"}}, {"answer": "x"}, {"finish": 200}], [("lingma_tool", None)]),
    "invoked": ([{"invoke": READ}, {"answer": "x"}, {"finish": 200}], [("read_file", True)]),
    "invoked-later": ([{"invoke": {**READ, "async": True}}, {"answer": "x"}, {"finish": 200}], [("read_file", True)]),
    "in-the-end": (
        [{"answer": "x"}, {"finish": 200, "extra": {"toolCalls": [
            {"id": "e1", "function": {"name": "f", "arguments": "{\"a\":1}"}, "result": "ok"}]}}], [("f", False)]),
}  # fmt: skip


async def test_every_way_in_which_tools_are_told(lingma: BeginLingma) -> None:
    """Sync only, fence only, results before starts, errors, cancellations, calls that never end, invocations."""
    bench = await lingma(sim=rules(**{name: steps for name, (steps, _) in FLOWS.items()}))
    for name, (_, expected) in FLOWS.items():
        found = await bench.ask("anthropic", name)
        assert found.text.strip() == "x", (name, found.body)
        results = {
            r["tool_use_id"]: r["is_error"]
            for r in results_of("anthropic", found.body, stream=False)
        }
        assert [(called, results.get(call_id)) for call_id, called, _ in found.calls] == expected, (
            name
        )
    stats = bench.stats()
    assert [answer["success"] for answer in stats["invokes"]] == [False, False]
    assert stats["invoke_results"][0]["errorMessage"] == "tool not supported by this client"


@pytest.mark.parametrize("asked", [{"id": "call_1"}, {"in_step": True}])
async def test_whoever_asks_for_permission_is_refused(
    lingma: BeginLingma, asked: dict[str, Any]
) -> None:
    """Nobody is there to approve, so nothing is approved, and the answer goes on."""
    bench = await lingma(sim=rules(hello=[{"permission": asked}, {"answer": "x"}, {"finish": 200}]))
    assert (await bench.ask("openai")).text == "x"
    assert [approval["approval"] for approval in bench.stats()["approvals"]] == [False]


async def test_permissions_of_the_other_dialect_are_denied_in_both_known_forms(
    lingma: BeginLingma,
) -> None:
    """The denial has the members of the standard and of the vendor."""
    steps = [{"permission": {"toolCallId": "c"}}, {"answer": "x"}, {"finish": 200}]
    bench = await lingma(sim={"dialect": "acp", "version": "0.7.1", **rules(hello=steps)})
    assert (await bench.ask("openai")).text == "x"
    denial = bench.stats()["permissions"][0]
    assert denial["outcome"] == {"outcome": "cancelled"}
    assert denial["successful"] is False


async def test_mirrored_calls_that_come_back_are_not_listened_to(lingma: BeginLingma) -> None:
    """A client that sends a mirrored call back, or even ran it again, continues its conversation all the same."""
    sim = rules(hello=RAN, more=[{"answer": "{{history}}"}, {"finish": 200}])
    bench = await lingma(sim=sim)
    for wire in WIRES:
        first = await bench.ask(wire)
        call_id = first.calls[0][0]
        if wire == "openai":
            calls = [
                {"id": i, "type": "function", "function": {"name": n, "arguments": a}}
                for i, n, a in first.calls
            ]
            back: list[dict[str, Any]] = [{"role": "assistant", "content": first.text, "tool_calls": calls},
                                          {"role": "tool", "tool_call_id": call_id, "content": "ran it again"},
                                          {"role": "user", "content": "more"}]  # fmt: skip
        else:
            content = json.loads(first.body)["content"]
            again = {"type": "tool_result", "tool_use_id": call_id, "content": "ran it again"}
            back = [{"role": "assistant", "content": content},
                    {"role": "user", "content": [again, {"type": "text", "text": "more"}]}]  # fmt: skip
        found = await bench.talk(wire, [{"role": "user", "content": "hello"}, *back])
        assert found.text == "hello | more", found.body


@pytest.mark.parametrize("stream", [False, True])
async def test_the_client_s_tools_are_emulated(lingma: BeginLingma, stream: bool) -> None:
    """Tools of the request are described in the prompt, and the model's call is a call for the client."""
    answer = 'I will compute.\n{{call:calculator:{"input": "6*7"}}}'
    steps = [{"answer": answer, "n": 9}, {"finish": 200}]
    bench = await lingma(sim={"default": {"steps": steps}})
    for wire in WIRES:
        found = await bench.ask(wire, "Say hello.", tools=True, stream=stream)
        assert found.finish == CALLED[wire], found.body
        assert found.calls_made == [("calculator", {"input": "6*7"})]
        assert found.text.strip() == "I will compute."


async def test_the_client_s_tools_may_be_left_out(lingma: BeginLingma) -> None:
    """With tools = "none" they are checked, not forwarded, and named in the header."""
    bench = await lingma(
        sim={"default": {"steps": [{"answer": "{{text}}"}, {"finish": 200}]}}, tools="none"
    )
    for wire in WIRES:
        found = await bench.ask(wire, "just this", tools=True)
        assert (found.text, found.finish) == ("just this", STOPPED[wire])
        assert "tools" in found.headers["x-sfbridge-ignored"].split(", ")
    broken = await bench.ask("openai", tools=[{"type": "function", "function": {}}], messages=[])
    assert broken.status == 400
