"""Everything that the log would hold, for those who look for what must not be in it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def written(formatter: logging.Formatter) -> Iterator[io.StringIO]:
    """Everything that the log would hold at its most talkative."""
    out = io.StringIO()
    stream = logging.StreamHandler(out)
    stream.setFormatter(formatter)
    root = logging.getLogger()
    before = root.level
    root.addHandler(stream)
    root.setLevel(logging.DEBUG)
    try:
        yield out
    finally:
        root.removeHandler(stream)
        root.setLevel(before)
