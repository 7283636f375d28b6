"""The OpenAI Responses protocol, as a front door."""

from typing import Final

from sfbridge.wire.base import Wire
from sfbridge.wire.openai_chat.faults import fault

from .decode import decode
from .encode import EventEncoder
from .output import body

openai_responses: Final = Wire(
    name="openai_responses",
    routes=("/v1/responses", "/responses"),
    answer_prefix="resp_",
    call_prefix="call_",
    decode=decode,
    encoder=EventEncoder,
    body=body,
    fault=fault,
)
