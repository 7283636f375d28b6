"""Lingma over real sockets and real processes: every scenario of the reference, behind both wires."""

from __future__ import annotations

import pytest
from lingma_bench import BeginLingma
from speak import STOPPED, WIRES


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_question_is_answered(lingma: BeginLingma, wire: str, stream: bool) -> None:
    """A question is answered on both wires, streamed and whole."""
    bench = await lingma()
    found = await bench.ask(wire, "hello", stream=stream)
    assert found.whole, found.body
    assert (found.text, found.finish) == ("echo: hello", STOPPED[wire])
    await bench.idle()
