"""A receipt in words that a person understands, without the request at hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sfbridge.core.receipt import Receipt

WORDS: Final = {
    "ctrl": "a raw line break or control character stood inside a JSON string",
    "comma": "a trailing comma was removed",
    "pylit": "Python words (True, None) stood for JSON ones",
    "pydict": "the arguments were a Python literal instead of JSON",
    "esc": r"the escape \' was read as a quote",
    "fence": "a code fence around the JSON was removed",
    "doubled": "the arguments were JSON encoded twice",
    "inner": "name and arguments were repeated inside the arguments",
    "namecase": "the tool's name differed in case only",
    "str2bool": "a text was read as true or false, as the schema asks",
    "str2int": "a text was read as an integer, as the schema asks",
    "str2num": "a text was read as a number, as the schema asks",
    "str2null": "a text was read as null, as the schema asks",
    "str2json": "a text was read as the array or object it holds, as the schema asks",
    "num2str": "a number was taken as text, as the schema asks",
    "bool2str": "true or false was taken as text, as the schema asks",
    "wrap": "a single value was put into the array that the schema asks for",
    "enumcase": "a value differed from an allowed one in case only",
    "nullopt": "null for an optional parameter was left out",
    "rawnonce": "a raw block was closed without its mark",
    "closer": "a call was closed without its mark",
    "noclose": "a complete call was not closed",
    "fabricated_result": "the model invented a tool's result; it was cut off there",
    "trailing_text": "text after the last call was dropped",
    "truncated_call": "a call that the output limit cut was dropped",
    "tainted": "text that looks like a call also stands in the conversation, so it stayed text",
    "extra_calls": "more than one call came though one was asked for; the first was kept",
    "repeated_calls": "the same call was repeated; one was kept",
    "unknown_parameter": "a parameter that the schema does not name was passed on",
    "broken_schema": "a tool's schema is broken, so its arguments were not checked",
    "orphan_result": "a result in the history belonged to no call and became text",
    "orphan_call": "a call in the history had no result and got one that says so",
    "duplicate_result": "a call in the history had several results; the last one was kept",
    "prunings": "the history had outgrown the window and was cut",
    "pruned_folded_results": "large tool results were left out but for their head and tail",
    "pruned_tool_calls": "old calls were left out with their results",
    "pruned_tool_results": "old tool results were left out",
    "pruned_assistant_messages": "old answers were left out",
    "pruned_user_messages": "old user messages were left out",
    "supplement": "the configured text was added to the instructions",
    "required_tools": "a call was demanded, as configured for tool loops",
    "replanned": "the server counted more tokens than estimated; the history was cut by its count",
    "fallback": "another model was asked, because the first could not answer",
    "rerouted": "the upstream let another model answer than the one that was asked",
    "repeated_id": "ids of calls in the history were repeated and made unique",
}
_EMULATED: Final = {
    "tools": "tools were described in the prompt, because the upstream has none",
    "shape": "the JSON form of the answer was asked for in words and checked here",
    "stop": "stop sequences were cut here",
    "stream": "the finished answer was replayed as a stream",
}


def explain(receipt: Receipt) -> str:
    """Several lines: what was asked, what happened on the way, what came of it."""
    return "\n".join(line for line in _lines(receipt) if line)


def _lines(r: Receipt) -> Iterator[str]:
    form = "a stream" if r.stream else "one JSON body"
    yield f"{r.id}: {r.client or 'a client'} asked for {r.model} on the {r.wire} wire, as {form}."
    if r.target:
        yield f"It went to {r.target} at {r.upstream}" + (
            f", and {r.answered_by} answered." if r.answered_by not in ("", r.target) else "."
        )
    if r.tools:
        yield f"{r.tools} tool{'s were' if r.tools > 1 else ' was'} offered."
    yield from (f"- {_EMULATED[what]}" for what in r.emulated)
    if r.ignored:
        yield f"- not honoured by the upstream: {', '.join(r.ignored)}"
    if r.queued_ms:
        yield f"It waited {r.queued_ms} ms for a free place at {r.upstream}."
    yield _path(r)
    for name, number in r.notes.items():
        yield f"- {note(name)}" + (f" ({number} times)" if number > 1 else "")
    if r.prefix_broke:
        yield f"- the prompt no longer begins as the last one did: {r.prefix_broke}"
    yield from (f"- the upstream did by itself: {done}" for done in r.ran)
    yield from (f"- fault: {fault}" for fault in r.faults)
    yield _end(r)
    yield _tokens(r)
    yield _times(r)
    if r.upstream_ids:
        yield f"The upstream's own ids: {', '.join(r.upstream_ids)}."


def note(name: str) -> str:
    """A correction or finding of a receipt in words."""
    if name.startswith("salvaged:"):
        return f"a call in the form of {name.removeprefix('salvaged:')} was understood"
    return WORDS.get(name, name)


def _path(r: Receipt) -> str:
    parts = [f"{r.attempts} upstream call{'s' if r.attempts != 1 else ''}"]
    if r.retries:
        parts.append(f"{r.retries} of them repeated after a refusal")
    if r.rounds:
        parts.append(f"{r.rounds} because the model was shown its fault and asked again")
    if r.auth_refreshes:
        parts.append(f"{r.auth_refreshes} new token{'s' if r.auth_refreshes != 1 else ''}")
    return f"On the way: {', '.join(parts)}." if r.attempts else ""


def _end(r: Receipt) -> str:
    match r.verdict:
        case "whole":
            made = f", calling {', '.join(r.calls)}" if r.calls else ""
            return f"The answer was whole: it ended with {r.reason}{made}."
        case "left":
            return "The client left before the answer was whole; the upstream call was cancelled."
        case "failed":
            kept = r.contents is not None and r.contents.error
            return f"It failed ({r.error_kind}): {kept or r.error}"


def _tokens(r: Receipt) -> str:
    if r.input is None and r.output is None:
        estimate = r.prompt_estimate
        return f"The prompt was estimated at {estimate} tokens." if estimate else ""
    source = "estimated" if r.estimated else "reported by the upstream"
    cached = f", {r.cache_read} more from its cache" if r.cache_read else ""
    return f"Tokens: {r.input} in{cached}, {r.output} out ({source}; estimated before: {r.prompt_estimate} in)."


def _times(r: Receipt) -> str:
    steps = [
        ("prepared", r.prepared_ms),
        ("connected", r.connected_ms),
        ("accepted by the upstream", r.accepted_ms),
        *(("tried again", ms) for ms in r.retried_ms),
        *(("asked again", ms) for ms in r.asked_again_ms),
        ("first words", r.first_ms),
        ("end", r.total_ms),
    ]
    reached = sorted([(ms, name) for name, ms in steps if ms is not None], key=lambda step: step[0])
    return "Time: " + ", ".join(f"{name} at {ms} ms" for ms, name in reached) + "."
