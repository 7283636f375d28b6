"""The neutral request in the words of each family of servers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from sfbridge.core.request import (
    ChatRequest,
    ImagePart,
    Message,
    Sampling,
    Shape,
    TextPart,
    Thinking,
    ThoughtPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from sfbridge.upstream.openai.profiles import PROFILES, Family
from sfbridge.upstream.openai.request import Manner, body, unsent

HI = (Message("user", (TextPart("Hi"),)),)
TOOLS = (Tool(name="one", description="First."), Tool(name="two"))
ASKED = ChatRequest(model="m", messages=HI)


def sent(request: ChatRequest = ASKED, family: Family = "generic", **manner: Any) -> dict[str, Any]:
    stream = manner.pop("stream", False)
    found = body("tiny", request, Manner(profile=PROFILES[family], **manner), stream=stream)
    return json.loads(found)  # type: ignore[no-any-return]


def test_nothing_is_said_that_was_not_asked() -> None:
    """A bare request has a model, messages and the stream flag, and nothing else."""
    assert sent() == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
    }
    assert sent(stream=True)["stream_options"] == {"include_usage": True}


def test_knobs_have_the_dialects_names() -> None:
    """Sampling, limit and stops keep their values."""
    sampling = Sampling(temperature=0.5, top_p=0.9, top_k=4, seed=1, presence_penalty=0.1)
    found = sent(replace(ASKED, sampling=sampling, max_output=7, stop=("a", "b")), "llamacpp")
    wanted = {"temperature": 0.5, "top_p": 0.9, "top_k": 4, "seed": 1, "presence_penalty": 0.1}
    assert wanted.items() <= found.items()
    assert (found["max_tokens"], found["stop"]) == (7, ["a", "b"])


def test_the_limit_keeps_the_clients_word_where_both_are_known() -> None:
    """The vendor's newer models refuse the older word, so the client's own is used."""
    request = replace(ASKED, max_output=7, words={"max_output": "max_completion_tokens"})
    assert sent(request)["max_completion_tokens"] == 7
    assert sent(request, "ollama")["max_tokens"] == 7


@pytest.mark.parametrize(
    ("family", "choice", "names"),
    [
        ("vllm", {"type": "function", "function": {"name": "two"}}, ["one", "two"]),
        ("llamacpp", "required", ["two"]),
        ("lmstudio", "required", ["two"]),
    ],
)
def test_a_demanded_tool_is_written_as_the_family_reads_it(
    family: Family, choice: Any, names: list[str]
) -> None:
    """A named tool is the vendor's object, or a demand with no other tool on offer."""
    request = replace(ASKED, tools=TOOLS, choice=ToolChoice("named", "two"))
    found = sent(request, family)
    assert found["tool_choice"] == choice
    assert [tool["function"]["name"] for tool in found["tools"]] == names


def test_several_calls_are_allowed_where_that_needs_saying() -> None:
    """`parallel_tool_calls` goes to servers that read it, with tools only."""
    several = replace(ASKED, tools=TOOLS)
    assert sent(several, "llamacpp")["parallel_tool_calls"] is True
    one = replace(several, choice=ToolChoice(parallel=False))
    assert sent(one, "vllm")["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in sent(several, "ollama")
    assert "parallel_tool_calls" not in sent(ASKED, "llamacpp")


def test_tools_can_be_left_out() -> None:
    """A manner without tools sends neither them nor a choice, and says so."""
    request = replace(ASKED, tools=TOOLS, choice=ToolChoice("required"))
    found = sent(request, tools=False)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(found)
    assert unsent(request, Manner(profile=PROFILES["generic"], tools=False)) == ["tools"]


CALLS = Message(
    "assistant",
    (
        ThoughtPart("Hm."),
        ToolCall("a", "one", '{"x": 1}'),
        ToolCall("b", "two", ""),
    ),
)


def test_calls_and_results_are_messages_of_their_own() -> None:
    """Results follow their calls directly, errors say so, and the user's words come last."""
    results = Message(
        "user",
        (
            ToolResult("a", (TextPart("1"), TextPart("2"))),
            ToolResult("b", (TextPart("no"),), is_error=True),
            TextPart("Go on."),
        ),
    )
    found = sent(replace(ASKED, messages=(*HI, CALLS, results)))["messages"]
    assert [m["role"] for m in found] == ["user", "assistant", "tool", "tool", "user"]
    assert found[1]["content"] == ""
    assert [c["function"]["arguments"] for c in found[1]["tool_calls"]] == ['{"x": 1}', "{}"]
    assert found[2] == {"role": "tool", "content": "1\n2", "tool_call_id": "a"}
    assert found[3]["content"] == "Error: no"
    folded = sent(replace(ASKED, messages=(*HI, CALLS, results)), folded=True)["messages"]
    assert folded[-1] == {"role": "tool", "content": "Error: no\n\nGo on.", "tool_call_id": "b"}


@pytest.mark.parametrize(
    ("family", "name", "silent"),
    [("llamacpp", "reasoning_content", ""), ("vllm", "reasoning", ""), ("ollama", "reasoning", None),
     ("generic", "", ""), ("lmstudio", "", "")],
)  # fmt: skip
def test_earlier_thoughts_go_where_they_are_read(
    family: Family, name: str, silent: str | None
) -> None:
    """Thoughts travel in the family's own field or not at all; a wordless turn is as the family wants it."""
    turn = sent(replace(ASKED, messages=(*HI, CALLS)), family)["messages"][1]
    thoughts = {key: turn[key] for key in ("reasoning", "reasoning_content") if key in turn}
    assert thoughts == ({name: "Hm."} if name else {})
    assert turn["content"] == silent


def test_pictures_in_results_follow_them_with_labels() -> None:
    """Every picture of every result stands in one user message after all results, said by its label."""
    picture = ImagePart(media_type="image/png", data="AAAA")
    results = Message(
        "user",
        (
            ToolResult("a", (TextPart("see"), picture)),
            ToolResult("b", (picture,), is_error=True),
        ),
    )
    found = sent(replace(ASKED, messages=(*HI, CALLS, results)))["messages"][2:]
    assert [m["role"] for m in found] == ["tool", "tool", "user"]
    assert found[0]["content"] == "see\n[image 1: see the next user message]"
    assert found[1]["content"] == "Error: [image 2: see the next user message]"
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert found[2]["content"] == [
        {"type": "text", "text": "[image 1 of the tool result a]"},
        url,
        {"type": "text", "text": "[image 2 of the tool result b]"},
        url,
    ]


def test_the_answers_form_is_asked_for() -> None:
    """JSON and schemas have the vendor's form."""
    assert sent(replace(ASKED, shape=Shape("json")))["response_format"] == {"type": "json_object"}
    schema = {"type": "object"}
    shape = Shape("schema", Raw(json.dumps(schema).encode()), "thing")
    assert sent(replace(ASKED, shape=shape))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "thing", "schema": schema, "strict": True},
    }


def test_thinking_is_asked_for_where_it_does_no_harm() -> None:
    """Words of effort go to servers that read them; everything else is reported under the client's name."""
    effort = replace(ASKED, thinking=Thinking(effort="low"), words={"thinking": "reasoning_effort"})
    assert sent(effort, "vllm")["reasoning_effort"] == "low"
    assert "reasoning_effort" not in sent(effort, "ollama")
    assert unsent(effort, Manner(profile=PROFILES["ollama"])) == ["reasoning_effort"]
    budget = replace(ASKED, thinking=Thinking(budget=2000))
    assert unsent(budget, Manner(profile=PROFILES["vllm"])) == ["thinking"]


def test_unknown_fields_pass_but_never_replace_ours() -> None:
    """Extras are sent as they are; our own fields and wishes without an answer are not."""
    extras = {"min_p": Raw(b"0.1"), "model": Raw(b'"x"'), "n": Raw(b"2")}
    request = replace(ASKED, extras=extras)
    found = sent(request)
    assert (found["min_p"], found["model"]) == (0.1, "tiny")
    assert "n" not in found
    assert unsent(request, Manner(profile=PROFILES["generic"])) == ["model", "n"]


def test_a_conversation_grows_without_changing_its_beginning() -> None:
    """Two turns of one conversation share their bytes up to the new turn."""
    turns = (*HI, CALLS, Message("user", (ToolResult("a"), ToolResult("b"), TextPart("Go on."))))
    grown = (*turns, Message("assistant", (TextPart("Yes."),)), *HI)
    bodies = []
    for messages in (turns, grown):
        request = replace(ASKED, system=(TextPart("Be kind."),), messages=messages, tools=TOOLS)
        bodies.append(body("tiny", request, Manner(profile=PROFILES["llamacpp"]), stream=True))
    first, second = bodies
    end = first.index(b'],"stream"')
    assert second[:end] == first[:end]
