"""The process' instructions to its IDE, taken out of the text: announced tool calls, and edits of files.

Only a line that may still become such a fence is held back, and never more of it than a fence can be long.
"""

from __future__ import annotations

import re
from typing import Final

from .signals import Said, ToolSeen
from .toolwords import phase_of

_LONGEST: Final = 512
_FENCE: Final = "```"
_CALL: Final = re.compile(r"```toolCall::(?P<name>[^:\s]*)::(?P<id>[^:\s]+)::(?P<state>\w+)[ \t]*")
_EDIT: Final = re.compile(r"```(?P<info>[^|\n]*)\|CODE_EDIT_BLOCK\|")


class Fences:
    """Feed it text in any chunking; it gives text and announcements, in order."""

    def __init__(self) -> None:
        self._line = ""  # the unfinished line, while it may be the beginning of a fence
        self._fresh = True  # the next character begins a line
        self._closing = False  # an announcement was taken out; the fence that closes it goes too

    def feed(self, text: str) -> list[Said | ToolSeen]:
        if not self._line and not self._closing and "`" not in text:
            if text:
                self._fresh = text.endswith("\n")
            return [Said(text)] if text else []
        out: list[str] = []
        found: list[Said | ToolSeen] = []
        *whole, last = (self._line + text).split("\n")
        for line in whole:
            self._one(f"{line}\n", out, found)
        if last:
            self._one(last, out, found)
        _flush(out, found)
        return found

    def drain(self) -> list[Said | ToolSeen]:
        """What was held back, at the end of the answer."""
        line, self._line = self._line, ""
        found: list[Said | ToolSeen] = []
        out: list[str] = []
        if line:
            self._whole(line, out, found)
        _flush(out, found)
        return found

    def _one(self, line: str, out: list[str], found: list[Said | ToolSeen]) -> None:
        begins, self._line = self._fresh or bool(self._line), ""
        ended = line.endswith("\n")
        if not begins:
            out.append(line)
            self._fresh = ended
        elif ended:
            self._whole(line, out, found)
            self._fresh = True
        elif len(line) <= _LONGEST and (line.startswith(_FENCE) or _FENCE.startswith(line)):
            self._line = line
        else:
            out.append(line)
            self._fresh = False
            self._closing = False

    def _whole(self, line: str, out: list[str], found: list[Said | ToolSeen]) -> None:
        closing, self._closing = self._closing, False
        if closing and line.rstrip() == _FENCE:
            return
        if called := _CALL.fullmatch(line.rstrip("\r\n")):
            _flush(out, found)
            phase = phase_of(called["state"]) or "start"
            found.append(ToolSeen(id=called["id"], name=called["name"], phase=phase))
            self._closing = True
        elif edit := _EDIT.match(line):
            out.append(f"{_FENCE}{edit['info']}{line[len(line.rstrip(chr(13) + chr(10))) :]}")
        else:
            out.append(line)


def _flush(out: list[str], found: list[Said | ToolSeen]) -> None:
    if out:
        found.append(Said("".join(out)))
        out.clear()
