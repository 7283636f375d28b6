"""The Anthropic Messages protocol, as a front door."""

from typing import Final

from sfbridge.wire.base import Wire

from .decode import decode
from .encode import MessageEncoder, body
from .faults import fault

anthropic: Final = Wire(
    name="anthropic",
    routes=("/v1/messages", "/anthropic/v1/messages"),
    answer_prefix="msg_",
    call_prefix="toolu_",
    decode=decode,
    encoder=MessageEncoder,
    body=body,
    fault=fault,
)
