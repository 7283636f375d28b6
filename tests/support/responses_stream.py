"""Reads a Responses event stream as strictly as the strictest client: every event in its place and numbered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

_json = msgspec.json.Decoder().decode

# what is said piece by piece in an item: (delta event, done event, its field)
_SAID = {
    "message": ("response.output_text", "text"),
    "reasoning": ("response.reasoning_summary_text", "text"),
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}
_PART = {
    "message": ("response.content_part", "content_index"),
    "reasoning": ("response.reasoning_summary_part", "summary_index"),
}


class ResponseReader:
    """Feed it (event name, data) records; `response` is the final object, `None` until it came."""

    def __init__(self) -> None:
        self.response: dict[str, Any] | None = None
        self.begun: dict[str, Any] = {}
        self.item: dict[str, Any] | None = None
        self.items: list[dict[str, Any]] = []
        self.deltas: list[str] = []
        self.words: list[str] = []  # of messages, also of one that broke off
        self.in_part = False
        self.number = 0

    def feed(self, records: Iterable[tuple[str, bytes | str]]) -> None:
        for name, data in records:
            assert self.response is None, name
            event = _json(data)
            assert event["type"] == name
            assert event["sequence_number"] == self.number
            self.number += 1
            self._one(name, event)

    def _one(self, name: str, event: dict[str, Any]) -> None:
        match name:
            case "response.created":
                assert self.number == 1
                self.begun = event["response"]
                assert (self.begun["status"], self.begun["output"]) == ("in_progress", [])
                assert self.begun["usage"] is None
            case "response.in_progress":
                assert event["response"] == self.begun
            case "response.output_item.added":
                assert self.begun
                assert self.item is None
                assert event["output_index"] == len(self.items)
                self.item, self.deltas = event["item"], []
                assert self.item["id"]
            case "response.output_item.done":
                self._item_done(event)
            case "response.completed" | "response.incomplete" | "response.failed":
                self._ended(name, event["response"])
            case _:
                self._inside(name, event)

    def _inside(self, name: str, event: dict[str, Any]) -> None:
        assert self.item is not None, name
        kind = self.item["type"]
        assert (event["item_id"], event["output_index"]) == (self.item["id"], len(self.items))
        stem, field = _SAID[kind]
        part, place = _PART.get(kind, ("", ""))
        assert not place or event[place] == 0
        if name == f"{part}.added":
            assert not self.in_part
            assert event["part"]["text"] == ""
            self.in_part = True
        elif name == f"{part}.done":
            assert self.in_part
            assert event["part"]["text"] == "".join(self.deltas)
            self.in_part = False
        elif name == f"{stem}.delta":
            assert event["delta"]
            assert self.in_part or not part
            self.deltas.append(event["delta"])
            if kind == "message":
                self.words.append(event["delta"])
        elif name == f"{stem}.done":
            assert event[field] == "".join(self.deltas)
        else:
            raise AssertionError(name)

    def _item_done(self, event: dict[str, Any]) -> None:
        item, said = event["item"], "".join(self.deltas)
        assert self.item is not None
        assert not self.in_part
        assert event["output_index"] == len(self.items)
        assert (item["id"], item["type"]) == (self.item["id"], self.item["type"])
        match item["type"]:
            case "message":
                assert [part["text"] for part in item["content"]] == [said]
            case "reasoning":
                assert [part["text"] for part in item["summary"]] == ([said] if said else [])
            case "function_call":
                assert item["arguments"] == said
                assert isinstance(_json(said), dict)
            case "custom_tool_call":
                assert item["input"] == said
        self.items.append(item)
        self.item = None

    def _ended(self, name: str, response: dict[str, Any]) -> None:
        status = name.removeprefix("response.")
        assert response["status"] == status
        assert response["output"] == self.items
        changing = ("status", "error", "incomplete_details", "output", "usage")
        assert {k: v for k, v in response.items() if k not in changing} == {
            k: v for k, v in self.begun.items() if k not in changing
        }
        if status == "failed":
            assert response["error"]["message"]
        else:
            assert self.item is None
            assert response["usage"]["total_tokens"] >= 0
            assert bool(response["incomplete_details"]) == (status == "incomplete")
        self.response = response


def read_all(records: Iterable[tuple[str, bytes | str]]) -> tuple[dict[str, Any], str]:
    """The final response object of a stream, which must have come, and all words that were said before it."""
    reader = ResponseReader()
    reader.feed(records)
    assert reader.response is not None
    return reader.response, "".join(reader.words)


def read_response(records: Iterable[tuple[str, bytes | str]]) -> dict[str, Any]:
    """The final response object of a stream, which must have come."""
    return read_all(records)[0]
