"""`hash-key`: what stands for an API key in the configuration, so that the key itself need not."""

from __future__ import annotations

import argparse
import secrets
import sys

from sfbridge.config import LEAST_SECRET, ConfigError
from sfbridge.policy.hashes import SALT_BYTES, hashed

from . import options
from .terminal import ask_secret


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "hash-key",
        "make the secret_hash of an API key, for [keys] in config.toml",
        "The key is typed unseen, or read from standard input.",
        "sfbridge hash-key --new",
    )
    parser.add_argument("--new", action="store_true", help="make a new key, too, and print it")
    parser.set_defaults(run=hash_key)


def hash_key(arguments: argparse.Namespace) -> int:
    """The key is typed unseen on a terminal, or the first line of standard input."""
    if arguments.new:
        secret = f"sk-sfbridge-{secrets.token_urlsafe(24)}"
        print(f"key:         {secret}")
    elif sys.stdin.isatty():
        secret = ask_secret("API key")
    else:
        secret = sys.stdin.readline().rstrip("\r\n")
    if len(secret) < LEAST_SECRET:
        raise ConfigError(f"a key needs at least {LEAST_SECRET} characters")
    print(f'secret_hash = "{hashed(secret, secrets.token_bytes(SALT_BYTES))}"')
    return 0
