"""Answers that must be JSON, for upstreams that cannot promise it: ask, check, ask again."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec.structs import replace

from sfbridge.core.request import ChatRequest, Message, Shape, TextPart

from .jsontext import NotJson, Refused, write
from .repair import mend, unfenced
from .schema import BrokenSchema, compiled
from .words import shown

_FENCE: Final = re.compile(r"^[ \t]*(`{3,}+|~{3,}+)[^`\n]*$", re.M)

_ANY: Final = "Answer with one JSON object and nothing else: no code fence, no words around it."
_FITTING: Final = "Answer with JSON that fits this JSON Schema and nothing else: no code fence, no words around it.\n"


def ask_shape(request: ChatRequest) -> ChatRequest:
    """The request with the demand in words, at the end of the last user turn, and without its shape."""
    shape = request.shape
    if shape.kind == "text":
        return request
    text = _ANY
    if shape.kind == "schema" and shape.schema is not None:
        text = _FITTING + bytes(shape.schema).decode("utf-8", "replace").strip()
    return replace(request, messages=_with(request.messages, text), shape=Shape())


def check_shape(text: str, shape: Shape) -> tuple[str, tuple[str, ...]]:
    """The JSON text alone, and what is wrong with it; nothing is wrong when that is empty.

    A fence around the JSON is taken off together with words outside it; words around bare JSON are a fault,
    because nobody can say where they end.
    """
    body = text.strip()
    if shape.kind == "text":
        return text, ()
    found = _fenced(body)
    body = body if found is None else found
    try:
        value, names = mend(body)
    except (NotJson, Refused) as error:
        return body, (f"the answer is not JSON alone: {error}",)
    if names:
        body = write(value)
    return body, _problems(value, shape)


def shape_correction(said: str, problems: tuple[str, ...]) -> tuple[Message, Message]:
    """The repair round: the model's answer as it was, and what is wrong with it."""
    lines = ["This answer could not be used:", *(f"- {problem}" for problem in problems), ""]
    lines.append("Write the whole answer once more as corrected JSON, and nothing else.")
    return (
        Message("assistant", (TextPart(said if said.strip() else "(no text)"),)),
        Message("user", (TextPart("\n".join(lines)),)),
    )


def _problems(value: Any, shape: Shape) -> tuple[str, ...]:
    if shape.kind == "json":
        return () if isinstance(value, dict) else (f"expected a JSON object, got {shown(value)}",)
    if shape.schema is None:
        return ()
    try:
        return compiled(bytes(shape.schema)).problems(value)
    except BrokenSchema:
        return ()  # the client's schema says nothing that could be checked


def _fenced(text: str) -> str | None:
    """What stands in the only fence of a text; None when there is no fence, or more than one."""
    if text.startswith(("{", "[", '"')):
        return None
    whole = unfenced(text)
    if whole is not None:
        return whole
    lines = list(_FENCE.finditer(text))
    if len(lines) != 2:
        return None
    return text[lines[0].end() : lines[1].start()].strip()


def _with(messages: tuple[Message, ...], text: str) -> tuple[Message, ...]:
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role == "user":
            parts = (*messages[index].parts, TextPart(f"\n\n{text}"))
            return (*messages[:index], Message("user", parts), *messages[index + 1 :])
    return (*messages, Message("user", (TextPart(text),)))
