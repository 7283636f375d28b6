"""Which models a Salesforce org offers, as far as anybody knows: there is no listing endpoint.

`models.json` is compiled from copies of Salesforce's supported-models page and from what orgs were seen to
answer. Windows and output limits are the providers' own; Salesforce publishes none. Orgs differ, so names
that the table lacks pass through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from sfbridge.core.model import ModelCard

# Part of every API name that Bedrock serves in the Anthropic dialect.
_MARK_OF_ANTHROPIC: Final = "BedrockAnthropic"


class ModelRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. `id` and `aliases` are our friendly names, `api_name` is Salesforce's own.

    window, max_output  tokens; missing where no trustworthy figure is known
    dimensions          numbers of a vector, of models that make embeddings
    status              ga, beta, listed, verified-in-org, retiring-or-retired, retired, rerouted
    rerouted_to         what answers instead, where Salesforce says that this name is rerouted
    """

    api_name: str
    id: str = ""
    label: str = ""
    owner: str = ""
    kind: Literal["chat", "embeddings"] = "chat"
    window: int | None = None
    max_output: int | None = None
    dimensions: int | None = None
    status: str = ""
    rerouted_to: str | None = None
    aliases: tuple[str, ...] = ()


class ModelTable:
    """The rows of one upstream, by API name; configured rows stand before and replace the built-in ones."""

    def __init__(self, configured: Iterable[ModelRow] = ()) -> None:
        own = {row.api_name: row for row in configured}
        self._rows: Mapping[str, ModelRow] = {
            **own,
            **{k: v for k, v in _known().items() if k not in own},
        }
        self._names = {
            name: (name,) if row.rerouted_to or not row.id else (name, row.id, *row.aliases)
            for name, row in self._rows.items()
            if name not in own
        }
        self._cards = tuple(
            _card(row) for row in self._rows.values() if row.id or row.api_name in own
        )

    def cards(self) -> tuple[ModelCard, ...]:
        """What the model list shows. Rerouted and retired names answer, but are not offered."""
        return self._cards

    def names(self, api_name: str) -> tuple[str, ...]:
        """Under which names the model may say that it answered; empty for a name of the org's own, behind which any
        model may stand."""
        return self._names.get(api_name, ())

    def row(self, api_name: str) -> ModelRow | None:
        """What is known of a model; None for a name of the org's own."""
        return self._rows.get(api_name)


def speaks_anthropic(api_name: str) -> bool:
    """Whether the gateway serves this model in the Anthropic dialect; its names say so."""
    return _MARK_OF_ANTHROPIC in api_name


@lru_cache(maxsize=256)
def quoted(api_name: str) -> str:
    """The name as one segment of a path."""
    return quote(api_name, safe="")


@cache
def _known() -> dict[str, ModelRow]:
    text = files(__package__).joinpath("models.json").read_bytes()
    return {row.api_name: row for row in msgspec.json.decode(text, type=list[ModelRow])}


def _card(row: ModelRow) -> ModelCard:
    return ModelCard(
        id=row.id or row.api_name,
        target=row.api_name,
        label=row.label or row.id or row.api_name,
        owner=row.owner or "salesforce",
        kind=row.kind,
        aliases=row.aliases,
        window=row.window,
        max_output=row.max_output,
        status=row.status,
    )
