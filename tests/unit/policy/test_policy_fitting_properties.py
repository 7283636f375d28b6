"""What holds for every history, shown on random ones."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

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
)
from sfbridge.policy.fitting import fit
from sfbridge.policy.history import pair_calls

SEEDS = range(100)
PROFILES = {
    "bare": Capabilities(),
    "native": Capabilities(native_tools=True, images=True),
    "midway": Capabilities(native_tools=True, system_midway=True),
    "loose": Capabilities(native_tools=True, alternation=False, thoughts=True),
    "free": Capabilities(alternation=False, system_midway=True),
}


class Scribe:
    """Writes histories with every fault that clients were seen to make."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.words = 0
        self.open: list[str] = []

    def text(self) -> TextPart:
        self.words += 1
        return TextPart(f"word{self.words}.")

    def result(self) -> ToolResult:
        ids = [*self.open[-4:], "stray", ""]
        inner: list[Part] = [self.text()]
        if self.random.random() < 0.2:
            inner.append(ImagePart(data="aa"))
        return ToolResult(self.random.choice(ids), tuple(inner), self.random.random() < 0.2)

    def user(self) -> Message:
        parts: list[Part] = [self.result() for _ in range(self.random.choice((0, 0, 1, 2, 3)))]
        parts += [self.text() for _ in range(self.random.choice((0, 1, 1, 2)))]
        if self.random.random() < 0.2:
            parts.append(TextPart(self.random.choice(("", " \n"))))
        self.random.shuffle(parts)
        return Message("user", tuple(parts))

    def assistant(self) -> Message:
        parts: list[Part] = []
        if self.random.random() < 0.2:
            parts.append(ThoughtPart("hm"))
        if self.random.random() < 0.7:
            parts.append(self.text())
        for _ in range(self.random.choice((0, 0, 1, 2))):
            call_id = self.random.choice(("", "call_0", f"call_{self.random.randrange(50)}"))
            self.open.append(call_id)
            parts.append(ToolCall(call_id, "look", "{}"))
        return Message("assistant", tuple(parts))

    def message(self) -> Message:
        kind = self.random.random()
        if kind < 0.45:
            return self.user()
        if kind < 0.9:
            return self.assistant()
        return Message("system", (self.text(),) if kind < 0.97 else ())

    def history(self) -> tuple[Message, ...]:
        """Ends with a user's words, as a request does."""
        messages = [self.message() for _ in range(self.random.randrange(12))]
        return (*messages, Message("user", (self.text(),)))

    def turn(self) -> tuple[Message, ...]:
        """What a conversation grows by: the model speaks, then the user."""
        said = Message("assistant", (self.text(), *self.assistant().parts))
        return (said, *(self.message() for _ in range(self.random.randrange(3))), self.user())


def fitted(history: tuple[Message, ...], can: Capabilities) -> tuple[Message, ...]:
    return fit(ChatRequest(model="m", messages=history), can).request.messages


def assert_paired(messages: tuple[Message, ...]) -> None:
    ids: list[str] = []
    for place, message in enumerate(messages):
        calls = [part.id for part in message.parts if isinstance(part, ToolCall)]
        results = [part.call_id for part in message.parts if isinstance(part, ToolResult)]
        ids += calls
        assert not calls or message.role == "assistant"
        if calls:
            after = messages[place + 1]
            assert after.role == "user"
            front = after.parts[: len(calls)]
            assert [part.call_id for part in front if isinstance(part, ToolResult)] == calls
        if results:
            before = messages[place - 1] if place else Message("user", ())
            assert results == [part.id for part in before.parts if isinstance(part, ToolCall)]
    assert len(set(ids)) == len(ids)
    assert "" not in ids


def written(messages: tuple[Message, ...]) -> str:
    """Every text of a history in order, results included."""
    found: list[str] = []
    for message in messages:
        for part in message.parts:
            inner = part.parts if isinstance(part, ToolResult) else (part,)
            found += [p.text for p in inner if isinstance(p, TextPart)]
    return " ".join(found)


def own_words(messages: tuple[Message, ...], role: str) -> list[str]:
    return [
        part.text.strip()
        for message in messages
        if message.role == role
        for part in message.parts
        if isinstance(part, TextPart) and part.text.strip()
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_each_call_has_exactly_one_result_right_after_it(seed: int) -> None:
    """However a client mixes calls and results up, they go out in pairs, and stay paired when fitted."""
    history = Scribe(seed).history()
    paired, counts = pair_calls(history)
    assert_paired(paired)
    assert all(counts.values())
    assert pair_calls(paired)[0] is paired
    for can in PROFILES.values():
        assert_paired(fitted(history, can))


@pytest.mark.parametrize("seed", SEEDS)
def test_turns_alternate_from_user_to_user(seed: int) -> None:
    """A model that needs turns gets them, without empty ones and without blank texts."""
    history = Scribe(seed).history()
    for name in ("bare", "native", "midway"):
        messages = fitted(history, PROFILES[name])
        roles = [message.role for message in messages if message.role != "system"]
        assert roles[0] == roles[-1] == "user"
        if name != "midway":
            assert len(roles) == len(messages)
            assert all(a != b for a, b in pairwise(roles))
        for message in messages:
            assert message.parts
            assert all(p.text.strip() for p in message.parts if isinstance(p, TextPart))


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_that_was_said_is_lost(seed: int) -> None:
    """Every word of user, model and system arrives, once and in the same order within its role."""
    history = Scribe(seed).history()
    for can in PROFILES.values():
        messages = fitted(history, can)
        told = written(messages)
        for role in ("user", "assistant", "system"):
            places = [told.index(word) for word in own_words(history, role)]
            assert places == sorted(places)
            assert all(told.count(word) == 1 for word in own_words(history, role))
        first = own_words(history, "user")[0]
        assert first in written(tuple(m for m in messages if m.role == "user"))


@pytest.mark.parametrize("seed", SEEDS)
def test_fitting_twice_changes_nothing(seed: int) -> None:
    """A fitted request fits."""
    request = ChatRequest(model="m", messages=Scribe(seed).history(), stop=("END",), max_output=9)
    for can in PROFILES.values():
        once = fit(request, can)
        twice = fit(once.request, can)
        assert twice.request == once.request
        assert twice.ignored == ()
        assert twice.emulate == once.emulate


@pytest.mark.parametrize("seed", SEEDS)
def test_a_conversation_that_grows_keeps_its_beginning(seed: int) -> None:
    """What was sent in one turn is sent again in the next, part by part: prompt caches hold."""
    scribe = Scribe(seed)
    history = scribe.history()
    for _ in range(3):
        longer = history + scribe.turn()
        for can in PROFILES.values():
            before = fitted(history, can)
            assert fitted(longer, can)[: len(before)] == before
        # Only a request that ends with the user's words is followed by the model's.
        history = (*longer, Message("user", (scribe.text(),)))
