"""The reader: what leaves when, in linear time, and how an answer may end."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.core.request import ChatRequest, Tool
from sfbridge.core.stream import FinishReason, Piece, Text, Thought
from sfbridge.emulation import Dressed, Reader, Verdict
from sfbridge.emulation.scanner import LIMIT

MARK = "k7f2x"
TOOLS = (
    Tool(
        name="Bash",
        schema=msgspec.Raw(
            b'{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]}'
        ),
    ),
    Tool(name="Now"),
)
DRESSED = Dressed(request=ChatRequest(model="m", messages=()), mark=MARK, tools=TOOLS)
NOW = f'<tool_call {MARK} name="Now">\n{{}}\n</tool_call {MARK}>'


def bash(command: str) -> str:
    return (
        f'<tool_call {MARK} name="Bash">\n{json.dumps({"command": command})}\n</tool_call {MARK}>'
    )


def shown(pieces: Iterable[Piece]) -> tuple[str, str]:
    """Words and thoughts."""
    pieces = tuple(pieces)
    return (
        "".join(p.text for p in pieces if isinstance(p, Text)),
        "".join(p.text for p in pieces if isinstance(p, Thought)),
    )


def run(parts: Iterable[str], reason: FinishReason = "stop") -> tuple[str, str, Verdict]:
    reader = Reader(DRESSED)
    pieces: list[Piece] = []
    for part in parts:
        pieces += reader.feed(part)
    verdict = reader.drain(reason)
    return *shown([*pieces, *verdict.pieces]), verdict


def summary(parts: Iterable[str], reason: FinishReason = "stop") -> Any:
    words, thoughts, verdict = run(parts, reason)
    faults = [(fault.name, fault.problems) for fault in verdict.faults]
    return words, thoughts, verdict.calls, faults, verdict.reason, verdict.notes


FRAGMENTS = (
    NOW,
    bash("ls"),
    f'<tool_call {MARK} name="Bash">',
    f"</tool_call {MARK}>",
    f"</raw {MARK}>",
    f'<raw {MARK} name="command">\n',
    f"<tool_result {MARK} ",
    "<tool_result>",
    "<tool_results>",
    "<tool_call>",
    "</tool_call>",
    "<function=Bash>",
    "<function_calls>",
    '<tool_call name="Bash">',
    "<invoke name=",
    '{"name":"Now","arguments":{}}',
    '{"command":"a"}',
    "<think>",
    "</think>",
    "<thinking>",
    "</thinking>",
    "```",
    "```json\n",
    "~~~~",
    "``",
    "\n",
    "\n",
    "\n",
    "    ",
    "\t",
    "\r\n",
    " word ",
    "<",
    "</",
    "<tool_",
    "{",
    "[",
    "é😀",
    MARK,
)


@given(
    st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join),
    st.integers(0, 2**32),
    st.sampled_from(["stop", "length"]),
)
def test_result_does_not_depend_on_the_pieces(text: str, seed: int, reason: FinishReason) -> None:
    """Any answer gives the same words, calls, faults and counts however it is cut into pieces."""
    whole = summary([text], reason)
    rng = random.Random(seed)
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(8)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert summary(parts, reason) == whole
    assert summary(text, reason) == whole


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join))
def test_no_part_of_a_marked_call_is_ever_prose(text: str) -> None:
    """Words that leave never hold an opening or closing tag with the mark."""
    words, _, _ = run(text)
    for tag in (f"<tool_call {MARK} ", f"</tool_call {MARK}>", f"</raw {MARK}>"):
        assert tag not in words


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_plain_text_is_untouched(text: str) -> None:
    """An answer without calls leaves exactly as it came, white space alone excepted."""
    words, thoughts, verdict = run(text)
    if not text.startswith(("<", "{", "[", "`", "~")):
        assert words == (text if text.strip() else "")
        assert (thoughts, verdict.calls, verdict.faults) == ("", (), ())


def test_words_leave_at_once() -> None:
    """Ordinary words are not held back, save white space and what may begin a tag."""
    reader = Reader(DRESSED)
    assert shown(reader.feed("Hello wor"))[0] == "Hello wor"
    assert shown(reader.feed("ld. "))[0] == "ld."
    assert shown(reader.feed("a < b <"))[0] == " a < b"
    assert shown(reader.feed("tool_c"))[0] == ""
    assert shown(reader.feed("ake"))[0] == " <tool_cake"


def test_white_space_around_calls_is_packaging() -> None:
    """Line breaks between words and a call do not reach the client; those between words do."""
    words, _, verdict = run([f"First.\n\n{NOW}\n\n"])
    assert (words, len(verdict.calls), verdict.notes) == ("First.", 1, {})
    words, _, _ = run([f"First.\n{NOW}\nand then\n{bash('a')}"])
    assert words == "First.\n\nand then"


def test_words_after_the_last_call_are_dropped_and_counted() -> None:
    """What a model says after its calls, as if they had been answered, is not shown."""
    words, _, verdict = run([f"I look.\n{NOW}\nIt is noon."])
    assert words == "I look."
    assert verdict.notes == {"trailing_text": 1}


def test_invented_result_halts_the_reader() -> None:
    """After an invented result nothing is read any more, and the turn ends with the calls before it."""
    reader = Reader(DRESSED)
    reader.feed(f"{NOW}\n<tool_result {MARK} name")
    assert reader.halted
    assert reader.feed(bash("rm -rf /")) == []
    verdict = reader.drain("stop")
    assert [call.name for call in verdict.calls] == ["Now"]
    assert verdict.notes == {"fabricated_result": 1}


@pytest.mark.parametrize("tag", ["<tool_result>", "<tool_response>", "<function_results>"])
def test_unmarked_invented_result_halts_too(tag: str) -> None:
    """A result in another dialect at the beginning of a line after a call is invented as well."""
    _, _, verdict = run([f"{NOW}\n{tag}\n12:00\n{bash('a')}"])
    assert [call.name for call in verdict.calls] == ["Now"]
    assert verdict.notes == {"fabricated_result": 1}


def test_thoughts_are_thoughts() -> None:
    """A think block at the beginning of a line leaves as thought, and nothing in it is a call."""
    words, thoughts, verdict = run(f"<think>\nhm {NOW}\n</think>\n\nYes.\n<think>more</think>{NOW}")
    assert words == "Yes."
    assert thoughts == f"\nhm {NOW}\nmore"
    assert len(verdict.calls) == 1


def test_think_in_the_middle_of_a_line_or_in_a_fence_is_text() -> None:
    """Writing about think tags is not thinking."""
    for text in ("The tag <think> opens.", "Look:\n```\n<think>\n```\nDone."):
        words, thoughts, _ = run([text])
        assert (words, thoughts) == (text, "")


def test_fence_around_nothing_but_calls_is_dropped() -> None:
    """A fence that only wraps calls does not reach the client; one with words does."""
    words, _, verdict = run([f"So:\n```xml\n{NOW}\n{bash('a')}\n```\n"])
    assert (words, len(verdict.calls), verdict.notes) == ("So:", 2, {})
    words, _, _ = run([f"So:\n```sh\nls\n```\n{NOW}"])
    assert words == "So:\n```sh\nls\n```"


def test_marked_call_inside_a_fence_is_a_call() -> None:
    """The mark counts wherever it stands."""
    _, _, verdict = run([f"```\ntext\n{NOW}\n```"])
    assert [call.name for call in verdict.calls] == ["Now"]


def test_raw_block_outside_a_call_spoils_the_turn() -> None:
    """A closing tag of a raw block behind a call shows that the call was read too short."""
    text = (
        f'<tool_call {MARK} name="Bash">\n<raw {MARK} name="command">\necho </raw {MARK}>\n'
        f"</tool_call {MARK}>\nmore\n</raw {MARK}>\n</tool_call {MARK}>"
    )
    _, _, verdict = run([text])
    assert verdict.calls == ()
    assert verdict.faults[0].name == "Bash"


def test_second_closing_tag_means_nothing() -> None:
    """A closing tag written twice costs no repair round."""
    words, _, verdict = run([f"{NOW}\n</tool_call {MARK}>\n"])
    assert (words, len(verdict.calls), verdict.faults) == ("", 1, ())


def test_open_call_at_the_output_limit_is_dropped() -> None:
    """At the output limit complete calls are kept and the open one is dropped, complete or not."""
    for rest in (
        f'<tool_call {MARK} name="Ba',
        f'<tool_call {MARK} name="Bash">\n{{"command":"a"}}\n',
    ):
        _, _, verdict = run([f"{NOW}\n{rest}"], "length")
        assert [call.name for call in verdict.calls] == ["Now"]
        assert (verdict.reason, verdict.notes) == ("tool_calls", {"truncated_call": 1})
        _, _, verdict = run([rest], "length")
        assert (verdict.calls, verdict.faults, verdict.reason) == ((), (), "length")


def test_opening_tag_that_never_ends_is_a_fault() -> None:
    """An answer that stops within an opening tag is asked for again."""
    for text in (f"<tool_call {MARK}", f'<tool_call {MARK} name="Bash"'):
        _, _, verdict = run([f"Now.\n{text}"])
        assert len(verdict.faults) == 1


def test_same_call_three_times_is_one_call() -> None:
    """A loop of the same call is cut to its first; two of them may be meant."""
    _, _, verdict = run([f"{bash('a')}\n{NOW}\n{bash('a')}\n{bash('a')}\n{bash('a')}"])
    assert [call.name for call in verdict.calls] == ["Bash", "Now"]
    assert verdict.notes == {"repeated_calls": 3}
    assert len(run([f"{bash('a')}\n{bash('a')}"])[2].calls) == 2


def test_answer_without_end_is_stopped() -> None:
    """Beyond eight million characters the reader halts and the turn is faulty."""
    reader = Reader(DRESSED)
    reader.feed(f'<tool_call {MARK} name="Bash">\n{{"command":"')
    for _ in range(9):
        reader.feed("x" * (LIMIT // 8))
    assert reader.halted
    verdict = reader.drain("stop")
    assert verdict.calls == ()
    assert verdict.faults[0].kind == "form"


def seconds(size: int, text: str) -> float:
    reader = Reader(DRESSED)
    body = (text * (size // len(text) + 1))[:size]
    pieces = [body[at : at + 4] for at in range(0, size, 4)]
    began = time.process_time()
    reader.feed(f'<tool_call {MARK} name="Bash">\n<raw {MARK} name="command">\n')
    for piece in pieces:
        reader.feed(piece)
    reader.feed(f"\n</raw {MARK}>\n</tool_call {MARK}>")
    verdict = reader.drain("stop")
    spent = time.process_time() - began
    assert json.loads(verdict.calls[0].arguments) == {"command": body}
    return spent


@pytest.mark.parametrize("text", ["plain words \n", "<a></b> if x < y: </tool_ \n"])
def test_time_grows_with_the_size_only(text: str) -> None:
    """Twice the size of an argument costs about twice the time."""
    for _ in range(3):
        if seconds(800_000, text) <= 3 * seconds(400_000, text):
            return
    pytest.fail("reading took more than linear time in three attempts")


@pytest.mark.parametrize("text", ["word ", "\n", "<", " ", "`", "<tool_call ", "```\n", "{}\n"])
def test_prose_is_read_in_linear_time(text: str) -> None:
    """No text makes the reader search again and again, neither whole nor in small pieces."""
    body = text * (400_000 // len(text))
    began = time.process_time()
    run([body])
    run(body[at : at + 16] for at in range(0, len(body), 16))
    assert time.process_time() - began < 8
