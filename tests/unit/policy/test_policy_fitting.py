"""A request against what a model can do, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import Capabilities
from sfbridge.core.request import (
    ChatRequest,
    DocumentPart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    Sampling,
    SealedPart,
    Shape,
    TextPart,
    Thinking,
    ThoughtPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from sfbridge.policy.fitting import fit

BARE = Capabilities()
NATIVE = Capabilities(native_tools=True, parallel_calls=True, streams=True)
ABLE = Capabilities(
    streams=True,
    native_tools=True,
    parallel_calls=True,
    choices=frozenset({"none", "required", "named", "single"}),
    images=True,
    documents=True,
    thoughts=True,
    system_midway=True,
    alternation=False,
    shapes=frozenset({"json", "schema"}),
    knobs=frozenset(Sampling.__struct_fields__),
    max_output=True,
    stop=True,
)
LOOK = Tool(name="look")


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(TextPart(p) if isinstance(p, str) else p for p in parts))


def model(*parts: Part | str) -> Message:
    return Message("assistant", user(*parts).parts)


def system(*parts: Part | str) -> Message:
    return Message("system", user(*parts).parts)


def asked(*messages: Message, **more: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=messages or (user("hi"),), **more)


def texts(request: ChatRequest) -> list[tuple[str, list[str]]]:
    return [
        (message.role, [p.text for p in message.parts if isinstance(p, TextPart)])
        for message in request.messages
    ]


CALLED = (
    user("go"),
    model(ToolCall("a", "look", "{}")),
    user(ToolResult("a", (TextPart("seen"),))),
)


# ---- knobs


def test_a_model_that_can_everything_gets_everything() -> None:
    """Nothing is dropped, changed or emulated where nothing is lacking."""
    request = asked(
        user("hi", ImagePart(data="aa"), DocumentPart(data="bb")),
        model(ThoughtPart("hm", "sig"), SealedPart("x"), "yes"),
        system("note"),
        system("note"),
        tools=(LOOK,),
        choice=ToolChoice("named", "look", parallel=False),
        sampling=Sampling(temperature=0.0, seed=1),
        max_output=10,
        stop=("END",),
        thinking=Thinking(effort="high"),
        shape=Shape("json"),
        stream=True,
    )
    fitted = fit(request, ABLE)
    assert fitted.request == request
    assert fitted.ignored == fitted.emulate_stop == ()
    assert (fitted.emulate, fitted.emulate_shape, fitted.downgraded) == (False, False, False)
    assert fitted.stream
    assert fitted.repairs == {}


def test_knobs_that_the_model_lacks_are_dropped_and_listed_in_the_client_s_words() -> None:
    """Every tuning knob and unknown field is named as the client wrote it, and none of them is sent."""
    request = asked(
        sampling=Sampling(
            temperature=0.0,
            top_p=1.0,
            top_k=1,
            seed=0,
            frequency_penalty=0.0,
            presence_penalty=0.0,
        ),
        max_output=64_000,
        thinking=Thinking(),
        words={"max_output": "max_completion_tokens", "thinking": "reasoning_effort"},
        extras={"logprobs": Raw(b"true"), "n": Raw(b"2")},
    )
    fitted = fit(request, BARE)
    assert fitted.ignored == (
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "max_completion_tokens",
        "reasoning_effort",
        "logprobs",
        "n",
    )
    assert fitted.request == asked(words=request.words)


def test_knobs_that_the_model_has_are_kept() -> None:
    """Only what is lacking goes."""
    can = Capabilities(knobs=frozenset({"temperature"}), max_output=True, thoughts=True)
    request = asked(
        sampling=Sampling(temperature=0.5, top_k=3), max_output=5, thinking=Thinking(budget=9)
    )
    fitted = fit(request, can)
    assert fitted.ignored == ("top_k",)
    assert fitted.request.sampling == Sampling(temperature=0.5)
    assert fitted.request.max_output == 5
    assert fitted.request.thinking == Thinking(budget=9)


@pytest.mark.parametrize(
    ("wanted", "cap", "sent"),
    [(64_000, 8_192, 8_192), (100, 8_192, 100), (64_000, None, 64_000), (None, 8_192, None)],
)
def test_too_high_an_output_limit_is_lowered_in_silence(
    wanted: int | None, cap: int | None, sent: int | None
) -> None:
    """The output limit is the smaller of the client's and the model's; it is never refused or listed."""
    fitted = fit(asked(max_output=wanted), Capabilities(max_output=True, output_cap=cap))
    assert fitted.request.max_output == sent
    assert fitted.ignored == ()


def test_listed_names_are_fit_for_a_header() -> None:
    """Field names come from the client: unfit characters, length, number and repeats are taken care of."""
    odd = {
        "a\r\nset-cookie: x": Raw(b"1"),
        "ok.name_1-x": Raw(b"1"),
        "ü": Raw(b"1"),
        "ab": Raw(b"1"),
        "a b": Raw(b"1"),
        "y" * 100: Raw(b"1"),
    }
    ignored = fit(asked(extras=odd), BARE).ignored
    assert ignored == ("aset-cookiex", "ok.name_1-x", "ab", "y" * 64)
    many = {f"field{n}": Raw(b"1") for n in range(100)}
    assert fit(asked(extras=many), BARE).ignored == tuple(f"field{n}" for n in range(32))


def test_stop_sequences_are_emulated_where_they_are_lacking() -> None:
    """They are honoured either way, so they are not listed as ignored."""
    fitted = fit(asked(stop=("END", "\n")), BARE)
    assert fitted.emulate_stop == ("END", "\n")
    assert fitted.request.stop == fitted.ignored == ()


# ---- tools


@pytest.mark.parametrize(
    ("choice", "can", "emulate"),
    [
        (ToolChoice(), BARE, True),
        (ToolChoice(), NATIVE, False),
        (ToolChoice("required"), NATIVE, True),
        (ToolChoice("named", "look"), NATIVE, True),
        (ToolChoice("required"), ABLE, False),
        (ToolChoice("none"), BARE, True),
        (ToolChoice("none"), ABLE, False),
        (ToolChoice(parallel=False), NATIVE, True),
        (ToolChoice(parallel=False), ABLE, False),
        (ToolChoice(parallel=False), Capabilities(native_tools=True), False),
    ],
)
def test_tools_are_emulated_where_the_model_cannot_do_as_asked(
    choice: ToolChoice, can: Capabilities, emulate: bool
) -> None:
    """Native tools are used exactly when they can do what the choice asks; the tools stay either way."""
    fitted = fit(asked(tools=(LOOK,), choice=choice), can)
    assert fitted.emulate is emulate
    assert fitted.request.tools == (LOOK,)
    assert fitted.request.choice == choice


def test_forbidden_tools_are_not_shown() -> None:
    """Choice `none` needs no emulation: the tools go, unless earlier calls would hang in the air."""
    fitted = fit(asked(tools=(LOOK,), choice=ToolChoice("none")), NATIVE)
    assert (fitted.emulate, fitted.request.tools) == (False, ())
    assert fitted.request.choice == ToolChoice()
    fitted = fit(asked(*CALLED, tools=(LOOK,), choice=ToolChoice("none")), NATIVE)
    assert (fitted.emulate, fitted.request.tools) == (True, (LOOK,))


def test_a_choice_without_tools_is_reset() -> None:
    """No dangling tool choice goes out."""
    fitted = fit(asked(choice=ToolChoice("required", parallel=False)), ABLE)
    assert fitted.request.choice == ToolChoice()
    assert not fitted.emulate


def test_calls_in_the_history_are_rendered_even_when_no_tools_are_offered() -> None:
    """A model without native tools is never sent calls or results as such."""
    assert fit(asked(*CALLED), BARE).emulate
    assert not fit(asked(*CALLED), NATIVE).emulate
    assert not fit(asked(), BARE).emulate


# ---- content


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(data="aa", path="messages[0].content[1]"),
        ImagePart(address="https://x.invalid/a.png", path="messages[0].content[1]"),
        DocumentPart(data="aa", path="messages[0].content[1]"),
        OpaquePart(dialect="d", kind="hologram", raw=Raw(b"{}"), path="messages[0].content[1]"),
    ],
)
@pytest.mark.parametrize("role", ["user", "assistant", "system"])
def test_content_that_the_model_cannot_take_is_refused_by_its_path(part: Part, role: Any) -> None:
    """The client is told which part of its own request cannot be passed on."""
    with pytest.raises(GatewayError) as caught:
        fit(asked(user("x"), Message(role, (part,))), BARE)
    assert caught.value.kind == "unsupported"
    assert caught.value.param == "messages[0].content[1]"
    assert caught.value.message.startswith("messages[0].content[1]: ")


def test_a_block_nobody_knows_is_refused_by_name_even_by_an_able_model() -> None:
    """Unknown blocks are named, also without a path."""
    part = OpaquePart(dialect="d", kind="hologram", raw=Raw(b"{}"))
    with pytest.raises(GatewayError, match="hologram") as caught:
        fit(asked(user(part)), ABLE)
    assert caught.value.param == "messages"


def test_what_a_tool_brought_home_is_never_refused() -> None:
    """A screenshot that a text model cannot see becomes a sentence, and the session lives on."""
    brought = ToolResult(
        "a",
        (
            TextPart("here"),
            ImagePart(data="aa"),
            DocumentPart(data="bb"),
            DocumentPart(text="plain", title="a.txt"),
            OpaquePart(dialect="d", kind="hologram", raw=Raw(b"{}")),
        ),
        is_error=True,
    )
    fitted = fit(asked(*CALLED[:2], user(brought)), BARE)
    told = fitted.request.messages[2].parts[0]
    assert isinstance(told, ToolResult)
    assert told.is_error
    said = [part.text for part in told.parts if isinstance(part, TextPart)]
    assert len(said) == 5
    assert (said[0], said[3]) == ("here", "[Document: a.txt]\nplain")
    assert "image" in said[1]
    assert "document" in said[2]
    assert "hologram" in said[4]
    kept = fit(asked(*CALLED[:2], user(brought)), ABLE).request.messages[2].parts[0]
    assert isinstance(kept, ToolResult)
    assert kept.parts[:4] == brought.parts[:4]


def test_a_readable_document_becomes_text() -> None:
    """Documents are refused only where there is nothing to read in them."""
    part = DocumentPart(text="plain", title="a.txt")
    assert texts(fit(asked(user(part)), BARE).request) == [("user", ["[Document: a.txt]\nplain"])]
    assert texts(fit(asked(user(DocumentPart(text="plain"))), BARE).request) == [
        ("user", ["plain"])
    ]
    assert fit(asked(user(part)), ABLE).request.messages == (user(part),)


def test_thoughts_of_another_model_are_left_out_in_silence() -> None:
    """Thoughts go back only to a model that takes them."""
    request = asked(
        user("a"), model(ThoughtPart("hm"), SealedPart("x"), "b"), model(ThoughtPart("")), user("c")
    )
    fitted = fit(request, BARE)
    assert fitted.request.messages == (user("a"), model("b"), user("c"))
    assert fitted.ignored == ()
    loose = fit(request, Capabilities(alternation=False))
    assert loose.request.messages == (user("a"), model("b"), user("c"))


# ---- turns


def test_system_messages_in_mid_conversation_stay_in_their_place() -> None:
    """A system message that cannot stand there becomes marked user text, where it stood."""
    history = (user("a"), system("be", "kind"), model("b"), system(), user("c"))
    assert texts(fit(asked(*history), BARE).request) == [
        ("user", ["a", "\n\n<system>\nbe\nkind\n</system>"]),
        ("assistant", ["b"]),
        ("user", ["c"]),
    ]
    loose = Capabilities(alternation=False)
    assert texts(fit(asked(*history), loose).request) == [
        ("user", ["a"]),
        ("user", ["<system>\nbe\nkind\n</system>"]),
        ("assistant", ["b"]),
        ("user", ["c"]),
    ]
    picture = ImagePart(data="aa")
    seen = fit(asked(system(picture)), Capabilities(images=True)).request
    assert seen.messages == (user(picture),)


def test_system_messages_may_stay_between_alternating_turns() -> None:
    """Where they are allowed they do not count as turns."""
    can = Capabilities(system_midway=True)
    history = (system("s"), model("a"), system("t"))
    assert [message.role for message in fit(asked(*history), can).request.messages] == [
        "system",
        "user",
        "assistant",
        "system",
        "user",
    ]
    with pytest.raises(GatewayError):
        fit(asked(system("s")), can)


def test_neighbours_of_one_role_become_one_turn() -> None:
    """Turns alternate; texts of different messages keep a blank line between them."""
    picture = ImagePart(data="aa")
    history = (user("a"), user("b"), user(picture), user("c"), model("d"), model("e"), user("f"))
    fitted = fit(asked(*history), Capabilities(images=True)).request
    assert fitted.messages == (
        user("a", "\n\nb", picture, "c"),
        model("d", "\n\ne"),
        user("f"),
    )


def test_blank_texts_and_empty_messages_go() -> None:
    """Empty text blocks are refused by some models, so a model that needs turns is not sent any."""
    history = (
        user("", "a", " \n"),
        model(""),
        user(),
        model("b", ToolCall("x", "look", "{}")),
        user(ToolResult("x", (TextPart(""), TextPart("r")))),
    )
    fitted = fit(asked(*history, system=(TextPart(""), TextPart("s"))), BARE).request
    assert fitted.messages == (
        user("a"),
        model("b", ToolCall("x", "look", "{}")),
        user(ToolResult("x", (TextPart("r"),))),
    )
    assert fitted.system == (TextPart("s"),)


def test_the_user_speaks_first_and_last() -> None:
    """A cut beginning and a prefill are framed by short user turns; the model's words are kept."""
    assert texts(fit(asked(model("a"), user("b"), model("c")), BARE).request) == [
        ("user", ["(continued)"]),
        ("assistant", ["a"]),
        ("user", ["b"]),
        ("assistant", ["c"]),
        ("user", ["Continue."]),
    ]
    loose = fit(asked(model("a")), Capabilities(alternation=False))
    assert loose.request.messages == (model("a"),)


@pytest.mark.parametrize(
    "messages", [(user(""),), (user(), model(" ")), (model(ThoughtPart("x")),), (system(),)]
)
def test_a_request_that_says_nothing_is_refused(messages: tuple[Message, ...]) -> None:
    """Nothing is sent for nothing; the path is the client's."""
    with pytest.raises(GatewayError) as caught:
        fit(asked(*messages, words={"messages": "input"}), BARE)
    assert (caught.value.kind, caught.value.param) == ("invalid_request", "input")


def test_histories_are_repaired_on_the_way() -> None:
    """An unanswered call is answered, and the repair is counted."""
    fitted = fit(asked(*CALLED[:2]), BARE)
    assert fitted.repairs == {"orphan_call": 1}
    assert fitted.request.messages[-1].role == "user"


# ---- shape and stream


@pytest.mark.parametrize(
    ("shape", "emulated"), [("text", False), ("json", False), ("schema", True)]
)
def test_a_form_of_answer_that_the_model_lacks_is_emulated(shape: Any, emulated: bool) -> None:
    """The shape stays in the request for whoever asks for it in words."""
    fitted = fit(asked(shape=Shape(shape)), Capabilities(shapes=frozenset({"json"})))
    assert fitted.emulate_shape is emulated
    assert fitted.request.shape == Shape(shape)


@pytest.mark.parametrize(
    ("wanted", "more", "can", "stream", "downgraded"),
    [
        (True, {}, NATIVE, True, False),
        (False, {}, NATIVE, False, False),
        (True, {}, BARE, False, True),
        (False, {}, BARE, False, False),
        (True, {"shape": Shape("json")}, NATIVE, False, True),
        (True, {"tools": (LOOK,), "choice": ToolChoice("required")}, NATIVE, True, False),
        (True, {"stop": ("END",)}, NATIVE, True, False),
    ],
)
def test_the_upstream_streams_where_it_can_and_the_answer_needs_no_second_look(
    wanted: bool, more: dict[str, Any], can: Capabilities, stream: bool, downgraded: bool
) -> None:
    """A stream stays one through tool and stop emulation; a checked shape or a plain upstream ends it."""
    fitted = fit(asked(stream=wanted, **more), can)
    assert (fitted.stream, fitted.downgraded) == (stream, downgraded)
    assert fitted.request.stream is wanted
