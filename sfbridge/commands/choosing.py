"""Which model a command means when nobody named one."""

from __future__ import annotations

from sfbridge.client import Client, Model, Unanswered
from sfbridge.config import Config


async def chosen(client: Client, config: Config, wanted: str) -> Model:
    """What is known of the model `wanted`, else of the configured default, else of the first one listed.

    Raises Unanswered where there is no model at all, and for a name that leads to none, or to one that cannot chat.
    """
    if wanted:
        return await _named(client, wanted)
    return default_of(await client.models(), config)


def default_of(listed: list[Model], config: Config) -> Model:
    """The configured default, else the first model that can chat. Raises Unanswered where there is none."""
    default = config.models.default.lower()
    chats = [model for model in listed if model.chats]
    found = next((model for model in chats if model.id.lower() == default), None)
    if found is None and not chats:
        raise Unanswered("no upstream offers a model; see `sfbridge check`")
    return found or chats[0]


async def _named(client: Client, wanted: str) -> Model:
    try:
        found = await client.model(wanted)
    except Unanswered:
        # these are not listed, and may lead to a model all the same: the server has its say when it is asked
        if wanted.lower().startswith("claude-") or "/" in wanted:
            return Model(id=wanted)
        raise
    if not found.chats:
        raise Unanswered(
            f"the model {wanted} makes embeddings, and cannot chat; sfbridge models lists the others"
        )
    return found
