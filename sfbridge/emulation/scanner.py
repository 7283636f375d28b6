"""An answer, read piece by piece: prose that may leave at once, calls that leave whole, faults.

The same result for every split of the text, in time linear to its length: pieces are collected in lists and
only a new piece plus a short tail is searched. What the calls come to is decided in `findings`.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from sfbridge.core.stream import FinishReason, Piece

from .dialect import Dressed, Fault, Verdict, tags
from .findings import Findings
from .lines import FENCE_LINE, INDENT, JSON_FENCES, TAG, THOUGHTS, fence, is_growing, may_be_fence
from .prose import Prose
from .salvage import OPENS, RESULTS

LIMIT: Final = 8 * 1024 * 1024  # characters of one answer

_Mode = Literal["prose", "thought", "call", "hold"]

_LONGEST_HEAD: Final = 512
_STEP: Final = 8192  # a whole answer is read in steps, so that no step copies much


class Reader:
    """Feed it the text of one upstream call, then drain it.

    halted  nothing that may still come will be used: an invented result was seen, or the answer is too long
    """

    def __init__(self, dressed: Dressed) -> None:
        self._tags = tags(dressed.mark)
        self._findings = Findings(dressed)
        self._prose = Prose()
        self._mode: _Mode = "prose"
        self._buffer = ""
        self._at = 0
        self._line_start = True
        self._fence = ""  # the run of characters that opened the fence we are in
        self._dropped_fence = False
        self._json_fence = False  # the answer began with a fence that may hold JSON
        self._parts: list[str] = []  # the open call, or what is held
        self._size = 0
        self._tail = ""
        self._head = False  # the opening tag of the call is complete
        self._thought_end = ""
        self._marked = (
            self._tags.call + " ",
            self._tags.result + " ",
            self._tags.raw + " ",
            self._tags.call_end,
            self._tags.raw_end,
        )
        self._longest = max(len(word) for word in self._marked)
        self.halted = False

    def feed(self, text: str) -> list[Piece]:
        """Prose and thoughts that may leave now; never a part of a call."""
        if self.halted:
            return []
        if (
            self._head
            and not self._tail
            and "<" not in text
            and self._mode in ("call", "hold")
            and self._size + len(text) <= LIMIT
        ):
            self._parts.append(text)  # the long inside of a call: nothing to look for
            self._size += len(text)
            return []
        self._size += len(text)
        if self._size > LIMIT:
            self._findings.fault(Fault("", ("the answer is too long",), kind="form"))
            self.halted = True
            return []
        for at in range(0, len(text), _STEP):
            self._run(text[at : at + _STEP], final=False)
        return self._prose.take()

    def drain(self, reason: FinishReason) -> Verdict:
        """What the whole answer came to. `reason` is why the upstream ended it."""
        cut = reason not in ("stop", "tool_calls")
        if not self.halted:
            self._run("", final=True)
        dropped = False
        if self._mode == "call" and not self.halted:
            self._end_of_open_call(cut)
        elif self._mode == "hold" and self._size <= LIMIT:
            text, dropped = self._findings.salvage(
                "".join(self._parts), cut=cut and not self.halted, alone=not self._prose.spoken
            )
            if text:
                self._say_held(text)
            else:
                self._prose.held()
        pieces, trailing = self._prose.close()
        return self._findings.verdict(tuple(pieces), reason, trailing or dropped)

    # ---- one step at a time

    def _run(self, text: str, *, final: bool) -> None:
        more = True
        while more and not self.halted:
            match self._mode:
                case "call" | "hold":
                    more = self._body(text)
                case "thought":
                    more = self._thought(text, final)
                case "prose":
                    more = self._words(text, final)
            text = ""
        if self._at:
            self._buffer = self._buffer[self._at :]
            self._at = 0

    def _words(self, text: str, final: bool) -> bool:
        """Prose, from one line start or tag to the next. False when more text is needed."""
        if text:
            self._buffer = self._buffer[self._at :] + text
            self._at = 0
        while self._at < len(self._buffer):
            if self._line_start:
                step = self._line(final)
                if step is not None:
                    return step
                continue
            found = self._tags.stops.search(self._buffer, self._at)
            if found is None:
                return self._no_stop(final)
            self._say(found.end() if found[0] == "\n" else found.start())
            if found[0] == "\n":
                self._line_start = True
            elif found["stray"]:
                self._stray(found)
            else:
                return self._tag(found)
        return False

    def _no_stop(self, final: bool) -> bool:
        """The rest of a line, save what may be the beginning of a tag."""
        until = len(self._buffer)
        if not final:
            last = self._buffer.rfind("<", max(self._at, until - self._longest))
            if last >= 0 and self._may_open(self._buffer[last:]):
                until = last
        elif self._buffer.endswith(self._tags.call, self._at):
            return self._open_tag_at_the_end()
        self._say(until)
        return False

    def _may_open(self, rest: str) -> bool:
        """Whether `rest` may grow into a marked tag."""
        return any(word.startswith(rest) for word in self._marked)

    def _line(self, final: bool) -> bool | None:
        """The beginning of a line. None: go on; otherwise what `_words` shall return."""
        indent = INDENT.match(self._buffer, self._at)
        at = indent.end() if indent else self._at
        if at == len(self._buffer):
            if not final:
                return False
            self._say(at)
            return False
        found = self._tags.opening.match(self._buffer, at)
        if found:
            self._say(found.start())
            return self._tag(found)
        if self._buffer[at] in "`~":
            return self._fence_line(at, final)
        if self._buffer[at] == "<":
            return self._angle(at, final)
        if self._buffer[at] in "{[" and self._begins_json():
            return self._hold(self._at)
        self._json_fence = False if self._buffer[at] != "\n" else self._json_fence
        self._line_start = False
        return None

    def _angle(self, at: int, final: bool) -> bool | None:
        """A line that begins with `<`: a thought, an invented result, a foreign call, or just a line."""
        rest = self._buffer[at : at + TAG]
        if not final and (self._may_open(rest) or is_growing(rest)):
            return False
        if not self._fence:
            opened = next((word for word in THOUGHTS if rest.startswith(word)), "")
            if opened:
                self._say(at)
                self._at += len(opened)
                self._mode, self._thought_end = "thought", f"</{opened[1:]}"
                return True
            if self._findings.outcomes and RESULTS.match(rest):
                self._say(at)
                return self._invented()
            if not self._findings.outcomes and OPENS.match(rest):
                return self._hold(at)
        self._json_fence = False
        self._line_start = False
        return None

    def _fence_line(self, at: int, final: bool) -> bool | None:
        """A line of fence characters is judged when it is whole."""
        end = self._buffer.find("\n", at, at + FENCE_LINE)
        short = len(self._buffer) - at < FENCE_LINE
        whole = end >= 0 or (final and short)
        if not whole and short and may_be_fence(self._buffer, at):
            return False
        found = fence(self._buffer, self._at) if whole else None
        self._line_start = False
        if found is None:
            self._json_fence = False
            return None
        until = end + 1 if end >= 0 else len(self._buffer)
        run, info = found
        if not self._fence:
            self._json_fence = not self._prose.spoken and info.lower() in JSON_FENCES
            self._fence = run
            self._prose.add_fence(self._buffer[self._at : until])
            self._at = until
        elif run[0] == self._fence[0] and len(run) >= len(self._fence) and not info:
            self._fence = ""
            if self._dropped_fence:
                self._dropped_fence = False
                self._at = until
            else:
                self._say(until)
        else:
            self._say(until)
        self._line_start = True
        return None

    def _begins_json(self) -> bool:
        """Whether the answer begins here, or with a fence that begins here."""
        if self._findings.outcomes or self._prose.spoken:
            return False
        return not self._fence or self._json_fence

    def _say(self, until: int) -> None:
        if until > self._at:
            self._prose.add(self._buffer[self._at : until])
            self._at = until

    # ---- tags

    def _tag(self, found: re.Match[str]) -> bool:
        if found["what"] == "result":
            return self._invented()
        self._begin_call()
        return True

    def _stray(self, found: re.Match[str]) -> None:
        """A tag of a call outside of one. A second closer means nothing; a raw block has lost its call."""
        self._at = found.end()
        if found["stray"] != self._tags.call_end:
            self._findings.spoil("a raw block, or the end of one, stands outside the call")

    def _begin_call(self) -> None:
        if self._prose.call():
            self._dropped_fence = True
        rest = self._buffer[self._at :]
        self._enter("call", rest)

    def _hold(self, at: int) -> bool:
        """Nothing leaves from here on until the end shows whether this is a call in another dialect."""
        self._say(at)
        packaging = self._prose.held() if self._fence else ""
        rest = packaging + self._buffer[self._at :]
        self._fence = ""
        self._enter("hold", rest)
        self._head = True
        return True

    def _enter(self, mode: _Mode, rest: str) -> None:
        self._mode = mode
        self._parts, self._tail, self._head = [], "", False
        self._buffer, self._at = rest, 0

    def _invented(self) -> bool:
        self._findings.note("fabricated_result")
        self.halted = True
        return False

    def _open_tag_at_the_end(self) -> bool:
        """The answer ends within the opening tag of a call."""
        self._say(len(self._buffer) - len(self._tags.call))
        self._begin_call()
        return True

    # ---- inside a thought

    def _thought(self, text: str, final: bool) -> bool:
        if text:
            self._buffer = self._buffer[self._at :] + text
            self._at = 0
        end = self._buffer.find(self._thought_end, self._at)
        if end >= 0:
            self._prose.add_thought(self._buffer[self._at : end])
            self._prose.end_thought()
            self._at = end + len(self._thought_end)
            self._mode, self._line_start = "prose", True
            return True
        until = len(self._buffer)
        if not final:
            last = self._buffer.rfind("<", max(self._at, until - len(self._thought_end)))
            if last >= 0 and self._thought_end.startswith(self._buffer[last:]):
                until = last
        self._prose.add_thought(self._buffer[self._at : until])
        self._at = until
        return False

    # ---- inside a call, or what may be one

    def _body(self, text: str) -> bool:
        """Look for what ends the call. False when more text is needed."""
        piece = self._buffer[self._at :] + text
        self._buffer, self._at = "", 0
        if not self._head:
            return self._opening_tag(piece)
        window = self._tail + piece
        pattern = self._tags.ends_call if self._mode == "call" else self._tags.opening
        found = pattern.search(window)
        if found is None:
            if piece:
                self._parts.append(piece)
            last = window.rfind("<", max(0, len(window) - self._longest))
            self._tail = window[last:] if last >= 0 else ""
            return False
        self._parts.append(piece)
        before = "".join(self._parts)
        start = len(before) - len(window) + found.start()
        body, self._buffer = before[:start], before[start:]
        if self._mode == "hold" and found["what"] == "result":
            self._parts = [body]
            return self._invented()
        if self._mode == "hold":
            return self._release(body, found)
        if found.lastgroup == "end":
            self._buffer = self._buffer[len(found[0]) :]
            self._close_call(body, closed=True)
        else:
            self._close_call(body, closed=False)
        return True

    def _opening_tag(self, piece: str) -> bool:
        """The opening tag up to its `>`, which is short; the call may end right there."""
        self._parts.append(piece)
        text = "".join(self._parts)
        end = text.find(">")
        if end < 0 and len(text) < _LONGEST_HEAD:
            return False
        end = min(end, _LONGEST_HEAD) if end >= 0 else _LONGEST_HEAD
        self._head = True
        self._findings.begin(text[: end + 1])
        self._parts = []
        if text.endswith("/>", 0, end + 1):
            self._buffer = text[end + 1 :]
            self._close_call("", closed=True)
        else:
            self._buffer = text[end + 1 :]
        return True

    def _close_call(self, body: str, *, closed: bool) -> None:
        rest = self._findings.end(body, closed=closed)
        self._mode, self._head = "prose", False
        self._parts, self._tail = [], ""
        self._buffer, self._at = rest + self._buffer, 0
        self._line_start = True

    def _release(self, body: str, found: re.Match[str]) -> bool:
        """A marked tag: what was held is prose after all."""
        self._say_held(body)
        self._mode, self._head = "prose", False
        self._parts, self._tail = [], ""
        return self._tag(found)

    def _say_held(self, text: str) -> None:
        """Held text as prose; marked tags in it are what is left of a call that was not one."""
        for tag in (self._tags.call_end, self._tags.raw_end):
            if tag in text:
                self._findings.spoil("a call needs the mark in its opening tag too")
                text = text.replace(tag, "")
        self._prose.add(text)

    def _end_of_open_call(self, cut: bool) -> None:
        if cut:
            self._findings.note("truncated_call")
            return
        if not self._head:
            self._findings.begin("".join(self._parts))
            self._findings.fault(
                Fault(self._findings.name, ("the opening tag of the call is not complete",))
            )
            return
        rest = self._findings.end("".join(self._parts), closed=False)
        if rest:
            self._mode, self._parts = "prose", []
            self._buffer, self._at, self._line_start = rest, 0, True
            self._run("", final=True)
