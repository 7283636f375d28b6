"""What a user may set about the sandbox org: the `[sandbox]` table of the configuration."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

CLIENT_ID: Final = "sandbox-client"
CLIENT_SECRET: Final = "sandbox-secret"  # not a secret: it opens a toy, and the manual prints it


class SandboxSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the org behaves. Limits of 0 are off; times are seconds.

    scenario               path of a `.toml` or `.py` file of scripted turns; empty: the rules alone
    gateway                whether surface B (`/ai/gpt/v1`) exists; False answers it with 404
    strict                 refuse what the real service would silently drop, and note it as a violation
    token_life_seconds     life of an access token
    token_opaque           issue opaque session tokens, as an org without JWT access tokens does
    token_expires_in       whether the token response tells `expires_in`
    token_uses             requests after which a token is revoked, long before it expires
    character_cap          most characters of a prompt (data masking's cap, E30036)
    window                 most prompt tokens of every model, in place of the model's own window
    requests_per_minute    also `requests_per_hour` and `tokens_per_minute`: over it, 429
    embedding_batch        most texts of one embeddings request
    first_byte_delay       wait before every answer
    chunk_delay            wait between the chunks of a stream
    slow_seconds           what the model `sandbox-slow-first` waits
    delta_characters       characters of one text delta
    split_bytes            write streams in pieces of about this many bytes, whatever the frames
    models                 further model names that this org has configured
    keep_requests          how many of the last requests are remembered, bodies included
    """

    scenario: str = ""
    gateway: bool = True
    strict: bool = True
    token_life_seconds: float = 1800.0
    token_opaque: bool = False
    token_expires_in: bool = False
    token_uses: int = 0
    character_cap: int = 460_000
    window: int = 0
    requests_per_minute: int = 0
    requests_per_hour: int = 0
    tokens_per_minute: int = 0
    embedding_batch: int = 0
    first_byte_delay: float = 0.0
    chunk_delay: float = 0.0
    slow_seconds: float = 20.0
    delta_characters: int = 16
    split_bytes: int = 0
    models: tuple[str, ...] = ()
    keep_requests: int = 20
