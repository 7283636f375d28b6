"""The front doors: client bytes <-> core, one line per protocol."""

from typing import Final

from .anthropic import anthropic
from .base import Wire
from .openai_chat import openai_chat
from .openai_completions import openai_completions
from .openai_responses import openai_responses

WIRES: Final[tuple[Wire, ...]] = (openai_chat, openai_responses, openai_completions, anthropic)
