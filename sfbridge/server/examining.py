"""Whether a configuration can work, as far as can be told without opening anything."""

from __future__ import annotations

from sfbridge.config import Config, ConfigError, section
from sfbridge.upstream import kind_of

from .embedded import examine_sandbox, port_of
from .opening import common_of, installation_key, key_ring, own_of, pruning_of


def examine(config: Config) -> None:
    """Raises ConfigError with the path of the fault: of keys, upstreams, pruning, or the sandbox org."""
    key_ring(config)
    pruning_of(config)
    examine_sandbox(config)
    sandbox = "" if port_of(config) is None else "http://127.0.0.1"
    for name, table in config.upstream.items():
        common = common_of(name, table)
        path = f"upstream.{name}"
        try:
            kind = kind_of(common.kind)
        except ValueError as error:
            raise ConfigError(f"{path}.kind: {error}") from None
        settings = section(own_of(table), kind.settings, path)
        try:
            kind.examine(name, settings, sandbox)
        except ValueError as error:
            raise ConfigError(f"{path}.{error}") from None
    try:
        installation_key(config)
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        raise ConfigError(f"upstream: a file that it names cannot be read ({error})") from None
