"""The official OpenAI SDK's embeddings against a running bridge; it asks for base64 unless told otherwise."""

from __future__ import annotations

from typing import Any

import openai
import pytest


@pytest.fixture
async def client(start: Any) -> Any:
    bridge = await start()
    async with openai.AsyncOpenAI(
        base_url=f"{bridge.url}/v1", api_key="anything", max_retries=0
    ) as sdk:
        yield sdk


async def test_base64_by_default_and_floats_agree(client: openai.AsyncOpenAI) -> None:
    """Both forms give the same vectors, in order, with usage."""
    texts = ["one", "two", "one"]
    packed = await client.embeddings.create(model="text-embedding-ada-002", input=texts)
    plain = await client.embeddings.create(
        model="text-embedding-ada-002", input=texts, encoding_format="float"
    )
    assert [item.index for item in packed.data] == [0, 1, 2]
    assert packed.data[0].embedding == packed.data[2].embedding != packed.data[1].embedding
    for a, b in zip(packed.data, plain.data, strict=True):
        assert max(abs(x - y) for x, y in zip(a.embedding, b.embedding, strict=True)) < 1e-7
    assert packed.usage.total_tokens == plain.usage.total_tokens == 3


async def test_refusals_have_the_sdks_own_classes(client: openai.AsyncOpenAI) -> None:
    """A model that chats, an unknown one and token ids raise what a user would catch."""
    with pytest.raises(openai.BadRequestError, match="chats"):
        await client.embeddings.create(model="gpt-4o", input="x")
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="text-embedding-4-small", input="x")
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        await client.embeddings.create(model="text-embedding-ada-002", input=[1, 2])
