"""Files of expected results: compared all at once, or rewritten when the run is told to bless them."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import fields

from sfbridge.core.request import Part

_PARTS = frozenset(part.__name__ for part in Part.__args__)
_MARK = re.compile(r"<(?:tool_call|tool_result|raw) ([a-z][a-z0-9]{3,9})(?=[\s/>])")
_PASSING = (
    (re.compile(r"\b(chatcmpl-|msg_|resp_)[0-9a-f]{24}\b"), r"\1ID"),
    (re.compile(r"\b(msg_|rs_|fc_|ctc_)[0-9a-f]{24}(\d{2})\b"), r"\1ID\2"),
    (re.compile(r"\b(call_|toolu_)[0-9a-f]{20}(\d{4})\b"), r"\1ID\2"),
    (re.compile(r"\breq_[0-9a-f]{24}\b"), "req_ID"),
    (re.compile(r'("created(?:_at)?": ?)\d+'), r"\g<1>0"),
)


class Goldens:
    """Collects every difference of one test, so that one failure shows them all."""

    def __init__(self, root: Path, *, bless: bool) -> None:
        self._root = root
        self._bless = bless
        self._checked: set[Path] = set()
        self._differences: list[str] = []

    def check(self, name: str, found: str) -> None:
        """Compare `found` with the file `name`, or make it the file."""
        path = self._root / name
        self._checked.add(path)
        if self._bless:
            path.write_bytes(found.encode())
            return
        expected = path.read_bytes().decode() if path.exists() else ""
        if found != expected:
            lines = difflib.unified_diff(
                expected.splitlines(),
                found.splitlines(),
                f"{name} (file)",
                f"{name} (found)",
                "",
                "",
                3,
                "",
            )
            self._differences.append("\n".join(lines) or f"{name}: line ends differ")

    def finish(self, *patterns: str) -> None:
        """Fail with all differences; files of the patterns that nothing was compared with are differences too."""
        extra = {p for pattern in patterns for p in self._root.glob(pattern)} - self._checked
        for path in sorted(extra):
            if self._bless:
                path.unlink()
            else:
                self._differences.append(f"{path.relative_to(self._root)}: belongs to no case")
        assert not self._differences, "\n\n".join(["", *self._differences])


def pretty(value: Any) -> str:
    """JSON to be read by people."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def lasting(text: str) -> str:
    """The text without what differs from run to run: ids that the bridge makes, and the time."""
    for pattern, name in _PASSING:
        text = pattern.sub(name, text)
    return text


def mark_of(text: str) -> str:
    """The mark of the emulated tool calls in a prompt; empty when there is none."""
    marks = set(_MARK.findall(text))
    assert len(marks) <= 1, marks
    return marks.pop() if marks else ""


def without_mark(text: str) -> str:
    """The prompt with its mark, which belongs to one configuration, called MARK."""
    mark = mark_of(text)
    return text.replace(mark, "MARK") if mark else text


def neutral(value: Any) -> Any:
    """A neutral request as JSON: parts with their type, raw JSON as it is, nothing that is at its default."""
    match value:
        case Raw():
            return json.loads(bytes(value))
        case Struct():
            name = type(value).__name__
            shown = {"part": name} if name in _PARTS else {}
            for field in fields(value):
                found = getattr(value, field.name)
                if field.required or found != _default(field):
                    shown[field.name] = neutral(found)
            return shown
        case dict():
            return {key: neutral(item) for key, item in value.items()}
        case tuple() | list():
            return [neutral(item) for item in value]
        case _:
            return value


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default
