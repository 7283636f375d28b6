"""The official OpenAI and Anthropic SDKs, unmodified, against a running bridge on both surfaces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel
from speak import ASK, CALCULATOR

SURFACES = pytest.mark.parametrize("surface", ["gateway", "platform"])
MODELS = pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-6"])
HELLO = "Hello! This is the sandbox org speaking."
OPENAI_TOOL: Any = {
    "type": "function",
    "function": {"name": "calculator", "parameters": CALCULATOR},
}
RESPONSES_TOOL: Any = {"type": "function", "name": "calculator", "parameters": CALCULATOR}
ANTHROPIC_TOOL: Any = {"name": "calculator", "description": "Computes.", "input_schema": CALCULATOR}


class City(BaseModel):
    city: str


Connect = Callable[..., Awaitable[tuple[openai.AsyncOpenAI, anthropic.AsyncAnthropic]]]


@pytest.fixture
async def connect(start: Any) -> AsyncIterator[Connect]:
    """Both SDKs' clients of one bridge, without retries, so that nothing hides behind a second try."""
    async with AsyncExitStack() as stack:

        async def begin(**options: Any) -> tuple[openai.AsyncOpenAI, anthropic.AsyncAnthropic]:
            bridge = await start(**options)
            first = openai.AsyncOpenAI(
                base_url=f"{bridge.url}/v1", api_key="right-key-1234", max_retries=0
            )
            second = anthropic.AsyncAnthropic(
                base_url=f"{bridge.url}/anthropic", api_key="right-key-1234", max_retries=0
            )
            await stack.enter_async_context(first)
            await stack.enter_async_context(second)
            return first, second

        yield begin


def says(text: str) -> Any:
    return [{"role": "user", "content": text}]


@SURFACES
@MODELS
async def test_openai_text(connect: Connect, surface: str, model: str) -> None:
    """create and create(stream=True) give the same text, usage once, one finish reason."""
    client, _ = await connect(surface=surface)
    whole = await client.chat.completions.create(model=model, messages=says("Say hello."))
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (HELLO, "stop")
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0
    stream = await client.chat.completions.create(
        model=model,
        messages=says("Say hello."),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == HELLO
    assert [c.usage.total_tokens for c in chunks if c.usage] == [whole.usage.total_tokens]
    assert [
        c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason
    ] == ["stop"]


@SURFACES
@MODELS
async def test_openai_tool_loop(connect: Connect, surface: str, model: str) -> None:
    """The stream helper assembles a call, and its result is answered."""
    client, _ = await connect(surface=surface)
    async with client.chat.completions.stream(
        model=model, messages=says(ASK), tools=[OPENAI_TOOL]
    ) as stream:
        kinds = [event.type async for event in stream]
        made = await stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    message = made.choices[0].message
    assert message.tool_calls
    call = message.tool_calls[0]
    assert (call.function.name, call.function.arguments.replace(" ", "")) == (
        "calculator",
        '{"input":"6*7"}',
    )
    history = [
        *says(ASK),
        message.to_dict(),
        {"role": "tool", "tool_call_id": call.id, "content": "42"},
    ]
    answer = await client.chat.completions.create(
        model=model, messages=history, tools=[OPENAI_TOOL]
    )
    assert "42" in (answer.choices[0].message.content or "")


@SURFACES
@MODELS
async def test_openai_forced_tool_and_schema(connect: Connect, surface: str, model: str) -> None:
    """A named tool is called, and a JSON schema is fitted, whether or not the upstream can do either."""
    client, _ = await connect(surface=surface)
    named: Any = {"type": "function", "function": {"name": "calculator"}}
    forced = await client.chat.completions.create(
        model=model, messages=says("What is 6*7?"), tools=[OPENAI_TOOL], tool_choice=named
    )
    calls = forced.choices[0].message.tool_calls
    assert calls
    assert calls[0].function.name == "calculator"
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    shaped = await client.chat.completions.create(
        model=model,
        messages=says("The capital of France?"),
        response_format={"type": "json_schema", "json_schema": {"name": "r", "schema": schema}},
    )
    assert '"city"' in (shaped.choices[0].message.content or "")


@SURFACES
@MODELS
async def test_responses_text(connect: Connect, surface: str, model: str) -> None:
    """create and the stream helper give the same text, and the helper sees every delta."""
    client, _ = await connect(surface=surface)
    whole = await client.responses.create(model=model, input="Say hello.", instructions="Be kind.")
    assert (whole.output_text, whole.status, whole.instructions) == (HELLO, "completed", "Be kind.")
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens > 0
    async with client.responses.stream(model=model, input="Say hello.") as stream:
        said = "".join([e.delta async for e in stream if e.type == "response.output_text.delta"])
        final = await stream.get_final_response()
    assert said == final.output_text == HELLO


@SURFACES
@MODELS
async def test_responses_tool_loop(connect: Connect, surface: str, model: str) -> None:
    """The stream helper assembles a call, whose output is answered when it is sent back with the call."""
    client, _ = await connect(surface=surface)
    async with client.responses.stream(model=model, input=ASK, tools=[RESPONSES_TOOL]) as stream:
        kinds = [event.type async for event in stream]
        made = await stream.get_final_response()
    assert "response.function_call_arguments.done" in kinds
    call: Any = made.output[-1]
    assert (call.name, call.arguments.replace(" ", "")) == ("calculator", '{"input":"6*7"}')
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "42"}
    history: Any = [*says(ASK), *(item.to_dict() for item in made.output), output]
    answer = await client.responses.create(model=model, input=history, tools=[RESPONSES_TOOL])
    assert "42" in answer.output_text


@SURFACES
async def test_responses_parse(connect: Connect, surface: str) -> None:
    """`parse` gets an object of its class, whether or not the upstream knows schemas."""
    client, _ = await connect(surface=surface)
    parsed = await client.responses.parse(
        model="gpt-4o", input="The capital of France?", text_format=City
    )
    assert isinstance(parsed.output_parsed, City)


@SURFACES
async def test_responses_chain(connect: Connect, surface: str, tmp_path: Path) -> None:
    """An answer is gone on from by its id, looked at, listed, and deleted, as the SDK does it."""
    config = {"sessions": {"path": str(tmp_path / "sessions.db")}}
    client, _ = await connect(surface=surface, config=config)
    first = await client.responses.create(model="gpt-4o", input=ASK, tools=[RESPONSES_TOOL])
    call: Any = first.output[-1]
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "42"}
    second = await client.responses.create(
        model="gpt-4o", input=[output], tools=[RESPONSES_TOOL], previous_response_id=first.id
    )
    assert "42" in second.output_text
    assert second.previous_response_id == first.id
    assert await client.responses.retrieve(second.id) == second
    items = [item async for item in client.responses.input_items.list(second.id, limit=1)]
    assert [item.type for item in items] == ["function_call_output"]
    await client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(second.id)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="gpt-4o", input="x", previous_response_id=second.id)
    assert caught.value.code == "previous_response_not_found"


@SURFACES
async def test_responses_errors(connect: Connect, surface: str) -> None:
    """Failures have the SDK's classes and paths; a broken stream raises rather than being short."""
    client, _ = await connect(surface=surface)
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        await client.responses.create(model="no-such-model", input="x")
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="gpt-4o", input="x", max_output_tokens=0)
    assert caught.value.param == "max_output_tokens"
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="sfdc_ai__Defaultsandbox-overflow", input="x")
    assert caught.value.code == "context_length_exceeded"
    cut = "sfdc_ai__Defaultsandbox-cut"
    if surface == "platform":
        with pytest.raises(openai.InternalServerError):
            await client.responses.create(model=cut, input="x", stream=True)
        return
    events = [e async for e in await client.responses.create(model=cut, input="x", stream=True)]
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.message


@SURFACES
@MODELS
async def test_anthropic_text(connect: Connect, surface: str, model: str) -> None:
    """create and the stream helper give the same message."""
    _, client = await connect(surface=surface)
    whole = await client.messages.create(model=model, max_tokens=99, messages=says("Say hello."))
    assert (whole.content[0].text, whole.stop_reason) == (HELLO, "end_turn")  # type: ignore[union-attr]
    assert whole.usage.input_tokens > 0
    assert whole._request_id
    async with client.messages.stream(
        model=model, max_tokens=99, messages=says("Say hello.")
    ) as stream:
        final = await stream.get_final_message()
    assert final.content[0].text == HELLO  # type: ignore[union-attr]
    assert final.usage.input_tokens > 0
    assert final.usage.output_tokens == whole.usage.output_tokens


@SURFACES
@MODELS
async def test_anthropic_tool_loop(connect: Connect, surface: str, model: str) -> None:
    """The stream helper assembles a tool_use block, and its result is answered."""
    _, client = await connect(surface=surface)
    tools: Any = [ANTHROPIC_TOOL]
    async with client.messages.stream(
        model=model, max_tokens=999, messages=says(ASK), tools=tools
    ) as stream:
        made = await stream.get_final_message()
    assert made.stop_reason == "tool_use"
    use: Any = made.content[-1]
    assert (use.name, use.input) == ("calculator", {"input": "6*7"})
    result = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "42"}],
    }
    history = [
        *says(ASK),
        {"role": "assistant", "content": [b.to_dict() for b in made.content]},
        result,
    ]
    answer = await client.messages.create(model=model, max_tokens=99, messages=history, tools=tools)
    assert "42" in answer.content[0].text  # type: ignore[union-attr]


async def test_models_and_counts(connect: Connect) -> None:
    """Both SDKs page through the models, and the Anthropic one counts tokens."""
    first, second = await connect()
    assert "gpt-4o" in [model.id async for model in first.models.list()]
    assert "sf/claude-code-gpt-4o" in [model.id async for model in second.models.list(limit=5)]
    assert (await first.models.retrieve("gpt-4o")).id == "gpt-4o"
    counted = await second.messages.count_tokens(model="gpt-4o", messages=says("foo"))
    assert counted.input_tokens > 0


@SURFACES
async def test_errors_have_the_sdks_own_classes(connect: Connect, surface: str) -> None:
    """Wrong key, unknown model, rate limit and overload raise the exception a user would catch."""
    first, second = await connect(surface=surface, config={"keys": {"me": "other-key-1234"}})
    with pytest.raises(openai.AuthenticationError):
        await first.chat.completions.create(model="gpt-4o", messages=says("x"))
    with pytest.raises(anthropic.AuthenticationError):
        await second.messages.create(model="gpt-4o", max_tokens=9, messages=says("x"))
    first, second = await connect(surface=surface)
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        await first.chat.completions.create(model="no-such-model", messages=says("x"))
    limited = "sfdc_ai__Defaultsandbox-429"
    with pytest.raises(openai.RateLimitError):
        await first.chat.completions.create(model=limited, messages=says("x"))
    with pytest.raises(anthropic.RateLimitError):
        await second.messages.create(model=limited, max_tokens=9, messages=says("x"))
    too_long = "sfdc_ai__Defaultsandbox-overflow"
    with pytest.raises(
        anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > \d+ maximum"
    ):
        await second.messages.create(model=too_long, max_tokens=9, messages=says("x"))
    with pytest.raises(openai.BadRequestError) as caught:
        await first.chat.completions.create(model=too_long, messages=says("x"))
    assert caught.value.code == "context_length_exceeded"


async def test_a_cut_stream_raises_in_both_sdks(connect: Connect) -> None:
    """A broken stream is an exception for SDK users, never a short answer."""
    first, second = await connect(surface="gateway")
    cut = "sfdc_ai__Defaultsandbox-cut"
    with pytest.raises(openai.APIError):
        async for _ in await first.chat.completions.create(
            model=cut, messages=says("x"), stream=True
        ):
            pass
    with pytest.raises(anthropic.APIStatusError):
        async with second.messages.stream(model=cut, max_tokens=9, messages=says("x")) as stream:
            await stream.get_final_message()
