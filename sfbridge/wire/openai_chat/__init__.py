"""The OpenAI chat completions protocol, as a front door."""

from typing import Final

from sfbridge.wire.base import Wire

from .decode import decode
from .encode import ChunkEncoder, body
from .faults import fault

openai_chat: Final = Wire(
    name="openai_chat",
    routes=("/v1/chat/completions", "/chat/completions"),
    answer_prefix="chatcmpl-",
    call_prefix="call_",
    decode=decode,
    encoder=ChunkEncoder,
    body=body,
    fault=fault,
)
