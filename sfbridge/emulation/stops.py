"""Stop sequences for upstreams that take none: the text is cut where the first of them is complete."""

from __future__ import annotations


class StopCutter:
    """Feed it the text of an answer; what comes out ends before the stop sequence.

    hit  the sequence that ended the answer, empty while none did. Of two that end on the same character,
         the longer one. The result does not depend on how the text was cut into pieces.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = tuple(dict.fromkeys(stop for stop in stops if stop))
        self._longest = max(map(len, self._stops), default=0)
        self._firsts = frozenset(stop[0] for stop in self._stops)
        self._held = ""
        self.hit = ""

    def feed(self, text: str) -> str:
        """What may leave now; nothing more after a hit."""
        if self.hit or not self._stops:
            return "" if self.hit else text
        window = self._held + text
        ends = [
            (start + len(stop), start, stop)
            for stop in self._stops
            if (start := window.find(stop)) >= 0
        ]
        if ends:
            _, start, self.hit = min(ends)
            self._held = ""
            return window[:start]
        keep = self._may_begin(window)
        self._held = window[keep:]
        return window[:keep]

    def drain(self) -> str:
        """The rest at the end of the answer: what might have begun a stop sequence and did not."""
        rest, self._held = self._held, ""
        return rest

    def _may_begin(self, window: str) -> int:
        """Where the longest end of the text begins that a stop sequence may continue."""
        for start in range(max(0, len(window) - self._longest + 1), len(window)):
            if window[start] in self._firsts:
                rest = window[start:]
                if any(stop.startswith(rest) for stop in self._stops):
                    return start
        return len(window)
