"""The marked envelope: how a call, a raw block and a result look in text, and the words of this room.

Every tag carries a mark that belongs to one conversation, so syntax quoted from a document is inert. Apart
from the rest because prompt, transcript and scanner must agree on each character of it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from sfbridge.core.request import ChatRequest, TextPart, Tool, ToolChoice
from sfbridge.core.stream import FinishReason, Piece

# Whole files and patches: 98 of 100 files end with a line break, so nothing is stripped from these.
LINE_PARAMS: Final = frozenset({"content", "contents", "file_text", "diff", "patch"})

# No vowels, so that a mark is never a word. The first letter is none that may follow a backslash in JSON
# and no hexadecimal digit, so that a mark can always be written as an escape where it must not stand.
_FIRST: Final = "ghjklmpqsvwxz"
_SECOND: Final = "23456789"
_OTHERS: Final = "bcdfghjklmnpqrstvwxz23456789"

_VOLATILE: Final = re.compile(r"x-[\w-]+:[^\n]*\Z")


class PlannedCall(Struct, frozen=True, gc=False):
    """A complete, valid call. `arguments` is the JSON text of one object; `id` is the upstream's, if it gave one."""

    name: str
    arguments: str
    id: str = ""


class Fault(Struct, frozen=True):
    """Why something may not be delivered.

    name      the tool, empty when it could not be read
    problems  one line each, with the path into the arguments where there is one
    raw       what the model wrote
    kind      "call": wrong arguments; "form": no call although demanded, a call although forbidden
    """

    name: str
    problems: tuple[str, ...]
    raw: str = ""
    kind: Literal["call", "form"] = "call"


class Verdict(Struct, frozen=True, kw_only=True):
    """What one answer came to.

    pieces  prose that was held back and may leave
    calls   valid calls in order; with faults beside them the turn wants a repair round first
    reason  what the turn ends with
    notes   how often which correction was made
    """

    pieces: tuple[Piece, ...]
    calls: tuple[PlannedCall, ...]
    faults: tuple[Fault, ...]
    reason: FinishReason
    notes: dict[str, int]


class Dressed(Struct, frozen=True, kw_only=True):
    """A request for a model without tools, and what the reader of its answer must know.

    request      tools, choice and calls turned into text
    untrusted    every text of the conversation that did not come out of this answer
    line_params  string parameters that keep the line break before their closing tag
    """

    request: ChatRequest
    mark: str
    tools: tuple[Tool, ...]
    choice: ToolChoice = ToolChoice()
    untrusted: str = ""
    line_params: frozenset[str] = LINE_PARAMS


class Tags(Struct, frozen=True):
    """The tags of one mark, as text and as patterns."""

    call: str
    call_end: str
    raw: str
    raw_end: str
    result: str
    result_end: str
    # an opener of a call or a result, wherever it stands
    opening: re.Pattern[str]
    # the same, or the end of a line, or a tag that has no place in prose
    stops: re.Pattern[str]
    # what can end a call: its closer, another call, an invented result
    ends_call: re.Pattern[str]
    raw_open: re.Pattern[str]


@lru_cache(maxsize=64)
def tags(mark: str) -> Tags:
    """The tags of `mark`."""
    m = re.escape(mark)
    opening = rf"<tool_(?P<what>call|result) {m}(?=[\s/>])"
    return Tags(
        call=f"<tool_call {mark}",
        call_end=f"</tool_call {mark}>",
        raw=f"<raw {mark}",
        raw_end=f"</raw {mark}>",
        result=f"<tool_result {mark}",
        result_end=f"</tool_result {mark}>",
        opening=re.compile(opening),
        stops=re.compile(
            rf"\n|{opening}|(?P<stray></tool_call {m}>|</raw {m}>|<raw {m}(?=[\s/>]))"
        ),
        ends_call=re.compile(rf"(?P<end></tool_call {m}>)|{opening}"),
        raw_open=re.compile(rf"""<raw {m}\s+name\s*=\s*(?:"([^"\n]*)"|'([^'\n]*)')\s*>"""),
    )


def reminder(mark: str) -> str:
    """The line under every turn that carries results; the same in the whole conversation."""
    return (
        f'Calls: <tool_call {mark} name="…"> JSON </tool_call {mark}>. Otherwise answer normally.'
    )


def derive_mark(key: bytes, seed: str, texts: Iterable[str]) -> str:
    """A mark that stands in none of `texts`: secret without the key, the same in every turn of `seed`."""
    texts = tuple(texts)
    secret = seed.encode("utf-8", "surrogatepass")
    counter = 0
    while True:
        mark = _spelled(hmac.digest(key, b"%d\n" % counter + secret, "sha256"))
        if not any(mark in text for text in texts):
            return mark
        counter += 1


def seed_of(request: ChatRequest) -> str:
    """What names a conversation: its first system text and its first user text.

    A system text that is one header line (`x-…: …`) changes from turn to turn and is passed over.
    """
    system = next((p.text for p in request.system if not _VOLATILE.match(p.text)), "")
    user = next(
        (
            part.text
            for message in request.messages
            if message.role == "user"
            for part in message.parts
            if isinstance(part, TextPart) and part.text
        ),
        "",
    )
    return f"{system}\0{user}"


def _spelled(digest: bytes) -> str:
    number = int.from_bytes(digest[:16], "big")
    letters = []
    for alphabet in (_FIRST, _SECOND, _OTHERS, _OTHERS, _OTHERS):
        number, index = divmod(number, len(alphabet))
        letters.append(alphabet[index])
    return "".join(letters)
