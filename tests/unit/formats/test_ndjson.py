"""Lines of JSON out of a byte stream."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.formats.ndjson import Lines, LongLine

OBJECTS = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=6
)


@given(OBJECTS, st.lists(st.integers(0, 200), max_size=10))
def test_any_chunking_gives_the_same_lines(objects: list[dict[str, str]], cuts: list[int]) -> None:
    """However the bytes are cut, also inside a character, the objects come out whole and in order."""
    data = b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in objects)
    lines, found, start = Lines(), [], 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        found += lines.feed(data[start:cut])
        start = cut
    assert [json.loads(line) for line in found] == objects


def test_noise_is_left_out() -> None:
    """Blank lines and what is no object are not lines; carriage returns do not matter."""
    assert Lines().feed(b'\n  \r\nWarning: x\n[1]\n{"a":1}\r\n{"b":2}\n{"c"') == [
        b'{"a":1}',
        b'{"b":2}',
    ]


def test_a_line_counts_when_it_is_complete() -> None:
    """What has no line feed yet is not given."""
    lines = Lines()
    assert lines.feed(b'{"a":1}') == []
    assert lines.feed(b"\n") == [b'{"a":1}']


def test_a_line_without_end_is_refused() -> None:
    """A line that outgrows the bound is refused before it fills the memory; shorter ones begin anew each time."""
    lines = Lines(most_bytes=10)
    for _ in range(5):
        assert lines.feed(b"{12345678\n") == [b"{12345678"]
    with pytest.raises(LongLine):
        for _ in range(3):
            lines.feed(b"{2345")
