"""Function tools and calls of them as requests in this format carry them; vendors' own dialects borrowed them."""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct


class SentFunction(Struct, frozen=True, gc=False):
    """`arguments` is the JSON text of one object."""

    name: str
    arguments: str


class SentCall(Struct, frozen=True):
    """A call of an earlier turn."""

    id: str
    function: SentFunction
    type: Literal["function"] = "function"


class OfferedFunction(Struct, frozen=True, omit_defaults=True):
    """`parameters` is the JSON Schema of the arguments."""

    name: str
    parameters: Raw
    description: str = ""
    strict: bool = False


class OfferedTool(Struct, frozen=True):
    function: OfferedFunction
    type: Literal["function"] = "function"
