"""What the servers' own counts teach about our token estimates, per model."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_LEAST: Final = 0.4
_MOST: Final = 2.5
# Weight of the newest sample: one odd report moves the factor little, ten turns move it wholly.
_NEWEST: Final = 0.3
_SAMPLES: Final = 2
# A prompt that was refused is cut to a little less than its count would allow.
_MARGIN: Final = 1.03


class Learned:
    """A correction factor per model: moving average of reported / estimated, between 0.4 and 2.5.

    The least recently used models are forgotten beyond `most_models`.
    """

    def __init__(self, most_models: int = 256) -> None:
        self._models: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._most = most_models

    def factor(self, model: str) -> float:
        """What to multiply an estimate with; 1.0 until the model has reported twice."""
        average, samples = self._models.get(model, (1.0, 0))
        return average if samples >= _SAMPLES else 1.0

    def learn(self, model: str, estimated: int, reported: int, *, sure: bool = False) -> None:
        """One turn: our estimate *without* the factor, and the server's count of all input tokens.

        sure  the estimate was proven too low by a refusal: the factor is raised to the count at once
        Counts that are not positive teach nothing.
        """
        if estimated <= 0 or reported <= 0:
            return
        ratio = min(max(reported / estimated, _LEAST), _MOST)
        average, samples = self._models.pop(model, (ratio, 0))
        if sure:
            average, samples = max(average, ratio * _MARGIN), _SAMPLES
            ratio = average
        self._models[model] = (average + _NEWEST * (ratio - average), samples + 1)
        if len(self._models) > self._most:
            self._models.popitem(last=False)

    def snapshot(self) -> dict[str, float]:
        """The factor of every model that has one."""
        return {
            model: round(average, 3)
            for model, (average, samples) in self._models.items()
            if samples >= _SAMPLES
        }
