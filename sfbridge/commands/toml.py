"""Values as TOML writes them; the standard library only reads it."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def written(value: Any) -> str:
    """One value on one line. None, which TOML has no word for, becomes an empty text."""
    match value:
        case None:
            return '""'
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case dict():
            pairs = (f"{key(name)} = {written(item)}" for name, item in value.items())
            return "{ " + ", ".join(pairs) + " }" if value else "{}"
        case list() | tuple():
            return "[" + ", ".join(map(written, value)) + "]"
        case _:
            # JSON's escapes are TOML's, but for DEL, which JSON leaves as it is
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    return name if _BARE.fullmatch(name) else written(name)
