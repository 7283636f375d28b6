"""What Lingma may say, over real sockets and real processes: every ending, every fault of the reference, on both wires."""

from __future__ import annotations

from typing import Any

import pytest
from lingma_bench import BeginLingma, Bench
from speak import CUT, STOPPED, WIRES, Heard

BOTH = [(wire, stream) for wire in WIRES for stream in (False, True)]
FILTERED = {"openai": "content_filter", "anthropic": "refusal"}
STEPS = {"step": "start_end"}


def rules(**steps: list[dict[str, Any]]) -> dict[str, Any]:
    """A scenario that plays the steps named by the question."""
    return {"rules": [{"match": f"^{name}$", "steps": found} for name, found in steps.items()]}


async def every_way(bench: Bench, prompt: str, **more: Any) -> list[tuple[str, Heard]]:
    """One question on both wires, streamed and whole; every place is given back afterwards."""
    found = [(wire, await bench.ask(wire, prompt, stream=stream, **more)) for wire, stream in BOTH]
    await bench.idle()
    return found


@pytest.mark.parametrize("chunking", ["one", "split", "coalesce", "mixed"])
@pytest.mark.parametrize("dialect", ["classic", "acp"])
async def test_frames_may_be_cut_in_any_way(
    lingma: BeginLingma, chunking: str, dialect: str
) -> None:
    """Frames one by one, cut inside characters, several at once: the answer is the same, in both dialects."""
    text = "你好，世界 😀 " * 20
    steps = [
        STEPS,
        {"title": "T"},
        {"think": "hm", "n": 2},
        {"answer": text, "n": 9},
        {"answer": ""},
        {"finish": 200},
    ]
    version = {"version": "0.7.1"} if dialect == "acp" else {}
    bench = await lingma(
        sim={"chunking": chunking, "dialect": dialect, **version, **rules(hello=steps)}
    )
    for wire, found in await every_way(bench, "hello"):
        assert found.whole, found.body
        assert (found.text, found.finish) == (text, STOPPED[wire])


@pytest.mark.parametrize("sim", [{"string_ids": True}, {"dialect": "both", "name": "qodercn", "version": "1.25.1"},
                                 {"dialect": "acp"}, {"dialect": "classic", "version": "0.7.1"}])  # fmt: skip
async def test_ids_and_dialects_are_found_out(lingma: BeginLingma, sim: dict[str, Any]) -> None:
    """Ids may be text; the dialect is guessed from the version and corrected by the first refusal."""
    bench = await lingma(sim=sim)
    for _, found in await every_way(bench, "hello"):
        assert found.text == "echo: hello", found.body


async def test_a_process_that_speaks_neither_dialect_is_given_up(lingma: BeginLingma) -> None:
    """Where the configured dialect is not spoken, the failure says so, and the instance is not asked again."""
    bench = await lingma(sim={"dialect": "acp"}, dialect="classic")
    first = await bench.ask("openai")
    assert first.status == 502
    second = await bench.ask("openai")
    assert second.error["code"] == "lingma_unavailable"
    assert "does not speak the classic dialect" in second.error["message"]


SAYS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "empty-chunks": ([STEPS, {"answer": "pon"}, {"answer": ""}, {"answer": "g"}, {"finish": 200}], "pong"),
    "only-at-the-end": ([STEPS, {"finish": 200, "fullAnswer": "all at once"}], "all at once"),
    "end-adds-the-tail": ([STEPS, {"answer": "a"}, {"finish": 200, "fullAnswer": "abc"}], "abc"),
    "end-differs": ([STEPS, {"answer": "said"}, {"finish": 200, "fullAnswer": "another"}], "said"),
    "end-is-empty": ([STEPS, {"answer": "said"}, {"finish": 200, "fullAnswer": ""}], "said"),
    "no-code": ([STEPS, {"answer": "said"}, {"finish": None}], "said"),
    "goes-on": ([STEPS, {"answer": "one"}, {"overwrite": "one, two"}, {"finish": 200}], "one, two"),
    "orphans": ([{"orphan_answer": "foreign"}, {"answer": "mine"}, {"finish": 200}], "mine"),
    "ends-twice": ([{"answer": "once"}, {"finish": 200, "times": 2}], "once"),
    "unknown-pushes": (
        [{"push": {"method": "task/status/sync", "params": {}}}, {"push": {"method": "update/ready", "params": {}}},
         {"push": {"method": "quite/new", "params": {"a": [1]}}}, {"push": {"method": "telemetry/event", "params": {}, "notify": True}},
         {"answer": "fine"}, {"finish": 200}], "fine"),
    "edit": ([{"answer": "```python|CODE_EDIT_BLOCK|src/app.py\nprint(1)\n```\n", "n": 7}, {"finish": 200}], "```python\nprint(1)\n```\n"),
}  # fmt: skip


async def test_whatever_way_it_says_it(lingma: BeginLingma) -> None:
    """Empty chunks, text that only the end brings, orphans, doubled ends, unknown pushes: the answer is what was meant."""
    bench = await lingma(sim=rules(**{name: steps for name, (steps, _) in SAYS.items()}))
    for name, (_, text) in SAYS.items():
        for wire, found in await every_way(bench, name):
            assert (found.text, found.finish) == (text, STOPPED[wire]), (name, found.body)
    facts = await bench.facts()
    assert facts["orphan"] == 4
    assert facts["late"] == 4


async def test_a_text_that_is_taken_back(lingma: BeginLingma) -> None:
    """A stream cannot take text back and says no more; a whole answer is the replaced text. It is counted."""
    steps = [STEPS, {"answer": "wrong"}, {"overwrite": "right"}, {"answer": "!"}, {"finish": 200}]
    bench = await lingma(sim=rules(hello=steps))
    for wire in WIRES:
        assert (await bench.ask(wire, stream=False)).text == "right!"
        assert (await bench.ask(wire, stream=True)).text == "wrong"
    assert (await bench.facts())["overwrite_diverged"] == 2


FAILS: dict[str, tuple[list[dict[str, Any]], int, int, str]] = {
    "limit": ([STEPS, {"finish": 429}], 429, 429, "lingma_limit"),
    "forbidden": ([STEPS, {"finish": 403}], 403, 403, "lingma_forbidden"),
    "timeout": ([STEPS, {"finish": 408}], 504, 504, "lingma_timeout"),
    "resume": ([STEPS, {"finish": 80408, "reason": "响应超时"}], 504, 504, "lingma_timeout"),
    "unknown": ([STEPS, {"finish": 31404, "reason": "see https://x.test/?token=SIM-SECRET-9 token=SIM-SECRET-8"}], 502, 502, "lingma_failed"),
    "bad": ([{"finish": 400}], 400, 400, "lingma_bad_request"),
    "empty": ([STEPS, {"finish": 200}], 502, 502, "upstream_empty"),
    "cancelled": ([{"answer": "a"}, {"finish": 200, "reason": "cancelled"}], 502, 502, "lingma_cancelled"),
    "rejected": ([{"reject": "no, accessKey=SIM-SECRET-7"}], 502, 502, "lingma_refused"),
    "rpc": ([{"rpc_error": [-32603, "plan failed: 500 https://sim.test/SIM-SECRET-6"]}], 502, 502, "lingma_refused"),
}  # fmt: skip


async def test_every_failure_has_its_status(lingma: BeginLingma) -> None:
    """Each way to fail has its own status and code, with nothing of the vendor's secrets in it."""
    bench = await lingma(sim=rules(**{name: steps for name, (steps, *_) in FAILS.items()}))
    for name, (_, status, _, code) in FAILS.items():
        found = await bench.ask("openai", name)
        assert (found.status, found.error["code"]) == (status, code), (name, found.body)
        streamed = await bench.ask("anthropic", name, stream=True)
        failed_late = name in ("cancelled",)  # its words had left by then
        assert streamed.status == (200 if failed_late else status), (name, streamed.body)
        assert streamed.error
        assert not streamed.whole
    await bench.idle()


async def test_failures_after_the_first_word_end_the_stream_visibly(lingma: BeginLingma) -> None:
    """Once text has left, a failure is the protocol's in-stream error, never a normal ending."""
    steps = [STEPS, {"answer": "half"}, {"sleep": 0.2}, {"finish": 500}]
    bench = await lingma(sim=rules(hello=steps))
    for wire in WIRES:
        found = await bench.ask(wire, stream=True)
        assert found.status == 200
        assert not found.whole
        assert found.text == "half"
        assert "500" in found.error["message"]


async def test_filtered_answers_say_so(lingma: BeginLingma) -> None:
    """A content filter ends the answer as such, by its flag or by its code."""
    flag = [STEPS, {"answer": "so far"}, {"filtered": ""}, {"finish": 200}]
    code = [STEPS, {"answer": "so far"}, {"finish": 406}]
    bench = await lingma(sim=rules(flag=flag, code=code))
    for name in ("flag", "code"):
        for wire, found in await every_way(bench, name):
            assert (found.text, found.finish) == ("so far", FILTERED[wire]), found.body


async def test_a_vendor_timeout_may_end_as_a_cut(lingma: BeginLingma) -> None:
    """With partial_on_timeout, what was said before the vendor's timeout is an answer that was cut."""
    bench = await lingma(
        sim=rules(hello=[STEPS, {"answer": "half"}, {"finish": 80408}]), partial_on_timeout=True
    )
    for wire, found in await every_way(bench, "hello"):
        assert (found.text, found.finish) == ("half", CUT[wire])


async def test_a_missing_end_is_found_out(lingma: BeginLingma) -> None:
    """Text, then silence, and a process that still answers a ping: the answer is taken for whole and counted."""
    bench = await lingma(
        sim=rules(hello=[STEPS, {"answer": "all"}, {"no_finish": True}]), answer_idle_timeout=0.2
    )
    for wire, found in await every_way(bench, "hello"):
        assert (found.text, found.finish) == ("all", STOPPED[wire])
    assert (await bench.facts())["missing_finish"] == 4


async def test_silence_has_limits(lingma: BeginLingma) -> None:
    """Nothing at all, nothing but preparations, never an end: each runs into its own limit, which the error names."""
    sim = rules(
        nothing=[{"sleep": 30}],
        unprepared=[{"title": "T"}, {"sleep": 30}],
        prepared=[STEPS, {"sleep": 30}],
        endless=[STEPS, *[{"answer": "x"}, {"sleep": 0.05}] * 200],
    )
    bench = await lingma(
        sim=sim, first_event_timeout=0.3, silent_timeout=0.3, ask_timeout=1.5, answer_idle_timeout=5
    )
    for name, key in (("nothing", "first_event_timeout"), ("unprepared", "first_event_timeout"),
                      ("prepared", "silent_timeout")):  # fmt: skip
        found = await bench.ask("openai", name)
        assert (found.status, found.error["code"]) == (504, "lingma_timeout")
        assert key in found.error["message"], name
        await bench.idle()
    found = await bench.ask("anthropic", "endless", stream=True)
    assert "ask_timeout" in found.error["message"]
    await bench.idle()
    assert bench.stats()["stops"] == 4


async def test_a_late_first_word_is_waited_for(lingma: BeginLingma) -> None:
    """Lingma thinks for long; the stream is kept alive meanwhile."""
    bench = await lingma(
        sim={"default": {"first_delay": 1.0}},
        config={"stream": {"patience": 0.1, "keep_alive": 0.2}},
    )
    for wire in WIRES:
        found = await bench.ask(wire, stream=True)
        assert found.text == "echo: hello"
        assert b":ka" in found.body


async def test_thoughts_are_shown_to_who_asks(lingma: BeginLingma) -> None:
    """Reasoning is left out unless the client wants to think, or the configuration shows it to all."""
    steps = [STEPS, {"think": "let me see", "n": 3}, {"answer": "42"}, {"finish": 200}]
    bench = await lingma(sim=rules(hello=steps))
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
    for stream in (False, True):
        assert b"let me see" not in (await bench.ask("openai", stream=stream)).body
        asked = await bench.ask("openai", stream=stream, reasoning_effort="high")
        assert b"reasoning_content" in asked.body
        shown = await bench.ask("anthropic", stream=stream, **thinking)
        assert b"thinking" in shown.body
        assert shown.text == "42"


async def test_parameters_without_counterpart_are_named(lingma: BeginLingma) -> None:
    """Knobs are ignored and named; stop sequences are cut here, and Lingma is told to stop."""
    steps = [STEPS, {"answer": "one two STOP three", "n": 6}, {"sleep": 20}, {"finish": 200}]
    bench = await lingma(sim=rules(hello=steps))
    found = await bench.ask("openai", stream=True, stop="STOP", temperature=0.5, max_tokens=100)
    assert found.text.strip() == "one two"
    assert "temperature" in found.headers["x-sfbridge-ignored"]
    assert "max_tokens" in found.headers["x-sfbridge-ignored"]
    await bench.idle()
    assert bench.stats()["stops"] == 1


async def test_the_client_s_limit_may_be_enforced(lingma: BeginLingma) -> None:
    """With enforce_max_output, an answer is cut where our own estimate reaches the client's limit."""
    steps = [STEPS, {"answer": "word " * 100, "n": 50}, {"finish": 200}]
    bench = await lingma(sim=rules(hello=steps), enforce_max_output=True)
    for wire in WIRES:
        found = await bench.ask(wire, max_tokens=10, stream=True)
        assert found.finish == CUT[wire]
        assert 20 <= len(found.text) <= 80
    await bench.idle()


async def test_too_long_a_question_starts_compaction(lingma: BeginLingma) -> None:
    """A question beyond the cap has the words by which clients shorten their history."""
    bench = await lingma(most_prompt=1000)
    found = await bench.ask("anthropic", "x" * 2000)
    assert found.status == 400
    assert found.error["message"].startswith("prompt is too long")
    await bench.idle()
    assert bench.stats().get("asks", 0) == 0


async def test_images_are_refused_by_their_path(lingma: BeginLingma) -> None:
    """Lingma is given no images; the refusal says where the image stands."""
    bench = await lingma()
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    found = await bench.ask("openai", messages=[{"role": "user", "content": [image]}])
    assert (found.status, found.error["code"]) == (400, "unsupported_content")
    assert found.error["param"].startswith("messages[0]")


async def test_usage_is_an_estimate_and_says_so(lingma: BeginLingma) -> None:
    """Lingma reports no tokens, so the numbers are ours and marked."""
    bench = await lingma()
    for wire in WIRES:
        assert (await bench.ask(wire)).usage["estimated"] is True


async def test_another_chat_in_the_way_is_waited_for(lingma: BeginLingma) -> None:
    """A process that is busy with another chat is asked again a moment later, unseen by the client."""
    bench = await lingma(sim={"busy_times": 2})
    assert (await bench.ask("openai")).text == "echo: hello"
    assert bench.stats()["asks"] == 3


async def test_too_much_of_an_answer_fails(lingma: BeginLingma) -> None:
    """An answer beyond the cap is a visible failure."""
    bench = await lingma(
        sim=rules(hello=[{"answer": "x" * 500, "n": 5}, {"finish": 200}]), most_answer=300
    )
    found = await bench.ask("openai")
    assert (found.status, found.error["code"]) == (502, "upstream_overflow")


async def test_models_are_those_of_the_account(lingma: BeginLingma) -> None:
    """The list is what the process offers, asked for by key or by name; another one is not found, unless a fallback is."""
    bench = await lingma(sim=rules(which=[{"answer": "{{model}}"}, {"finish": 200}]))
    listed = [row["id"] for row in (await bench.json("/v1/models"))["data"]]
    assert {"lingma/auto", "lingma/dashscope_qwen3_coder"} <= set(listed)
    assert all(name.startswith("lingma") for name in listed)
    for name in (
        "lingma/dashscope_qwen3_coder",
        "dashscope_qwen3_coder",
        "lingma/Qwen3-Coder",
        "lingma/qwen3-coder",
    ):
        assert (await bench.ask("openai", "which", model=name)).text == "dashscope_qwen3_coder", (
            name
        )
    assert (await bench.ask("openai", "which", model="lingma")).text == "auto"
    found = await bench.ask("openai", "which", model="lingma/nonesuch")
    assert (found.status, found.error["code"]) == (404, "model_not_found")


async def test_a_fallback_model_is_named(lingma: BeginLingma) -> None:
    """A model that does not exist may be replaced by the configured one; the header says that the name was ignored."""
    bench = await lingma(
        sim=rules(which=[{"answer": "{{model}}"}, {"finish": 200}]), fallback_model="auto"
    )
    found = await bench.ask("openai", "which", model="lingma/nonesuch")
    assert (found.text, found.headers["x-sfbridge-ignored"]) == ("auto", "model")
