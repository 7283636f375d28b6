"""Tests with real servers, a real command and a real browser need libraries of their own (the extra `live`), so they
are not even imported unless they are asked for with `-m live`."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = config.option.markexpr != "not live"
    return None if asked or collection_path.suffix != ".py" else True
