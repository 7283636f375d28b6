"""A client's demands, held against calls that an upstream made by itself."""

from __future__ import annotations

import pytest

from sfbridge.core.request import TextPart, Tool, ToolCall, ToolChoice, ToolResult
from sfbridge.core.stream import CallArguments, CallClosed, CallOpened
from sfbridge.emulation.native import NativeCalls

TOOLS = (Tool(name="look"), Tool(name="listen"))


def made(choice: ToolChoice, *calls: tuple[str, str]) -> NativeCalls:
    """Calls by id and name."""
    native = NativeCalls(TOOLS, choice)
    for key, (call_id, name) in enumerate(calls):
        native.feed(CallOpened(key, call_id, name))
        native.feed(CallArguments(key, "{}"))
        native.feed(CallClosed(key))
    return native


@pytest.mark.parametrize(
    ("choice", "calls", "faults"),
    [
        (ToolChoice(), ["look", "listen"], 0),
        (ToolChoice("required"), ["look", "listen"], 0),
        (ToolChoice("none"), [], 2),
        (ToolChoice("named", "listen"), ["listen"], 1),
        (ToolChoice(parallel=False), ["look"], 0),
    ],
)
def test_only_what_was_allowed_is_a_call(choice: ToolChoice, calls: list[str], faults: int) -> None:
    """A forbidden call is a fault, one too many is left out and counted."""
    found, wrong, notes = made(choice, ("a", "look"), ("b", "listen")).settle("tool_calls")
    assert [call.name for call in found] == calls
    assert len(wrong) == faults
    assert notes == ({} if choice.parallel else {"extra_calls": 1})


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("named", "look")])
def test_an_answer_without_the_demanded_call_is_asked_again(choice: ToolChoice) -> None:
    """Words alone are a fault where a call was demanded, unless the output limit cut them."""
    native = made(choice)
    assert native.settle("length") == ((), (), {})
    _, (fault,), _ = native.settle("stop")
    assert fault.kind == "form"
    answer, told = native.correction("I would rather not.")
    assert answer.parts == (TextPart("I would rather not."),)
    assert told.role == "user"
    assert native.correction("")[0].parts != ()


def test_a_correction_keeps_calls_of_one_id_apart() -> None:
    """The model is shown each of its calls with a result of its own, also when it repeated an id."""
    native = made(ToolChoice("none"), ("same", "look"), ("same", "listen"), ("", "look"))
    native.settle("tool_calls")
    answer, told = native.correction("")
    ids = [part.id for part in answer.parts if isinstance(part, ToolCall)]
    assert len(set(ids)) == 3
    assert [part.call_id for part in told.parts if isinstance(part, ToolResult)] == ids
