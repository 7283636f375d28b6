"""Text that must not be printed by accident, and where settings have it from."""

from __future__ import annotations

from pathlib import Path


class SettingsError(ValueError):
    """A setting that cannot work. `path` is the key within the upstream's table."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class Secret:
    """Holds a secret; every printed form of it is a row of dots."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for the one place that sends it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(...)"

    def __str__(self) -> str:
        return "..."

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret cannot be copied out of its process")


def given(value: str, file: str, key: str) -> Secret:
    """What the settings say under `key`, or in the file under `<key>_file`; empty where they say nothing. Raises
    SettingsError when they say both, or the file holds nothing that can be sent."""
    if value and file:
        raise SettingsError(f"{key}_file", f"is set beside {key}; keep one of them")
    if file:
        try:
            value = Path(file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError, RuntimeError) as error:
            raise SettingsError(f"{key}_file", f"cannot be read ({type(error).__name__})") from None
        if not value:
            raise SettingsError(f"{key}_file", "is empty")
    if not value.isprintable():
        raise SettingsError(key, "holds characters that no key has")
    return Secret(value)
