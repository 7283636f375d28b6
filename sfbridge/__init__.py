"""sfbridge: a local server that lets OpenAI and Anthropic clients use models they cannot reach."""

from typing import Final

__version__: Final = "0.1.0"
