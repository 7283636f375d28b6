"""What goes from a history, in which order, and what never goes."""

from __future__ import annotations

import re
from itertools import pairwise
from random import Random
from typing import NoReturn

import pytest
from long_session import assert_pairs_whole

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import Capabilities
from sfbridge.core.request import (
    ChatRequest,
    ImagePart,
    Message,
    Part,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
    text_of,
)
from sfbridge.policy.estimate import estimate
from sfbridge.policy.fitting import fit
from sfbridge.policy.history import LEFT_OUT
from sfbridge.policy.pruning import Memory, Pruned, Pruning, overflow, prune
from sfbridge.policy.pruning_marks import is_marker


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(TextPart(p) if isinstance(p, str) else p for p in parts))


def model(*parts: Part | str) -> Message:
    return Message("assistant", user(*parts).parts)


def call(call_id: str, name: str = "Read") -> ToolCall:
    return ToolCall(call_id, name, '{"path": "a.py"}')


def result(call_id: str, size: int = 400) -> ToolResult:
    return ToolResult(call_id, (TextPart(f"{call_id} " + "x" * size),))


def request(*messages: Message) -> ChatRequest:
    return ChatRequest(model="m", messages=messages)


def session(turns: int, size: int = 400) -> ChatRequest:
    """A task, then as many turns, each with words and a call; every second reply has words of the user."""
    messages = [user("the task")]
    for n in range(turns):
        messages.append(model(f"step {n} " + "s" * 200, call(f"c{n}")))
        reply: list[Part | str] = [result(f"c{n}", size)]
        if n % 2:
            reply.append(f"note {n} " + "n" * 200)
        messages.append(user(*reply))
    return request(*messages)


def pruned_to(asked: ChatRequest, tokens: int) -> Pruned:
    """Pruned to about `tokens`, which are both target and threshold of the window."""
    window = round(tokens / 0.5)
    return prune(asked, window, estimate, Pruning(threshold=0.5, target=0.5, keep_turns=2))


def test_nothing_happens_up_to_the_threshold() -> None:
    """Below the threshold the very same request comes back, measured once."""
    asked = session(10)
    measured: list[ChatRequest] = []

    def measure(each: ChatRequest) -> int:
        measured.append(each)
        return estimate(each)

    pruned = prune(asked, round(estimate(asked) / 0.74), measure, Pruning())
    assert pruned.request is asked
    assert measured == [asked]
    assert (pruned.removed, pruned.cut, pruned.memory) == ({}, False, None)


def test_past_the_threshold_the_target_is_met() -> None:
    """One token past the threshold, the request shrinks to the target."""
    asked = session(40)
    window = round(estimate(asked) / 0.76)
    pruned = prune(asked, window, estimate, Pruning())
    assert pruned.before == estimate(asked)
    assert pruned.after == estimate(pruned.request) <= 0.65 * window
    assert pruned.after > 0.55 * window, "more was cut than needed"
    assert pruned.cut


def test_off_is_off() -> None:
    """Switched off, nothing is cut and nothing refused, however small the window."""
    asked = session(40)
    assert prune(asked, 100, estimate, Pruning(enabled=False)).request is asked


def test_large_results_are_folded_before_anything_goes() -> None:
    """The oldest large results lose their middle while everything else stays whole."""
    asked = session(10, size=9_000)
    pruned = pruned_to(asked, estimate(asked) - 5_000)
    assert pruned.removed == {"folded_results": 3}
    parts = [p for m in pruned.request.messages for p in m.parts if isinstance(p, ToolResult)]
    assert [len(text_of(part.parts)) < 2_200 for part in parts] == [True] * 3 + [False] * 7
    folded = text_of(parts[0].parts)
    assert folded.startswith("c0 xxx")
    assert folded.endswith("xxx")
    assert "7003 characters were removed here" in folded


def test_folding_ends_at_line_ends_that_are_near() -> None:
    """Head and tail of a folded result hold whole lines where lines are short."""
    lines = "\n".join(f"line {n:04}" for n in range(2_000))
    asked = request(
        user("task"),
        model(call("a")),
        user(ToolResult("a", (TextPart(lines),))),
        model("x"),
        user("y"),
    )
    pruned = prune(asked, 5_000, estimate, Pruning(keep_turns=1))
    folded = text_of(pruned.request.messages[2].parts).split("\n")
    assert folded[0] == "line 0000"
    assert all(len(line) == 9 for line in folded if line.startswith("line"))
    assert folded[-1] == "line 1999"


def test_a_folded_result_loses_its_pictures() -> None:
    """A picture in an old result becomes a line that says so."""
    shot = ToolResult("a", (TextPart("shot"), ImagePart(media_type="image/png", data="aaaa")))
    asked = request(user("task"), model(call("a")), user(shot), model("x"), user("y"))
    pruned = prune(asked, 2_100, estimate, Pruning(keep_turns=1))
    assert text_of(pruned.request.messages[2].parts) == f"shot\n{LEFT_OUT}"
    assert pruned.removed == {"folded_results": 1}


def test_calls_go_with_their_results_then_words() -> None:
    """Tools go first, then the assistant's words, then the user's, each oldest first."""
    asked = session(12)
    weight = estimate(asked)
    few = pruned_to(asked, weight - 300).removed
    assert set(few) == {"tool_calls"}
    every = pruned_to(asked, weight - 1_300).removed
    assert every["tool_calls"] == 10
    assert every["assistant_messages"] > 0
    assert "user_messages" not in every
    last = prune(asked, 700, estimate, Pruning(keep_turns=2)).removed
    assert last == {"tool_calls": 10, "assistant_messages": 10, "user_messages": 5}


def test_the_oldest_goes_first() -> None:
    """What is left of the calls is the end of them."""
    asked = session(12)
    kept = pruned_to(asked, estimate(asked) - 300).request
    ids = [p.id for m in kept.messages for p in m.parts if isinstance(p, ToolCall)]
    assert ids == [f"c{n}" for n in range(12 - len(ids), 12)]
    assert 2 < len(ids) < 12


def test_one_line_stands_where_something_was() -> None:
    """A run of removed turns leaves one line of the user's, which counts and names the tools."""
    asked = request(
        user("task"),
        model(call("a"), call("b", "Bash")),
        user(result("a", 3_000), result("b", 3_000)),
        model(call("c")),
        user(result("c", 3_000)),
        model("done?"),
        user("go on"),
    )
    pruned = prune(asked, 300, estimate, Pruning(keep_turns=1))
    line = "[Removed to fit the context window: 3 tool calls with results (Read 2 times, Bash).]"
    assert pruned.request.messages == (user("task", f"\n\n{line}"), *asked.messages[5:])
    assert is_marker(line)


def test_thoughts_go_with_the_calls_they_led_to() -> None:
    """No thought is left of a turn whose calls went; its words stay."""
    asked = request(
        user("task"),
        model(ThoughtPart("hm " * 50, "sig"), "I look.", call("a")),
        user(result("a", 1_500)),
        model("x"),
        user("y"),
    )
    pruned = prune(asked, 150, estimate, Pruning(keep_turns=1))
    line = "[Removed to fit the context window: 1 tool call with its result (Read).]"
    assert pruned.request.messages[1:3] == (model("I look."), user(line))


def test_the_latest_turns_stay_as_they_are() -> None:
    """The last turns are whole while the rest is gone, as long as the request can be sent."""
    asked = session(20, size=2_500)
    pruned = prune(asked, 5_000, estimate, Pruning(keep_turns=4))
    assert pruned.request.messages[-8:] == asked.messages[-8:]
    assert text_of(pruned.request.messages[0].parts).startswith("the task")


def test_large_results_of_the_latest_turns_are_folded_rather_than_refused() -> None:
    """When only the last turns are left and too large, their results are folded, the newest last."""
    asked = session(6, size=12_000)
    pruned = prune(asked, 6_500, estimate, Pruning(keep_turns=3))
    sizes = [
        len(text_of((p,)))
        for m in pruned.request.messages
        for p in m.parts
        if isinstance(p, ToolResult)
    ]
    assert len(sizes) == 3
    assert sizes[0] < 2_200
    assert sizes[-1] > 12_000
    assert pruned.request.messages[-1].parts[1:] == asked.messages[-1].parts[1:]


def test_a_prefill_at_the_end_is_no_turn() -> None:
    """Words put into the model's mouth do not push the user's question out of the kept turns."""
    asked = session(8)
    question = asked.messages[-1]
    asked = request(*asked.messages, model("Here is"))
    pruned = prune(asked, 700, estimate, Pruning(keep_turns=1))
    assert pruned.request.messages[-2:] == (question, model("Here is"))


def test_system_words_in_the_first_turn_stay() -> None:
    """What the client's system says before the model speaks is part of the first turn."""
    system = Message("system", (TextPart("# Environment"),))
    asked = session(20)
    asked = request(asked.messages[0], system, *asked.messages[1:])
    assert prune(asked, 900, estimate, Pruning(keep_turns=1)).request.messages[1] == system


def test_what_cannot_fit_is_refused_with_numbers() -> None:
    """The refusal says how long the prompt is at its shortest, and how large the window."""
    asked = request(user("t" * 8_000), model("ok"), user("and?"))
    with pytest.raises(GatewayError) as caught:
        prune(asked, 1_000, estimate, Pruning())
    assert caught.value.kind == "context_overflow"
    assert caught.value.tokens == (estimate(asked), 1_000)


def test_a_prompt_without_room_for_an_answer_is_refused() -> None:
    """A prompt that fits only just counts with the room that its answer needs."""
    error = overflow(7_900, 8_192, 1_024)
    assert error.tokens == (8_924, 8_192)


def test_settings_that_contradict_each_other_are_refused() -> None:
    """A target above the threshold is an error at start, not an endless pruning."""
    for settings in ({"target": 0.8}, {"threshold": 1.5}, {"target": 0.0}, {"keep_turns": -1}):
        with pytest.raises(ValueError):
            Pruning(**settings)  # type: ignore[arg-type]


# ---- memory


def test_cuts_are_made_again_until_the_threshold_is_passed_anew() -> None:
    """The pruned prompt of a turn is the beginning of the next one's, with no further cut."""
    settings = Pruning()
    whole = session(60)
    window = 4_000
    memory: Memory | None = None
    earlier: tuple[Message, ...] = ()
    cuts: list[int] = []
    for turn in range(1, 60):
        asked = request(*whole.messages[: 1 + 2 * turn])
        pruned = prune(asked, window, estimate, settings, memory)
        memory = pruned.memory
        if pruned.cut:
            cuts.append(turn)
        else:
            assert pruned.request.messages[: len(earlier)] == earlier
            assert pruned.after <= settings.threshold * window
        earlier = pruned.request.messages
    assert 2 <= len(cuts) <= 30


def test_a_memory_serves_several_histories() -> None:
    """A helper that shares the session's name neither loses the agent's cuts nor suffers them."""
    asked = session(60)
    first = prune(asked, 4_000, estimate, Pruning())
    other = request(user("another task"), model("hello"), user("there"))
    aside = prune(other, 4_000, estimate, Pruning(), first.memory)
    assert aside.request is other
    again = prune(asked, 4_000, estimate, Pruning(), aside.memory)
    assert again.request == first.request
    assert not again.cut


def test_a_compacted_history_is_left_alone() -> None:
    """A history that the client shortened is not cut for what an older one had lost."""
    first = prune(session(60), 4_000, estimate, Pruning())
    shorter = session(8)
    pruned = prune(shorter, 4_000, estimate, Pruning(), first.memory)
    assert pruned.request is shorter


def test_cache_marks_do_not_matter() -> None:
    """A cache mark that moved does not hide a unit from its memory."""
    asked = session(60)
    first = prune(asked, 4_000, estimate, Pruning())
    marked = request(user(TextPart("the task", cache=True)), *asked.messages[1:])
    again = prune(marked, 4_000, estimate, Pruning(), first.memory)
    assert again.after == first.after
    assert not again.cut


def test_equal_turns_are_told_apart() -> None:
    """Of many equal turns only those that were cut are cut again."""
    turns = [model("Shall I go on? " + "q" * 300), user("Go on. " + "a" * 300)]
    asked = request(user("task"), *turns * 30)
    first = prune(asked, 5_000, estimate, Pruning())
    again = prune(asked, 5_000, estimate, Pruning(), first.memory)
    assert again.request == first.request
    assert 0 < first.removed["assistant_messages"] < 26


def test_after_a_rewind_the_latest_turns_are_whole_again() -> None:
    """A turn that was cut and now is one of the last, since the user went back, is shown whole."""
    asked = session(60)
    first = prune(asked, 4_000, estimate, Pruning())
    back = request(user("the task"), *asked.messages[1:9], user("instead: " + "i" * 9_500))
    pruned = prune(back, 4_000, estimate, Pruning(), first.memory)
    assert pruned.request is back


def test_a_memory_is_bounded() -> None:
    """Of very many cuts the oldest are forgotten, and the newest stay."""
    old = Memory({b"%d" % n: 1 for n in range(5_000)})
    asked = session(60)
    pruned = prune(asked, 4_000, estimate, Pruning(), old)
    assert pruned.memory is not None
    assert len(pruned.memory.cuts) == 4_096
    assert b"4999" in pruned.memory.cuts
    assert b"0" not in pruned.memory.cuts
    assert not prune(asked, 4_000, estimate, Pruning(), pruned.memory).cut


def test_a_history_without_words_of_the_user() -> None:
    """Calls and results alone, or no messages at all, are pruned or refused like any other."""
    turns = [each for n in range(30) for each in (model(call(f"c{n}")), user(result(f"c{n}")))]
    pruned = prune(request(*turns), 2_000, estimate, Pruning())
    assert pruned.request.messages[-8:] == tuple(turns[-8:])
    assert pruned.request.messages[0].role == "user"
    empty = ChatRequest(model="m", messages=(), system=(TextPart("s" * 8_000),))
    with pytest.raises(GatewayError):
        prune(empty, 1_000, estimate, Pruning())


# ---- what holds for every history


class Writer:
    """Writes random histories; every text of them has a number, in order."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.number = 0
        self.calls = 0

    def text(self) -> str:
        self.number += 1
        return f"<{self.number}> " + "w" * int(10 ** self.random.uniform(0, 3.6))

    def history(self, *, sound: bool) -> tuple[Message, ...]:
        messages: list[Message] = []
        waiting: list[str] = []
        for _ in range(self.random.randrange(1, 40)):
            if messages and messages[-1].role != "assistant" and self.random.random() < 0.9:
                messages.append(self.spoken(waiting))
            else:
                messages.append(self.replied(waiting, sound=sound))
                waiting = []
        messages.append(self.replied(waiting, sound=True))
        return tuple(messages)

    def spoken(self, waiting: list[str]) -> Message:
        parts: list[Part | str] = []
        if self.random.random() < 0.6:
            parts.append(self.text())
        for _ in range(self.random.choice((0, 0, 1, 1, 2, 3))):
            self.calls += 1
            waiting.append(f"id{self.calls}")
            parts.append(call(waiting[-1], self.random.choice(("Read", "Bash", "Grep"))))
        return model(*(parts or [self.text()]))

    def replied(self, waiting: list[str], *, sound: bool) -> Message:
        if not waiting and self.random.random() < 0.05:
            return Message("system", (TextPart(self.text()),))
        given = [w for w in waiting if sound or self.random.random() < 0.8]
        if not sound and self.random.random() < 0.1:
            given.append("stray")
        parts: list[Part | str] = [ToolResult(each, (TextPart(self.text()),)) for each in given]
        if not parts or self.random.random() < 0.3:
            parts.append(self.text())
        return user(*parts)


def numbers(messages: tuple[Message, ...]) -> list[int]:
    """The numbers of the texts that are left, in order."""
    text = "\n".join(text_of(message.parts) for message in messages)
    return [int(found) for found in re.findall(r"<(\d+)>", text)]


def wrong(error: GatewayError) -> NoReturn:
    raise AssertionError("refused with numbers that are no reason") from error


def try_to_prune(asked: ChatRequest, seed: int) -> Pruned | None:
    random = Random(seed)
    target = random.uniform(0.1, 0.9)
    settings = Pruning(
        target=target,
        threshold=random.uniform(target, 1),
        keep_turns=random.randrange(6),
        head=random.choice((0, 30, 300)),
        tail=random.choice((0, 30, 300)),
    )
    window = round(estimate(asked) * random.uniform(0.2, 1.5)) + 20
    try:
        pruned = prune(asked, window, estimate, settings)
    except GatewayError as error:
        return (
            None if error.tokens and error.tokens[0] > error.tokens[1] == window else wrong(error)
        )
    again = prune(pruned.request, window, estimate, settings)
    assert again.request.messages == pruned.request.messages, "a second pruning changed something"
    assert not again.cut
    return pruned


def test_any_history_pruned_keeps_pairs_and_order_and_never_grows() -> None:
    """Fitted histories at any threshold: pairs whole, roles alternating, order kept, first words there, not longer."""
    cut = 0
    for seed in range(150):
        history = Writer(seed).history(sound=True)
        can = Capabilities(native_tools=True, system_midway=seed % 2 == 0)
        asked = fit(request(*history), can).request
        pruned = try_to_prune(asked, seed)
        if pruned is None:
            continue
        cut += pruned.cut
        after = pruned.request.messages
        assert estimate(pruned.request) == pruned.after <= pruned.before
        assert_pairs_whole(after)
        assert numbers(after) == sorted(numbers(after))
        spoken = [m.role for m in after if m.role != "system"]
        if seed % 2:
            assert all(a != b for a, b in pairwise(spoken))
        first = next(
            p
            for m in asked.messages
            for p in m.parts
            if m.role == "user" and isinstance(p, TextPart)
        )
        said = [p.text.strip() for m in after for p in m.parts if isinstance(p, TextPart)]
        assert first.text.strip() in said
        assert all(message.parts for message in after)
    assert cut > 30


def test_also_an_unsound_history_keeps_its_pairs() -> None:
    """What a client sent without its other half may go or stay; what had both halves never loses one."""
    for seed in range(150):
        asked = request(*Writer(seed).history(sound=False))
        pruned = try_to_prune(asked, seed)
        if pruned is None:
            continue
        assert pruned.after <= pruned.before
        assert numbers(pruned.request.messages) == sorted(numbers(pruned.request.messages))
        before, after = ids(asked), ids(pruned.request)
        whole = before[0] & before[1]
        assert after[0] & whole == after[1] & whole


def ids(asked: ChatRequest) -> tuple[set[str], set[str]]:
    parts = [part for message in asked.messages for part in message.parts]
    calls = {part.id for part in parts if isinstance(part, ToolCall)}
    return calls, {part.call_id for part in parts if isinstance(part, ToolResult)}
