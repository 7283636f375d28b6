"""The official OpenAI SDK's legacy completions against a running bridge."""

from __future__ import annotations

from typing import Any

import openai
import pytest

HELLO = "Hello! This is the sandbox org speaking."


@pytest.fixture
async def client(start: Any) -> Any:
    bridge = await start(surface="gateway")
    async with openai.AsyncOpenAI(
        base_url=f"{bridge.url}/v1", api_key="anything", max_retries=0
    ) as sdk:
        yield sdk


async def test_whole_and_streamed_agree(client: openai.AsyncOpenAI) -> None:
    """create and create(stream=True) give the same text, one reason, usage once."""
    whole = await client.completions.create(model="gpt-4o", prompt="Say hello.", echo=True)
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == (f"Say hello.{HELLO}", "stop")
    assert whole.usage is not None
    stream = await client.completions.create(
        model="gpt-4o", prompt="Say hello.", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].text for c in chunks if c.choices) == HELLO
    assert [c.usage.total_tokens for c in chunks if c.usage] == [whole.usage.total_tokens]


async def test_several_prompts_and_refusals(client: openai.AsyncOpenAI) -> None:
    """Choices come by index; what cannot be done raises what a user would catch."""
    found = await client.completions.create(model="gpt-4o", prompt=["one", "two"], n=2)
    assert [(c.index, c.text) for c in found.choices] == [
        (0, "Echo: one"),
        (1, "Echo: one"),
        (2, "Echo: two"),
        (3, "Echo: two"),
    ]
    with pytest.raises(openai.BadRequestError, match="suffix"):
        await client.completions.create(model="gpt-4o", prompt="x", suffix="y")
    with pytest.raises(openai.APIError):
        async for _ in await client.completions.create(
            model="sfdc_ai__Defaultsandbox-cut", prompt="x", stream=True
        ):
            pass
