"""The words of an answer on their way to the client, held back only while they might belong to a call.

White space and the opening line of a fence wait for what follows them: before a call they are its
packaging. After a call everything waits: it leaves when another call follows and is dropped otherwise.
"""

from __future__ import annotations

from sfbridge.core.stream import Piece, Text, Thought


class Prose:
    """Add words as they are read, `take` what may leave."""

    def __init__(self) -> None:
        self._out: list[Piece] = []
        self._words: list[str] = []  # before a call: on their way; after one: waiting for the next
        self._tail: list[str] = []  # white space at the end of the words
        self._fence = ""  # an opening fence line with the white space after it
        self._called = False
        self._skip = False
        self.spoken = False  # anything but white space was said

    def add(self, text: str) -> None:
        if self._skip:
            text = text.lstrip()
            if not text:
                return
            self._skip = False
        body = text.rstrip()
        if not body:
            self._wait(text)
            return
        self._words += self._tail
        if self._fence:
            self._words.append(self._fence)
            self._fence = ""
        self._words.append(body)
        self._tail = [text[len(body) :]] if len(body) < len(text) else []
        self.spoken = True

    def add_fence(self, line: str) -> None:
        """The opening line of a fence, which is dropped if the fence holds nothing but calls."""
        if self._fence:
            self.add(line)
        else:
            self._fence = line

    def add_thought(self, text: str) -> None:
        if text:
            self._flush()
            self._out.append(Thought(text))

    def end_thought(self) -> None:
        """White space between a thought and the first words is nobody's."""
        self._skip = not self.spoken and not self._tail

    def call(self) -> bool:
        """A call begins here. True when the fence around it was dropped."""
        dropped = bool(self._fence)
        self._fence = ""
        self._called = False
        self._flush()
        self._called = True
        return dropped

    def take(self) -> list[Piece]:
        """What may leave now."""
        self._flush()
        out, self._out = self._out, []
        return out

    def held(self) -> str:
        """The packaging that still waits, taken out."""
        text = "".join(self._tail) + self._fence
        self._tail, self._fence = [], ""
        return text

    def close(self) -> tuple[list[Piece], bool]:
        """The rest at the end of the answer, and whether words after the last call were dropped."""
        if self._called:
            dropped = bool(self._words)
            self._words.clear()
            return self.take(), dropped
        held = self.held()
        if self.spoken or held.strip():
            self._words.append(held)
        return self.take(), False

    def _wait(self, text: str) -> None:
        if self._fence:
            self._fence += text
        else:
            self._tail.append(text)

    def _flush(self) -> None:
        if self._words and not self._called:
            text = "".join(self._words)
            self._words.clear()
            if text:
                self._out.append(Text(text))
