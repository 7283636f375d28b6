"""Sixty turns of an agent against small windows, without a socket."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from long_session import LongSession, assert_pairs_whole, rendered
from msgspec.structs import replace

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import Capabilities
from sfbridge.core.request import ChatRequest, Message, ToolResult, text_of
from sfbridge.emulation import dress
from sfbridge.policy.estimate import estimate
from sfbridge.policy.fitting import fit
from sfbridge.policy.prefix import common_prefix, neutral_attribution, trail, where_broke
from sfbridge.policy.pruning import Memory, Pruned, Pruning, prune
from sfbridge.policy.pruning_units import folded
from sfbridge.policy.window import cap_output, least_output

NATIVE = Capabilities(native_tools=True, max_output=True)
PLAIN = Capabilities(max_output=True)
KEY = b"k" * 32


def dressed(request: ChatRequest) -> ChatRequest:
    return dress(request, KEY).request


def plain(request: ChatRequest) -> ChatRequest:
    return request


def neutral(request: ChatRequest) -> ChatRequest:
    return replace(request, system=neutral_attribution(request.system))


# window, bytes of tools, characters of system prompt, turns that may cut at most
WINDOWS = [(8_192, 6_000, 1_500, 60), (32_768, 20_000, 8_000, 30), (131_072, 20_000, 8_000, 8)]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("window", "tools", "system", "cuts"), WINDOWS)
@pytest.mark.parametrize(
    ("can", "shown"), [(NATIVE, plain), (PLAIN, dressed)], ids=["native", "emulated"]
)
def test_sixty_turns_never_outgrow_the_window(
    can: Capabilities,
    shown: Callable[[ChatRequest], ChatRequest],
    window: int,
    tools: int,
    system: int,
    cuts: int,
    seed: int,
) -> None:
    """Every turn fits with its answer, keeps pairs and the task, and begins as the one before until it is cut."""
    session = LongSession(seed, tools=tools, system=system)
    memory: Memory | None = None
    earlier = ""
    made = 0
    for turn in range(60):
        request = fit(neutral(session.request()), can).request
        pruned = prune(request, window, lambda r: estimate(shown(r)), Pruning(), memory)
        memory = pruned.memory
        sent = shown(pruned.request)
        assert pruned.after == estimate(sent) <= pruned.before
        limit = cap_output(request.max_output, pruned.after, window, None)
        assert limit is not None
        assert least_output(window) <= limit
        assert pruned.after + limit <= window
        assert_pairs_whole(pruned.request.messages)
        roles = [message.role for message in pruned.request.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
        assert "Make every test in tests/ pass" in text_of(pruned.request.messages[0].parts)
        assert_latest_turns_stay(request, pruned)
        now = rendered(sent)
        if pruned.cut:
            made += 1
        else:
            assert now.startswith(earlier), f"turn {turn} does not begin as the one before"
        earlier = now
        session.grow()
    assert 1 <= made <= cuts


def assert_latest_turns_stay(request: ChatRequest, pruned: Pruned) -> None:
    whole = [m for m in request.messages if m.role == "assistant"][-4:]
    assert [m for m in pruned.request.messages if m.role == "assistant"][
        -len(whole) or 99 :
    ] == whole


def test_too_large_a_fixed_part_is_refused_with_true_numbers() -> None:
    """Tools that alone are larger than the window end in the client's own overflow, at every turn."""
    session = LongSession(3, tools=60_000, system=1_500)
    for _ in range(5):
        request = fit(session.request(), NATIVE).request
        with pytest.raises(GatewayError) as caught:
            prune(request, 8_192, estimate, Pruning())
        assert caught.value.kind == "context_overflow"
        assert caught.value.tokens is not None
        prompt, window = caught.value.tokens
        assert window == 8_192
        assert 15_000 < prompt <= estimate(request)
        session.grow()


def test_refusal_comes_exactly_when_the_fixed_part_does_not_fit() -> None:
    """System prompt, tools, first turn and the last turns, folded, decide alone: one line more is the border."""
    session = LongSession(4, tools=20_000, system=1_500)
    for _ in range(20):
        session.grow()
    request = fit(session.request(), NATIVE).request
    first, *_ = request.messages
    latest = [
        Message(
            m.role, tuple(folded(p, 1500, 500) if isinstance(p, ToolResult) else p for p in m.parts)
        )
        for m in request.messages[-8:]
    ]
    fixed = estimate(replace(request, messages=(first, *latest)))
    room = least_output(10_000)
    with pytest.raises(GatewayError) as caught:
        prune(request, fixed + room - 1, estimate, Pruning())
    assert caught.value.tokens is not None
    assert caught.value.tokens[0] > caught.value.tokens[1] == fixed + room - 1
    line = 80  # tokens of the line that tells what was removed, at most
    pruned = prune(request, fixed + room + line, estimate, Pruning())
    assert fixed < pruned.after <= fixed + line


@pytest.mark.parametrize(
    ("can", "shown"), [(NATIVE, plain), (PLAIN, dressed)], ids=["native", "emulated"]
)
def test_two_turns_share_everything_but_the_new_turn(
    can: Capabilities, shown: Callable[[ChatRequest], ChatRequest]
) -> None:
    """Without pruning, the whole prompt of a turn is the beginning of the next one, byte for byte."""
    session = LongSession(5)
    prompts: list[ChatRequest] = []
    for _ in range(8):
        session.grow()
        prompts.append(shown(fit(neutral(session.request()), can).request))
    for before, after in pairwise(prompts):
        old, new = rendered(before).encode(), rendered(after).encode()
        assert common_prefix(old, new) == len(old)
        assert where_broke(trail(before), trail(after)) == ""


def test_the_attribution_line_is_what_would_break_it() -> None:
    """With the changing line left in, two turns part within the first system text, and it is named."""
    session = LongSession(6)
    before = fit(session.request(), NATIVE).request
    session.grow()
    after = fit(session.request(), NATIVE).request
    old, new = rendered(before), rendered(after)
    assert common_prefix(old, new) < old.index("You are Claude Code.")
    assert where_broke(trail(before), trail(after)) == "system text 1 changed, after 8 of 12 pieces"
