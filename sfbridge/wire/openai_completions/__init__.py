"""The OpenAI legacy completions protocol, as a front door: each prompt is a question of its own to a chat model."""

from typing import Final

from sfbridge.wire.base import Choices, Wire
from sfbridge.wire.openai_chat.faults import fault

from .decode import decode
from .encode import TextEncoder, body, body_of_all, encoders

openai_completions: Final = Wire(
    name="openai_completions",
    routes=("/v1/completions",),
    answer_prefix="cmpl-",
    call_prefix="call_",
    decode=decode,
    encoder=TextEncoder,
    body=body,
    fault=fault,
    choices=Choices(encoders=encoders, body=body_of_all),
)
