"""Tools of a Responses body, in their three forms, and the choice among them.

Inside there are functions only: a tool of a namespace carries its namespace in its name, and a tool that
takes free text is a function with one string. `Asked.forms` remembers which was which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import ChoiceMode, Tool, ToolChoice
from sfbridge.formats import openai_responses as o
from sfbridge.wire.base import ToolForm
from sfbridge.wire.frames import literal
from sfbridge.wire.reading import invalid
from sfbridge.wire.tools import Offer, left_out_entry, schema_of, settled

FREE_TEXT: Final = "input"
_ALLOWED: Final = "allowed_tools"

_MODES: Final[Mapping[str, ChoiceMode]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
}


class _Format(Struct, frozen=True, gc=False):
    """The format of a free text; `syntax` and `definition` come with the type "grammar"."""

    type: str = "text"
    syntax: str = ""
    definition: str = ""


class Offered(Offer, frozen=True):
    """An offer with the forms of its tools, by the names that they have inside."""

    forms: Mapping[str, ToolForm] = {}


_format: Final = msgspec.json.Decoder(_Format)


def inner_name(namespace: str | None, name: str) -> str:
    """The name of a tool inside."""
    return f"{namespace}__{name}" if namespace else name


def offer_of(given: o.RequestBody) -> Offered:
    """The tools that the client runs (the last of a name counts), and those of the vendor."""
    tools: dict[str, Tool] = {}
    forms: dict[str, ToolForm] = {}
    left_out: dict[str, Raw] = {}
    for path, namespace, tool in _flat(given):
        if tool.type not in ("function", "custom"):
            word, kind = left_out_entry(tool.name or "", tool.type)
            left_out[word] = kind
            continue
        if not tool.name:
            raise invalid(f"{path}.name", "a tool needs a name")
        name, custom = inner_name(namespace, tool.name), tool.type == "custom"
        tools[name] = Tool(
            name=name,
            description=tool.description or "",
            schema=_free_text(tool, path)
            if custom
            else schema_of(tool.parameters, f"{path}.parameters"),
            strict=bool(tool.strict),
        )
        forms.pop(name, None)
        if custom or namespace:
            forms[name] = ToolForm(name=tool.name, namespace=namespace, custom=custom)
    return _narrowed(given.tool_choice, Offered(tuple(tools.values()), left_out, forms))


def _narrowed(wish: str | o.ToolChoiceBody | None, offer: Offered) -> Offered:
    """The offer with only those tools that the choice allows."""
    if wish is None or isinstance(wish, str) or wish.type != _ALLOWED:
        return offer
    allowed = {tool.name for tool in wish.tools or ()}
    kept = tuple([tool for tool in offer.tools if _written(tool.name, offer) in allowed])
    return replace(offer, tools=kept)


def _written(name: str, offer: Offered) -> str:
    """The tool's name as its client writes it."""
    form = offer.forms.get(name)
    return form.name if form else name


def choice_of(given: o.RequestBody, offer: Offered) -> ToolChoice:
    """The choice, checked against the offer. Raises GatewayError where there is nothing to call."""
    parallel = given.parallel_tool_calls is not False
    wish = given.tool_choice
    if wish is None:
        return ToolChoice(parallel=parallel)
    if isinstance(wish, str):
        if wish not in _MODES:
            raise invalid("tool_choice", f"{wish!r} is not one of auto, none, required")
        return settled(_MODES[wish], "", parallel, offer, "tool_choice")
    if wish.type == _ALLOWED:
        if wish.mode not in ("auto", "required"):
            raise invalid("tool_choice.mode", f"{wish.mode!r} is not one of auto, required")
        return settled(_MODES[wish.mode], "", parallel, offer, "tool_choice.tools")
    if wish.type in ("function", "custom"):
        return settled("named", wish.name, parallel, offer, "tool_choice.name")
    if f"tools.{wish.type}" in offer.left_out:
        return ToolChoice(parallel=parallel)
    raise GatewayError(
        "unsupported",
        f"tool_choice.type: {wish.type!r} is not supported; function, custom and allowed_tools are",
        param="tool_choice.type",
    )


def _flat(given: o.RequestBody) -> Iterator[tuple[str, str, o.ToolBody | o.InnerTool]]:
    """(path, namespace, tool) of every tool, those of namespaces one by one."""
    for index, tool in enumerate(given.tools or ()):
        path = f"tools[{index}]"
        if tool.type != "namespace":
            yield path, "", tool
            continue
        for place, inner in enumerate(tool.tools or ()):
            yield f"{path}.tools[{place}]", tool.name or "", inner


def _free_text(tool: o.ToolBody | o.InnerTool, path: str) -> Raw:
    """The schema of a function that stands for a tool of free text; a grammar becomes words for the model."""
    told = "The whole text of the call, as one string, whatever else is said about JSON."
    if tool.format:
        try:
            wish = _format.decode(tool.format)
        except msgspec.ValidationError:
            raise invalid(f"{path}.format", "must be an object with a type") from None
        if wish.definition:
            told += f" It follows this {wish.syntax} grammar:\n{wish.definition}"
    return Raw(
        literal(
            {
                "type": "object",
                "properties": {FREE_TEXT: {"type": "string", "description": told}},
                "required": [FREE_TEXT],
                "additionalProperties": False,
            }
        )
    )
