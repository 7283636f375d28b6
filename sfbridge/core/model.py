"""What is known about models and upstreams, as data. Conservative by default: nothing is assumed."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

Knob = Literal["temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty"]


# "any": nobody says what the model is for, so it is asked, and its server decides.
Kind = Literal["chat", "embeddings", "any"]


class Capabilities(Struct, frozen=True, kw_only=True):
    """What one model can do on one upstream, now.

    knobs         sampling parameters that are honoured
    choices       tool choice modes honoured natively ("auto" goes without saying)
    system_midway system messages may stand between other messages
    prunes        nobody but us keeps conversations within the window, so long ones are cut here
    steady        a prompt that begins as the last one did is read faster, so what a client changes at its front
                  without need is left out
    alternation   turns must alternate, the first one being the user's
    threads       it keeps conversations of its own, which later calls may continue
    extras        the dialect (of a request) whose unknown top-level fields are passed on; empty: none's
    """

    streams: bool = False
    native_tools: bool = False
    parallel_calls: bool = False
    choices: frozenset[str] = frozenset()
    images: bool = False
    documents: bool = False
    thoughts: bool = False
    system_midway: bool = False
    alternation: bool = True
    shapes: frozenset[str] = frozenset()
    knobs: frozenset[str] = frozenset()
    max_output: bool = False
    stop: bool = False
    window: int | None = None
    output_cap: int | None = None
    prunes: bool = False
    steady: bool = False
    threads: bool = False
    extras: str = ""


# The status of a card whose upstream has not told yet which models it has.
UNASKED: Final = "unasked"


class ModelCard(Struct, frozen=True, kw_only=True):
    """One model that can be asked for. `id` is the friendly name; `target` is what the upstream calls it; `upstream`
    is who has it, once it is listed, and `can` what it can do, once that is known."""

    id: str
    target: str
    label: str = ""
    owner: str = ""
    kind: Kind = "chat"
    aliases: tuple[str, ...] = ()
    window: int | None = None
    max_output: int | None = None
    status: str = ""
    created: int = 0
    upstream: str = ""
    can: Capabilities | None = None


class Health(Struct, frozen=True, kw_only=True):
    """Whether an upstream can answer now, and the facts behind it, in words fit for a public page."""

    ready: bool
    summary: str = ""
    facts: dict[str, str | int | bool | None] = {}
