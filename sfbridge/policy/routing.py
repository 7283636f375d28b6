"""Model name -> who answers. One immutable table, built when the model lists are known, asked once per request.

What wins, first to last: names of the configuration; models' own ids, aliases and upstream names; `upstream/model`;
families of the configuration; shipped names; the default for names of the Claude family, the first embedding model
for well-known names of such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import ModelCard

from .names import DEFAULTED, EMBEDDING, SHIPPED, Family, by_precision, family

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
_DEFAULTED: Final = by_precision(DEFAULTED)


class Target(Struct, frozen=True):
    """Who answers: the upstream's name in the configuration, its own name of the model, and the card."""

    upstream: str
    model: str
    card: ModelCard


# Who answers, and who is asked instead when that one cannot.
Way = tuple[Target, ...]


class Routes:
    """Every name that can be asked for.

    cards    (upstream, card) in the order of the model list; of equal names the first one counts
    default  answers to names that people know and nobody serves; empty for none
    aliases  names of the configuration, going before every other name; each may lead to another. A list's first
             name answers, the others are its fallbacks. Names with `*` are families, asked after every known name.
    fallbacks  names that are asked instead of a name when it cannot answer, in order
    strict   no name is answered by the default, nor by the first embedding model
    lenient  names of the configuration may lead nowhere for now; they are listed in `dangling`

    `<upstream>/<model>` asks one upstream for a model of its own, by any of that model's names, or for one that
    nobody listed.
    Raises ValueError, naming it, when the default, an alias or a fallback leads nowhere, or to a family, and when a
    family is given fallbacks.
    """

    def __init__(
        self,
        cards: Sequence[tuple[str, ModelCard]],
        *,
        default: str,
        aliases: Mapping[str, str | Sequence[str]],
        fallbacks: Mapping[str, Sequence[str]] | None = None,
        strict: bool = False,
        lenient: bool = False,
    ) -> None:
        self._ways: dict[str, Way] = {}
        self._families: list[tuple[Family, Way]] = []
        self._lenient = lenient
        self._wanted = {name.lower(): _listed(wanted) for name, wanted in aliases.items()}
        self.dangling: dict[str, str] = {}
        targets = [Target(upstream, card.target, card) for upstream, card in cards]
        self._of: dict[tuple[str, str], Way] = {}
        for names in (_ids, _aliases, _targets):
            for target in targets:
                for name in names(target.card):
                    self._ways.setdefault(name.lower(), (target,))
                    self._of.setdefault((target.upstream.lower(), name.lower()), (target,))
        self._labels: dict[tuple[str, str], str] = {}
        for upstream, card in cards:
            self._labels.setdefault((upstream, card.target), card.id)
        self._known_as: dict[tuple[str, str], list[str]] = {}
        for name, way in self._ways.items():
            self._know(name, way)
        self._upstreams = {upstream.lower(): upstream for upstream, _ in cards}
        self._pass_to = next(
            (upstream for upstream, card in cards if card.target.startswith(_PASS_PREFIX)), None
        )
        patterns = self._resolved([name for name in aliases if "*" in name])
        self._families = [(f, patterns[f.pattern]) for f in by_precision([*patterns])]
        named = self._resolved([name for name in aliases if "*" not in name])
        self._ways |= {name.lower(): way for name, way in named.items()}
        self._cards = _cards(cards, named)
        for name, way in (*patterns.items(), *named.items()):
            self._know(name, way)
        self._ways |= self._shipped()
        self._default = self._default_target(default) if default and not strict else None
        if self._default is not None:
            self._ways |= self._defaulted(self._default)
        if not strict:
            self._ways |= self._embedding(targets)
        for name, others in (fallbacks or {}).items():
            self._fall_back(name, others)
        self._suggested = (*named, *(card.id for card in self._cards), *SHIPPED)

    def target(self, model: str) -> Target:
        """Who answers to `model`. Raises GatewayError `not_found` with up to three names that are close."""
        return self.targets(model)[0]

    def label(self, upstream: str, model: str) -> str:
        """The listed id of an upstream's model, or OTHER."""
        return self._labels.get((upstream, model), OTHER)

    def labels(self, model: str) -> tuple[str, str]:
        """The upstream and the listed id behind a name that was asked for; empty and OTHER where nobody answers to it."""
        found = self._led(model)
        return (
            (found[0].upstream, self.label(found[0].upstream, found[0].model))
            if found
            else ("", OTHER)
        )

    def targets(self, model: str) -> Way:
        """Who answers to `model`, and who is asked when that one cannot. Raises like `target`."""
        found = self._ways.get(model.lower()) or self._led(model)
        if found is None:
            raise self._unknown(model)
        return found

    def cards(self) -> tuple[ModelCard, ...]:
        """The model list: each id once, the configuration's own names among them."""
        return self._cards

    def listed(self, model: str) -> Target:
        """Who has this name; the default does not stand in here. Raises like `target`."""
        found = self._find(model)
        if found is None:
            raise self._unknown(model)
        return found[0]

    def card(self, model: str) -> ModelCard:
        """What is known of `model`. Raises like `listed`."""
        return self.listed(model).card

    def known_as(self, target: Target) -> tuple[str, ...]:
        """The names of a model: its upstream's and the configuration's, and `<upstream>/<model>`. Names that lead to
        it for want of another model are not its own."""
        upstream, model = target.upstream, target.model
        names = self._known_as.get((upstream, model), (model,))
        return (*names, f"{upstream}/{model}", f"{upstream}/{target.card.id}")

    def _know(self, name: str, way: Way) -> None:
        for target in way:
            self._known_as.setdefault((target.upstream, target.model), []).append(name)

    def _led(self, model: str) -> Way | None:
        found = self._find(model)
        if found is None and self._default is not None and _claude_family(model):
            return (self._default,)
        return found

    def _find(self, model: str) -> Way | None:
        """The way of a name, as it is or without its [1m] suffix and its picker prefix."""
        found = self._ways.get(model.lower())
        if found is not None:
            return found
        if model.lower().endswith(_WINDOW_SUFFIX):
            model = model[: -len(_WINDOW_SUFFIX)]
        if model.lower().startswith(PICKER_PREFIX):
            model = model[len(PICKER_PREFIX) :]
        found = self._ways.get(model.lower())
        if found is not None:
            return found
        if self._pass_to is not None and _PASS_NAME.fullmatch(model):
            return (Target(self._pass_to, model, ModelCard(id=model, target=model, kind="any")),)
        upstream, slash, name = model.partition("/")
        if slash and name and upstream.lower() in self._upstreams:
            unlisted = ModelCard(id=model, target=name, kind="any")
            way = self._of.get((upstream.lower(), name.lower()))
            return way or (Target(self._upstreams[upstream.lower()], name, unlisted),)
        return next((way for family_, way in self._families if family_.has(model)), None)

    # ---- building

    def _resolved(self, names: Iterable[str]) -> dict[str, Way]:
        """Names of the configuration with their ways. Chains are followed; a name may shadow the model it leads to."""
        found: dict[str, Way] = {}
        for name in names:
            targets: list[Target] = []
            for wanted in self._wanted[name.lower()]:
                target = self._led_to(name, wanted)
                if target is not None:
                    targets.append(target)
                    continue
                if not self._lenient:
                    raise ValueError(
                        f"the alias {name!r} leads to {wanted!r}, which no upstream offers"
                    )
                self.dangling[name.lower()] = wanted
            if targets:
                found[name] = tuple(targets)
        return found

    def _led_to(self, name: str, wanted: str) -> Target | None:
        seen = {name.lower()}
        while wanted.lower() in self._wanted and wanted.lower() not in seen:
            seen.add(wanted.lower())
            wanted = self._wanted[wanted.lower()][0]
        if "*" in wanted:
            raise ValueError(f"the alias {name!r} leads to {wanted!r}, which is no model's name")
        found = self._find(wanted) or self._candidate(SHIPPED.get(wanted.lower(), ()))
        return found[0] if found is not None else None

    def _shipped(self) -> dict[str, Way]:
        """The shipped names that no model has and no family of the configuration claims, where their models are."""
        found: dict[str, Way] = {}
        for name, candidates in SHIPPED.items():
            if name not in self._ways and not self._claimed(name):
                way = self._candidate(candidates)
                if way is not None:
                    found[name] = way
        return found

    def _defaulted(self, default: Target) -> dict[str, Way]:
        """The shipped names of whose models none is served."""
        return {
            name: (default,)
            for name in SHIPPED
            if name not in self._ways and not self._claimed(name)
        }

    def _embedding(self, targets: Sequence[Target]) -> dict[str, Way]:
        """The names of embedding models that nobody serves, where somebody makes embeddings at all."""
        first = next((t for t in targets if t.card.kind == "embeddings"), None)
        if first is None:
            return {}
        return {
            name: (first,)
            for name in EMBEDDING
            if name not in self._ways and not self._claimed(name)
        }

    def _claimed(self, name: str) -> bool:
        return name in self._wanted or any(family_.has(name) for family_, _ in self._families)

    def _candidate(self, candidates: Sequence[str]) -> Way | None:
        for candidate in candidates:
            if "*" not in candidate:
                found = self._ways.get(candidate)
            else:
                fits = family(candidate)
                found = next((way for name, way in self._ways.items() if fits.has(name)), None)
            if found is not None and found[0].card.kind != "embeddings":
                return found
        return None

    def _fall_back(self, name: str, others: Sequence[str]) -> None:
        """Put others behind a name; where nobody serves it they answer themselves."""
        if "*" in name:
            raise ValueError(
                f"the route {name!r} is no model's name; a family's models are a list under models.aliases"
            )
        targets = list(self._led(name) or ())
        for other in others:
            found = self._find(other)
            if found is not None:
                targets.append(found[0])
            elif not self._lenient:
                raise ValueError(f"the fallback {other!r} is the name of no model")
        if targets:
            self._ways[name.lower()] = tuple(targets)

    def _default_target(self, default: str) -> Target | None:
        found = self._find(default)
        if self._lenient and (found is None or found[0].card.kind == "embeddings"):
            self.dangling[default.lower()] = default
            return None
        if found is None:
            raise ValueError(f"the default model {default!r} is not offered by any upstream")
        if found[0].card.kind == "embeddings":
            raise ValueError(f"the default model {default!r} is not a chat model")
        return found[0]

    def _unknown(self, model: str) -> GatewayError:
        shown = model[:_SHOWN]
        if wanted := self.dangling.get(model.lower()):
            says = f"The name {shown!r} leads to {wanted!r}, which no upstream offers now."
        else:
            by_lower = {name.lower(): name for name in reversed(self._suggested)}
            close = [by_lower[name] for name in get_close_matches(shown.lower(), by_lower, n=3)]
            hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
            says = f"The model {shown!r} does not exist here.{hint}"
        return GatewayError(
            "not_found",
            f"{says} GET /v1/models lists every model.",
            param="model",
            code="model_not_found",
        )


def chat_default(wanted: str, chosen: bool, cards: Sequence[tuple[str, ModelCard]]) -> str:
    """The default model: the `wanted` one if it was chosen or somebody serves it, else the first that can chat."""
    served = {name.lower() for _, c in cards for name in (c.id, *c.aliases, c.target)}
    if chosen or wanted.lower() in served:
        return wanted
    return next((card.id for _, card in cards if card.kind != "embeddings"), "")


def _listed(wanted: str | Sequence[str]) -> tuple[str, ...]:
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def _cards(
    cards: Sequence[tuple[str, ModelCard]], named: Mapping[str, Way]
) -> tuple[ModelCard, ...]:
    """Every id once, and the configuration's names, each with the facts of the model that answers to it."""
    listed: dict[str, ModelCard] = {}
    for _, card in cards:
        listed.setdefault(card.id.lower(), card)
    for name, way in named.items():
        listed[name.lower()] = replace(way[0].card, id=name, label="", aliases=())
    return tuple(listed.values())


def _ids(card: ModelCard) -> tuple[str, ...]:
    return (card.id,)


def _aliases(card: ModelCard) -> tuple[str, ...]:
    return card.aliases


def _targets(card: ModelCard) -> tuple[str, ...]:
    return (card.target,)


def _claude_family(model: str) -> bool:
    """Whether the name is one that Claude Code may ask for unasked; Salesforce's own names are not."""
    if model.lower().startswith(_PASS_PREFIX):
        return False
    return any(family_.has(model) for family_ in _DEFAULTED)
