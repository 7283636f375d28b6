"""Handles have one taker each, and do not live for ever."""

from __future__ import annotations

from typing import Any

from sfbridge.state.handles import Handles


def test_a_handle_is_taken_once(clock: Any) -> None:
    """Two callers never get the same conversation."""
    handles = Handles(clock.now)
    handles.keep(b"a", "handle")
    assert handles.take(b"a") == "handle"
    assert handles.take(b"a") is None


async def test_an_old_handle_is_none(clock: Any) -> None:
    """After its time a handle is not given out any more."""
    handles = Handles(clock.now, seconds=60)
    handles.keep(b"a", "handle")
    await clock.advance(61)
    assert handles.take(b"a") is None


def test_the_oldest_go_first(clock: Any) -> None:
    """Of too many, those kept longest are forgotten."""
    handles = Handles(clock.now, most=2)
    for name in (b"a", b"b", b"c"):
        handles.keep(name, name)
    assert len(handles) == 2
    assert handles.take(b"a") is None
    assert handles.take(b"c") == b"c"
