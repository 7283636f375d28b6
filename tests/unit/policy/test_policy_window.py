"""How much a model may answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.policy.window import cap_output, least_output

tokens = st.integers(0, 300_000)


@pytest.mark.parametrize(
    ("asked", "prompt", "window", "output_cap", "sent"),
    [
        (None, 1_000, 8_192, None, None),  # servers take what is left
        (32_000, 10_000, None, None, 32_000),  # nothing is known
        (32_000, 10_000, None, 8_192, 8_192),
        (500, 10_000, 100_000, None, 500),
        (32_000, 10_000, 100_000, None, 32_000),
        (128_000, 50_000, 100_000, None, 35_000),  # 50,000 free, less 15 % of the window
        (128_000, 80_000, 100_000, None, 10_000),  # 20,000 free: the reserve takes half
        (128_000, 98_500, 100_000, None, 1_024),  # 1,500 free: an answer needs so much
        (128_000, 99_500, 100_000, None, 500),
        (128_000, 120_000, 100_000, None, 1),
        (128_000, 50_000, 100_000, 8_192, 8_192),
    ],
)
def test_the_answer_fits_and_leaves_room(
    asked: int | None, prompt: int, window: int | None, output_cap: int | None, sent: int | None
) -> None:
    """What the client asked, as far as the window and the model go."""
    assert cap_output(asked, prompt, window, output_cap) == sent


def test_a_floor_lifts_what_the_client_asked() -> None:
    """A thinking model gets its floor, as far as there is room for it."""
    assert cap_output(100, 1_000, 32_000, None, floor=4_000) == 4_000
    assert cap_output(100, 30_000, 32_000, None, floor=4_000) == 2_000
    assert cap_output(100, 1_000, 32_000, 2_048, floor=4_000) == 2_048
    assert cap_output(9_000, 1_000, 32_000, None, floor=4_000) == 9_000


@given(
    asked=st.integers(1, 200_000),
    prompt=tokens,
    window=st.none() | st.integers(1, 300_000),
    output_cap=st.none() | st.integers(1, 100_000),
    reserve=st.floats(0, 0.9),
    floor=st.integers(0, 50_000),
)
def test_it_always_fits(
    asked: int,
    prompt: int,
    window: int | None,
    output_cap: int | None,
    reserve: float,
    floor: int,
) -> None:
    """Whatever the numbers: at least 1, within window and model, above what was asked only for a floor."""
    sent = cap_output(asked, prompt, window, output_cap, reserve=reserve, floor=floor)
    assert sent is not None
    assert sent >= 1
    assert sent <= max(asked, floor)
    if output_cap is not None:
        assert sent <= output_cap
    if window is not None and prompt < window:
        assert prompt + sent <= window


@given(asked=st.integers(1, 200_000), prompt=tokens, window=st.integers(1, 300_000))
def test_a_longer_prompt_never_gets_a_longer_answer(asked: int, prompt: int, window: int) -> None:
    """The answer shrinks as the prompt grows, without jumps upwards."""
    here = cap_output(asked, prompt, window, None)
    there = cap_output(asked, prompt + 1, window, None)
    assert here is not None
    assert there is not None
    assert there <= here


@given(window=st.integers(2, 300_000), floor=st.integers(0, 300_000))
def test_the_least_answer_leaves_half_the_window(window: int, floor: int) -> None:
    """The room kept for an answer never squeezes the prompt into less than half of the window."""
    assert 1 <= least_output(window, floor) <= window // 2


def test_the_least_answer_grows_with_the_window_and_the_floor() -> None:
    """An eighth of a small window, 1,024 tokens of any other, more where a floor is set."""
    assert least_output(4_096) == 512
    assert least_output(8_192) == least_output(200_000) == 1_024
    assert least_output(32_000, 8_000) == 8_000
