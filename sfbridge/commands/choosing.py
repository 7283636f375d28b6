"""Which model a command means when nobody named one."""

from __future__ import annotations

from contextlib import suppress

from sfbridge.client import Client, Model, Unanswered
from sfbridge.config import Config


async def chosen(client: Client, config: Config, wanted: str) -> Model:
    """What is known of the model `wanted`, else of the configured default, else of the first one listed.

    A name that leads nowhere by itself may still lead to the default, so the server has its say when it is asked.
    Raises Unanswered where there is no model at all.
    """
    if wanted:
        with suppress(Unanswered):
            return await client.model(wanted)
        return Model(id=wanted)
    listed = await client.models()
    default = config.models.default.lower()
    chats = [model for model in listed if model.chats]
    found = next((model for model in chats if model.id.lower() == default), None)
    if found is None and not chats:
        raise Unanswered("no upstream offers a model; see `sfbridge check`")
    return found or chats[0]
