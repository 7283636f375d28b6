"""What holds for one model of the server: configured facts first, then those learnt, then those detected."""

from __future__ import annotations

import logging
from typing import Final

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import UNASKED, Capabilities, Kind, ModelCard

from .detect import Found, Seen
from .profiles import Profile
from .settings import ModelRow, Settings

_log = logging.getLogger("sfbridge.upstream.openai")

# What is asked for when the client means whatever the server has loaded.
ANY: Final = "default"
# Where a window is from when nobody said it.
DEFAULT: Final = "default_window"
# The protocol whose unknown fields such a server may know.
DIALECT: Final = "openai_chat"
_LATEST: Final = ":latest"
_MOST_LEARNT: Final = 256


class Facts:
    """The configured rows of one upstream, and what its answers taught."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._settings = settings
        self._rows = {row.name: row for row in settings.models}
        self._windows: dict[str, int] = {}
        self._without_tools: set[str] = set()
        self._folded: set[str] = set()
        self._answered: dict[str, str] = {}

    # ---- names

    def cards(self, found: Found | None) -> tuple[ModelCard, ...]:
        """Configured models, the server's own, and one under the upstream's name for whatever is loaded.

        The last one is always there, so that routes can lead to a server that is down at the start.
        """
        cards = [self._card(row, found) for row in self._rows.values()]
        cards += [
            ModelCard(
                id=seen.name,
                target=seen.name,
                label=seen.name,
                owner=self._name,
                kind=seen.kind,
                window=self.window(found, seen.name)[0],
                created=seen.created,
            )
            for seen in self._listed(found)
            if seen.name not in self._rows
        ]
        whatever = ModelCard(
            id=self._name,
            target=ANY,
            label=f"{self._name}: the model that is loaded",
            owner=self._name,
            kind="any",
            window=self.window(found, ANY)[0],
            status=UNASKED if found is None else "",
        )
        return (*cards, whatever)

    def _card(self, row: ModelRow, found: Found | None) -> ModelCard:
        return ModelCard(
            id=row.id or row.name,
            target=row.name,
            label=row.label or row.id or row.name,
            owner=self._name,
            kind=row.kind,
            aliases=row.aliases,
            window=self.window(found, row.name)[0],
            max_output=row.max_output,
        )

    def target(self, found: Found | None, model: str, kind: Kind = "chat") -> str:
        """The name to send: of a configured or listed model its own, of `default` the first one's of the kind."""
        if model != ANY or model in self._rows:
            return model
        if kind == "embeddings":
            makers = [row.name for row in self._rows.values() if row.kind == kind]
            makers += [seen.name for seen in self._listed(found) if seen.kind == kind]
            if makers:
                return makers[0]
        seen = self.seen(found, model)
        return seen.name if seen is not None else next(iter(self._rows), ANY)

    def seen(self, found: Found | None, model: str) -> Seen | None:
        """What the server says of a model; of a name that it does not list only where it has but one."""
        models = self._listed(found)
        for seen in models:
            if seen.name in (model, model + _LATEST):
                return seen
        chats = [seen for seen in models if seen.kind != "embeddings"]
        return chats[0] if chats and (model == ANY or len(chats) == 1) else None

    def _listed(self, found: Found | None) -> tuple[Seen, ...]:
        return found.models if found is not None else ()

    # ---- abilities

    def capabilities(self, found: Found | None, profile: Profile, model: str) -> Capabilities:
        row, seen = self._rows.get(model), self.seen(found, model)
        tools = self.tools(model)
        able = seen is None or seen.tools is not False
        native = tools == "none" or (
            tools == "native" and able and model not in self._without_tools
        )
        return Capabilities(
            streams=True,
            native_tools=native,
            parallel_calls=True,
            # tools that are left out anyway cannot be demanded in words either
            choices=profile.choices | {"required", "named", "single"}
            if tools == "none"
            else profile.choices,
            images=self._images(row, seen),
            thoughts=bool(profile.thoughts) or profile.effort,
            alternation=profile.alternation,
            shapes=profile.shapes,
            knobs=profile.knobs,
            max_output=True,
            stop=True,
            window=self.window(found, model)[0],
            output_cap=(row.max_output if row is not None else None)
            or self._settings.max_output
            or None,
            extras=DIALECT,
            prunes=True,
            steady=self._settings.attribution == "neutralise",
        )

    def tools(self, model: str) -> str:
        row = self._rows.get(model)
        return (row.tools if row is not None else "") or self._settings.tools

    def window(self, found: Found | None, model: str) -> tuple[int, str]:
        """Tokens, and where the number is from."""
        row, seen = self._rows.get(model), self.seen(found, model)
        if row is not None and row.window:
            return row.window, "models"
        if self._settings.window:
            return self._settings.window, "window"
        if learnt := self._windows.get(model):
            return learnt, "an overflow"
        if seen is not None and seen.window:
            return seen.window, seen.source
        return self._settings.default_window, DEFAULT

    def _images(self, row: ModelRow | None, seen: Seen | None) -> bool:
        for told in (
            row.images if row is not None else None,
            self._settings.images,
            seen.images if seen is not None else None,
        ):
            if told is not None:
                return told
        return False

    # ---- learning

    def folded(self, model: str) -> bool:
        return model in self._folded

    def fold(self, model: str) -> None:
        """The model's template counts words after tool results as a turn of their own."""
        self._folded.add(model)

    def learn(self, model: str, error: GatewayError) -> None:
        """What a refusal says of the model: its true window, or that it has no tools."""
        if len(self._windows) + len(self._without_tools) >= _MOST_LEARNT:
            self.forget()
        if error.code == "upstream_no_tools" and model not in self._without_tools:
            self._without_tools.add(model)
            _log.warning("%s cannot call tools; from now on they are emulated", model)
        elif error.kind == "context_overflow" and error.tokens is not None:
            self._windows[model] = error.tokens[1]

    def answered(self, model: str, by: str) -> bool:
        """Note which model answered; whether it is another one than last time."""
        before = self._answered.get(model, by)
        if by and len(self._answered) < _MOST_LEARNT:
            self._answered[model] = by
        return bool(by) and before != by

    def forget(self) -> None:
        """Drop what was learnt: the server is another one now."""
        self._windows.clear()
        self._without_tools.clear()
        self._folded.clear()
