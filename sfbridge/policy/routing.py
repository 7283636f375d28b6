"""Model name -> target. One immutable table, built when the model list is known, asked once per request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from msgspec import Struct

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import ModelCard

# Claude Code's model picker shows only ids that contain "claude"; one that starts with it would be taken
# for a model that the client knows, with a window that is not ours.
PICKER_PREFIX: Final = "sf/claude-code-"

# Claude Code's mark for a window of a million tokens, meant for the client alone.
_WINDOW_SUFFIX: Final = "[1m]"

# Salesforce's own names pass through unlisted: custom configurations have names that no list knows.
_PASS_PREFIX: Final = "sfdc_ai__"
_PASS_NAME: Final = re.compile(r"sfdc_ai__[A-Za-z0-9_.\-]{1,200}")

_SHOWN: Final = 100
# What statistics call a model that no list names: a client's words would make any number of names.
OTHER: Final = "other"


class Target(Struct, frozen=True):
    """Who answers: the upstream's name in the configuration, its own name of the model, and the card."""

    upstream: str
    model: str
    card: ModelCard


class Routes:
    """Every name that can be asked for.

    cards    (upstream, card) in the order of the model list; of equal names the first one counts
    default  answers to ids of the Claude family that nobody configured; empty for none
    aliases  names of the configuration, going before every other name; each may lead to another
    fallbacks  names that are asked instead of a name when it cannot answer, in order

    `<upstream>/<model>` asks one upstream for a model that nobody listed.
    Raises ValueError, naming it, when the default, an alias or a fallback leads nowhere.
    """

    def __init__(
        self,
        cards: Sequence[tuple[str, ModelCard]],
        *,
        default: str,
        aliases: Mapping[str, str],
        fallbacks: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._names: dict[str, Target] = {}
        targets = [Target(upstream, card.target, card) for upstream, card in cards]
        for names in (_ids, _aliases, _targets):
            for target in targets:
                for name in names(target.card):
                    self._names.setdefault(name.lower(), target)
        listed: dict[str, ModelCard] = {}
        for _, card in cards:
            listed.setdefault(card.id.lower(), card)
        self._cards = tuple(listed.values())
        self._labels: dict[tuple[str, str], str] = {}
        for upstream, card in cards:
            self._labels.setdefault((upstream, card.target), card.id)
        self._pass_to = next(
            (upstream for upstream, card in cards if card.target.startswith(_PASS_PREFIX)), None
        )
        self._names |= self._resolved(aliases)
        self._suggested = (*aliases, *(card.id for card in self._cards))
        self._default = self._default_target(default) if default else None
        self._upstreams = {upstream.lower(): upstream for upstream, _ in cards}
        self._fallbacks = {
            name.lower(): tuple(self._known(other) for other in others)
            for name, others in (fallbacks or {}).items()
        }

    def target(self, model: str) -> Target:
        """Who answers to `model`. Raises GatewayError `not_found` with up to three names that are close."""
        found = self._answering(model)
        if found is None:
            raise self._unknown(model)
        return found

    def label(self, upstream: str, model: str) -> str:
        """The listed id of an upstream's model, or OTHER."""
        return self._labels.get((upstream, model), OTHER)

    def labels(self, model: str) -> tuple[str, str]:
        """The upstream and the listed id behind a name that was asked for; empty and OTHER where nobody answers to it."""
        found = self._answering(model)
        return (found.upstream, self.label(found.upstream, found.model)) if found else ("", OTHER)

    def targets(self, model: str) -> tuple[Target, ...]:
        """Who answers to `model`, and who is asked when that one cannot. Raises like `target`."""
        others = self._fallbacks.get(model.lower())
        return (self.target(model), *others) if others else (self.target(model),)

    def cards(self) -> tuple[ModelCard, ...]:
        """The model list, each id once."""
        return self._cards

    def card(self, model: str) -> ModelCard:
        """What is known of `model`; the default does not stand in here. Raises like `target`."""
        found = self._find(model)
        if found is None:
            raise self._unknown(model)
        return found.card

    def _answering(self, model: str) -> Target | None:
        found = self._find(model)
        return self._default if found is None and _claude_family(model) else found

    def _find(self, model: str) -> Target | None:
        """The target of a name, as it is or without its [1m] suffix and its picker prefix."""
        found = self._names.get(model.lower())
        if found is not None:
            return found
        if model.lower().endswith(_WINDOW_SUFFIX):
            model = model[: -len(_WINDOW_SUFFIX)]
        if model.lower().startswith(PICKER_PREFIX):
            model = model[len(PICKER_PREFIX) :]
        found = self._names.get(model.lower())
        if found is not None:
            return found
        if self._pass_to is not None and _PASS_NAME.fullmatch(model):
            return Target(self._pass_to, model, ModelCard(id=model, target=model))
        upstream, slash, name = model.partition("/")
        if slash and name and upstream.lower() in self._upstreams:
            return Target(self._upstreams[upstream.lower()], name, ModelCard(id=model, target=name))
        return None

    def _known(self, name: str) -> Target:
        found = self._find(name)
        if found is None:
            raise ValueError(f"the fallback {name!r} is the name of no model")
        return found

    def _resolved(self, aliases: Mapping[str, str]) -> dict[str, Target]:
        """Every alias with its target. Chains are followed; a name may shadow the model it leads to."""
        lower = {name.lower(): wanted for name, wanted in aliases.items()}
        resolved: dict[str, Target] = {}
        for name, wanted in aliases.items():
            seen = {name.lower()}
            while wanted.lower() in lower and wanted.lower() not in seen:
                seen.add(wanted.lower())
                wanted = lower[wanted.lower()]
            found = self._find(wanted)
            if found is None:
                raise ValueError(
                    f"the alias {name!r} leads to {aliases[name]!r}, which no upstream offers"
                )
            resolved[name.lower()] = found
        return resolved

    def _default_target(self, default: str) -> Target:
        found = self._find(default)
        if found is None:
            raise ValueError(f"the default model {default!r} is not offered by any upstream")
        if found.card.kind != "chat":
            raise ValueError(f"the default model {default!r} is not a chat model")
        return found

    def _unknown(self, model: str) -> GatewayError:
        shown = model[:_SHOWN]
        by_lower = {name.lower(): name for name in reversed(self._suggested)}
        close = [by_lower[name] for name in get_close_matches(shown.lower(), by_lower, n=3)]
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        return GatewayError(
            "not_found",
            f"The model {shown!r} does not exist here.{hint} GET /v1/models lists every model.",
            param="model",
            code="model_not_found",
        )


def _ids(card: ModelCard) -> tuple[str, ...]:
    return (card.id,)


def _aliases(card: ModelCard) -> tuple[str, ...]:
    return card.aliases


def _targets(card: ModelCard) -> tuple[str, ...]:
    return (card.target,)


def _claude_family(model: str) -> bool:
    """Whether the name is one that Claude Code may ask for unasked; Salesforce's own names are not."""
    name = model.lower()
    if name.startswith(_PASS_PREFIX):
        return False
    return name.startswith("claude-") or "anthropic" in name
