"""A request against what a model can do: kept, degraded and reported, or refused.

Adapters may rely on the outcome: nothing in the fitted request is beyond the model, apart from what the
flags hand over to emulation (`emulate`, `emulate_shape`, `emulate_stop`).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from msgspec import Raw, Struct
from msgspec.structs import replace

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import Capabilities
from sfbridge.core.request import (
    ChatRequest,
    Message,
    Sampling,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

from .content import fit_content
from .history import pair_calls
from .turns import CLOSING, take_turns

# The list of ignored names travels in a response header, and the names come from the client.
_UNFIT_FOR_HEADER: Final = re.compile(r"[^A-Za-z0-9_.\-]+")
_LONGEST_NAME: Final = 64
_MOST_NAMES: Final = 32

_AUTO: Final = ToolChoice()
_NO_KNOBS: Final = Sampling()


class Fitted(Struct, frozen=True, kw_only=True):
    """A request that the model can take, and what it cost.

    ignored        what was dropped, in the client's words, fit for a header
    emulate        tools go into the prompt, earlier calls and results become text
    emulate_shape  the form of the answer is asked for in words and checked here
    emulate_stop   stop sequences to cut at here; the request holds none then
    stream         whether the upstream is asked to stream
    downgraded     the client wanted a stream and gets a finished answer as one
    repairs        how often each repair of the history was made (see history.pair_calls)
    """

    request: ChatRequest
    ignored: tuple[str, ...]
    emulate: bool
    emulate_shape: bool
    emulate_stop: tuple[str, ...]
    stream: bool
    downgraded: bool
    repairs: dict[str, int] = {}


def fit(request: ChatRequest, can: Capabilities) -> Fitted:
    """Make the request fit.

    Raises GatewayError: `unsupported` for content the model cannot take, with the client's path to it;
    `invalid_request` when no message is left that says anything.
    """
    paired, repairs = pair_calls(request.messages)
    messages = take_turns(fit_content(paired, can), can)
    if not messages and any(part.text.strip() for part in request.system):
        messages = (CLOSING,)  # instructions alone: the model is asked to act on them
    if not messages:
        where = request.words.get("messages", "messages")
        raise GatewayError(
            "invalid_request",
            f"{where}: there is nothing to answer; every message is empty.",
            param=where,
        )
    sampling, ignored = _knobs(request, can)
    tools, choice, emulate = _tools(request, messages, can)
    emulate_shape = request.shape.kind != "text" and request.shape.kind not in can.shapes
    stream = request.stream and can.streams and not emulate_shape
    fitted = replace(
        request,
        system=tuple([part for part in request.system if part.text]),
        messages=messages,
        sampling=sampling,
        max_output=_max_output(request.max_output, can),
        thinking=request.thinking if can.thoughts else None,
        tools=tools,
        choice=choice,
        stop=request.stop if can.stop else (),
        extras=_passing(request, can),
    )
    return Fitted(
        request=fitted,
        ignored=header_names([request.words.get(name, name) for name in ignored]),
        emulate=emulate,
        emulate_shape=emulate_shape,
        emulate_stop=() if can.stop else request.stop,
        stream=stream,
        downgraded=request.stream and not stream,
        repairs=repairs,
    )


def _knobs(request: ChatRequest, can: Capabilities) -> tuple[Sampling, list[str]]:
    """The sampling that is left, and our names of everything that was dropped."""
    sampling, dropped = request.sampling, []
    if sampling != _NO_KNOBS:
        dropped = [
            name
            for name in Sampling.__struct_fields__
            if name not in can.knobs and getattr(sampling, name) is not None
        ]
        if dropped:
            sampling = replace(sampling, **dict.fromkeys(dropped))
    if request.max_output is not None and not can.max_output:
        dropped.append("max_output")
    if request.thinking is not None and not can.thoughts:
        dropped.append("thinking")
    if request.truncate and not can.prunes:
        dropped.append("truncate")
    if request.extras:
        passing = _passing(request, can)
        dropped += (name for name in request.extras if name not in passing)
    return sampling, dropped


def _passing(request: ChatRequest, can: Capabilities) -> dict[str, Raw]:
    """The unknown fields that the upstream reads as the client means them: those of its own dialect."""
    if not request.extras or not can.extras or can.extras != request.dialect:
        return {}
    # the vendor's own tools stand in the list by a path of their own
    return {name: raw for name, raw in request.extras.items() if not name.startswith("tools.")}


def _max_output(asked: int | None, can: Capabilities) -> int | None:
    """The client's limit as far as the model goes; too much is never refused (clients ask for 128,000)."""
    if asked is None or not can.max_output:
        return None
    return asked if can.output_cap is None else min(asked, can.output_cap)


def _tools(
    request: ChatRequest, messages: tuple[Message, ...], can: Capabilities
) -> tuple[tuple[Tool, ...], ToolChoice, bool]:
    """The tools and the choice that are left, and whether they must be emulated.

    Calls in the history of a request without tools are rendered as text for a model without native
    tools. A forbidden call is met by showing no tools, unless the history shows calls that need them.
    """
    choice = request.choice
    if not request.tools:
        return (), _AUTO, not can.native_tools and _has_calls(messages)
    if not can.native_tools:
        return request.tools, choice, True
    if choice.mode == "none":
        if "none" in can.choices:
            return request.tools, choice, False
        if _has_calls(messages):
            return request.tools, choice, True
        return (), _AUTO, False
    forced = choice.mode != "auto" and choice.mode not in can.choices
    # A model that makes one call at a time needs no telling.
    several = not choice.parallel and can.parallel_calls and "single" not in can.choices
    return request.tools, choice, forced or several


def _has_calls(messages: tuple[Message, ...]) -> bool:
    return any(
        isinstance(part, ToolCall | ToolResult) for message in messages for part in message.parts
    )


def header_names(names: Collection[str]) -> tuple[str, ...]:
    """The names, each once, without characters that do not belong into a header, in the same order."""
    if not names:
        return ()
    clean = (_UNFIT_FOR_HEADER.sub("", name[:1024])[:_LONGEST_NAME] for name in names)
    return tuple(dict.fromkeys(name for name in clean if name))[:_MOST_NAMES]
