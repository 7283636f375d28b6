"""Nearly-JSON to JSON, by a short list of corrections that lose nothing.

Each one is named and counted. What would need a guess (a missing brace, an escape such as `\\d`, which means
different things in a pattern and in a shell) is refused, because the result is going to be executed.
"""

from __future__ import annotations

import re
from typing import Any, Final

from .jsontext import NotJson, Refused, quoted, read

# A string that never ends is one token too, for looking again behind each of its quotes would take for ever.
_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.S)
_UNSAFE: Final = re.compile(r"\\(.)|[\x00-\x1f]", re.S)
_WORD: Final = re.compile(r"\b(?:True|False|None)\b")
_COMMA: Final = re.compile(r"(^|[^\s\[{,:])(\s*+),(?=\s*+[}\]])")
_PYTHON: Final = re.compile(
    r"""'([^'\\\n]*+(?:\\[^\n][^'\\\n]*+)*+)'|"([^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+)"|['"]"""
)
_PYTHON_OBJECT: Final = re.compile(r"\{\s*'")
_PYTHON_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(0010[0-9a-fA-F]{4}|000[0-9a-fA-F]{5})|(.))", re.S
)
_FENCE: Final = re.compile(r"(`{3,}+|~{3,}+)[^`\n]*\n")

_WORDS: Final = {"True": "true", "False": "false", "None": "null"}
_LEGAL: Final = frozenset('"\\/bfnrtu')
_PYTHON_LETTERS: Final = {
    "\\": "\\",
    "'": "'",
    '"': '"',
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "b": "\b",
    "f": "\f",
    "a": "\a",
    "v": "\v",
}


def mend(text: str) -> tuple[Any, list[str]]:
    """The value of a nearly-JSON text and the names of the corrections. Raises NotJson or Refused."""
    body = text.strip(" \t\r\n")
    names: list[str] = []
    inner = unfenced(body)
    if inner is not None:
        body, names = inner, ["fence"]
    try:
        return read(body), names
    except NotJson as error:
        first = error
    python = _PYTHON_OBJECT.match(body) is not None
    try:
        rewritten, fixes = _rewritten(body)
        if fixes:
            return read(rewritten), names + fixes
    except NotJson:
        pass
    except Refused:
        if not python:
            raise
    if python:
        return _python(body, first), [*names, "pydict"]
    raise first


def unfenced(text: str) -> str | None:
    """What stands inside the one fence that `text` consists of; None when it is not that."""
    opening = _FENCE.match(text)
    if opening is None or not text.endswith(opening[1]):
        return None
    inner = text[opening.end() : -len(opening[1])]
    if inner.rstrip(" \t\r\n").endswith(opening[1][0]):
        return None  # a longer run of fence characters: not the closer of this fence
    return inner.strip(" \t\r\n")


def object_end(text: str, start: int) -> int:
    """The index behind the JSON value that begins at `start` with a bracket; -1 when it never ends."""
    depth = 0
    for token in _BRACKETS.finditer(text, start):
        match token[0][0]:
            case "{" | "[":
                depth += 1
            case "}" | "]":
                depth -= 1
                if depth == 0:
                    return token.end()
    return -1


_BRACKETS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[{}\[\]]', re.S)


def _rewritten(text: str) -> tuple[str, list[str]]:
    """The text with control characters escaped, `\\'` undone, Python words and last commas corrected."""
    out: list[str] = []
    fixes: dict[str, None] = {}
    at = 0
    for string in _STRING.finditer(text):
        out.append(_outside(text[at : string.start()], fixes))
        out.append(_inside(string[0], fixes))
        at = string.end()
    out.append(_outside(text[at:], fixes))
    return "".join(out), list(fixes)


def _outside(text: str, fixes: dict[str, None]) -> str:
    fixed, count = _WORD.subn(lambda m: _WORDS[m[0]], text)
    if count:
        fixes["pylit"] = None
    fixed, count = _COMMA.subn(r"\1\2", fixed)
    if count:
        fixes["comma"] = None
    return fixed


def _inside(text: str, fixes: dict[str, None]) -> str:
    def correct(found: re.Match[str]) -> str:
        letter = found[1]
        if letter is None:
            fixes["ctrl"] = None
            return quoted(found[0])[1:-1]
        if letter in _LEGAL:
            return found[0]
        if letter == "'":
            fixes["esc"] = None
            return letter
        shown = "a line break" if letter == "\n" else f"\\{letter}"
        raise Refused(
            f"{shown} is no escape in JSON: double the backslash, or put the text into a raw block"
        )

    return _UNSAFE.sub(correct, text)


def _python(text: str, first: NotJson) -> Any:
    """The value of a Python dict literal, whose strings are read by Python's rules."""

    def string(found: re.Match[str]) -> str:
        body = found[1] if found[1] is not None else found[2]
        if body is None:
            raise first  # a string without end
        return quoted(_PYTHON_ESCAPE.sub(_python_character, body))

    out: list[str] = []
    at = 0
    for found in _PYTHON.finditer(text):
        out.append(_outside(text[at : found.start()], {}))
        out.append(string(found))
        at = found.end()
    out.append(_outside(text[at:], {}))
    try:
        return read("".join(out))
    except NotJson:
        raise first from None


def _python_character(found: re.Match[str]) -> str:
    digits = found[1] or found[2] or found[3]
    if digits:
        return chr(int(digits, 16))
    try:
        return _PYTHON_LETTERS[found[4]]
    except KeyError:
        raise Refused(
            f"\\{found[4]} is no escape that can be read safely: use a raw block"
        ) from None
