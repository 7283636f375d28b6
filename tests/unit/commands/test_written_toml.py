"""What commands write as TOML, TOML reads back."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sfbridge.commands.toml import key, written

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
values = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100)
@given(name=text, value=values)
def test_every_value_comes_back(name: str, value: Any) -> None:
    """Texts with any character, numbers, lists and tables survive the way through a file."""
    assert tomllib.loads(f"{key(name)} = {written(value)}\n") == {name: value}
