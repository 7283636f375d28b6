"""Arguments of four megabytes in pieces of four characters: the time grows with the size and with nothing else."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable

import msgspec
import pytest

from sfbridge.core.request import ChatRequest, Tool
from sfbridge.emulation import Dressed, Reader

M = "k7f2x"
SCHEMA = b'{"type":"object","properties":{"s":{"type":"string","minLength":1}},"required":["s"]}'
DRESSED = Dressed(
    request=ChatRequest(model="m", messages=()),
    mark=M,
    tools=(Tool(name="Do", schema=msgspec.Raw(SCHEMA)),),
)
OPEN = f'<tool_call {M} name="Do">\n'
END = f"\n</tool_call {M}>"
# A neighbour on the machine may slow one half of an attempt, hardly of every attempt.
ATTEMPTS = 6
ROUNDS = 2


def in_raw_block(body: str) -> str:
    return f'{OPEN}<raw {M} name="s">\n{body}\n</raw {M}>{END}'


def in_json(body: str) -> str:
    return f"{OPEN}{json.dumps({'s': body})}{END}"


def with_raw_line_breaks(body: str) -> str:
    return f'{OPEN}{{"s":"{body}"}}{END}'


def as_python(body: str) -> str:
    return OPEN + repr({"s": body}) + END


def doubled(body: str) -> str:
    return f"{OPEN}{json.dumps(json.dumps({'s': body}))}{END}"


def never_closed(body: str) -> str:
    return f"{OPEN}{json.dumps({'s': body})[:-2]}"


def seconds(text: str, meant: str | None) -> float:
    pieces = [text[at : at + 4] for at in range(0, len(text), 4)]
    reader = Reader(DRESSED)
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        for piece in pieces:
            reader.feed(piece)
        verdict = reader.drain("stop")
        spent = time.process_time() - began
    finally:
        gc.enable()
    if meant is None:
        assert verdict.calls == ()
    else:
        assert json.loads(verdict.calls[0].arguments) == {"s": meant}
    return spent


@pytest.mark.parametrize(
    ("write", "line", "size"),
    [
        (in_raw_block, "plain words \n", 4_000_000),
        (in_raw_block, "<a></b> if x < y: </tool_ \n", 4_000_000),
        (in_json, 'say "hi" \\ and </tool_call\n', 2_800_000),
        (with_raw_line_breaks, "one line\n", 4_000_000),
        (as_python, 'it\'s "so"\n', 1_200_000),
        (doubled, 'a "word"\n', 1_200_000),
        (never_closed, 'a "word" \\', 1_200_000),
    ],
)
def test_twice_the_size_is_at_most_twice_the_work(
    write: Callable[[str], str], line: str, size: int
) -> None:
    """Doubling an argument costs at most 2.2 times, the best of two interleaved rounds, in one of six attempts."""
    whole = (line * (size // len(line) + 1))[:size]
    half = whole[: size // 2]
    closes = write is not never_closed
    told = []
    for _ in range(ATTEMPTS):
        times = [
            (
                seconds(write(half), half if closes else None),
                seconds(write(whole), whole if closes else None),
            )
            for _ in range(ROUNDS)
        ]
        small, large = min(one for one, _ in times), min(two for _, two in times)
        if large <= 2.2 * small:
            return
        told.append(f"{small:.3f} s, then {large:.3f} s")
    pytest.fail(f"{size // 2} and {size} characters: {'; '.join(told)}")
